"""Serving a reader study to browsers."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

import uvicorn

from synthcohort.core.errors import UserError
from synthcohort.readers.answers import HOME
from synthcohort.readers.app import create_app
from synthcohort.readers.desk import Desk
from synthcohort.readers.study import STUDY, locked

HOST = "127.0.0.1"


def find_study(study_id: str | None, home: Path = HOME) -> Path:
    """Find the folder of a reader study; the only one, where none is named.

    Raises
    ------
    UserError
        When there is no such study, or none is named and there are several.
    """
    known = sorted(path.parent.name for path in home.glob(f"*/{STUDY}"))
    if study_id is None and len(known) == 1:
        return home / known[0]
    if study_id in known:
        return home / str(study_id)
    there = (
        f"there are {', '.join(known)}"
        if known
        else "there is none yet; build one with `snakemake reader_study` (docs/reader-study.md)"
    )
    asked = f"there is no reader study '{study_id}'" if study_id else "say which reader study to serve"
    raise UserError(f"{asked}: {there}.")


def serve(folder: Path, host: str = HOST, port: int = 0, address: str | None = None, renew: Sequence[str] = ()) -> None:
    """Serve a study until the process is ended, and print the links of those who have none yet.

    Parameters
    ----------
    folder : Path
        The built study.
    host : str
        Address to bind to.
    port : int
        Port to bind to; 0 takes a free one.
    address : str, optional
        How readers reach this server by way of a proxy, for their links, for example
        ``https://readers.hospital.example``. The proxy is then believed whom it speaks for, and with HTTPS cookies go
        no other way.
    renew : sequence of str
        Those who get a new link, for example ``reader-03`` or ``administrator``; ``all`` for everyone. Old ones end.

    Raises
    ------
    UserError
        When the study is damaged or served already, the port is taken, or a name is unknown.
    """
    with locked(folder), closing(Desk(folder)) as desk, closing(_bind(host, port)) as listener:
        unknown = sorted(set(renew) - {*desk.names, "all"})
        if unknown:
            raise UserError(f"nobody is called {unknown[0]}; there are {desk.names[0]} to {desk.names[-2]}.")
        base = (address or f"http://{_in_links(host)}:{listener.getsockname()[1]}").rstrip("/")
        links = desk.sessions.issue_links(desk.names, desk.names if "all" in renew else renew)
        print(_announcement(desk, base, links, host), flush=True)
        with suppress(KeyboardInterrupt):
            _server(desk, address).run(sockets=[listener])


@contextmanager
def served_here(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a study to this machine from a thread, at a free port; give everyone's new link."""
    with locked(folder), closing(Desk(folder)) as desk, closing(_bind(HOST, 0)) as listener:
        base = f"http://{HOST}:{listener.getsockname()[1]}"
        tokens = desk.sessions.issue_links(desk.names, renew=desk.names)
        server = _server(desk)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield {name: f"{base}/enter#{token}" for name, token in tokens.items()}
        finally:
            server.should_exit = True
            thread.join()


def _server(desk: Desk, address: str | None = None) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            create_app(desk, secure=(address or "").startswith("https:")),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            proxy_headers=address is not None,  # without a proxy anyone could say to be another address
        )
    )


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(f"cannot listen at {host}, port {port} ({error}); choose another --port or --host.") from None
    return listener


def _in_links(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announcement(desk: Desk, base: str, links: dict[str, str], host: str) -> str:
    study = desk.study
    lines = [f"Reader study {study.study_id}: {base}/  (Ctrl+C ends it; answers are kept)"]
    if study.simulated:
        lines.append("Its real images are of simulated patients.")
    if links:
        width = max(len(name) for name in links)
        lines += ["Personal links, shown this once (--renew NAME makes a new one):"]
        lines += [f"  {name:{width}}  {base}/enter#{token}" for name, token in links.items()]
    else:
        lines += ["Everyone has a link already; --renew NAME makes a new one."]
    if not _is_local(host):
        lines.append(
            "WARNING: this address is open to the network, and without TLS links and answers can be read on their "
            "way. Put a TLS proxy in front of it (docs/reader-study.md)."
        )
    return "\n".join(lines)
