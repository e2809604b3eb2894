"""Which files a folder holds, and a digest that tells when that changes."""

import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthcohort.core.atomic import read_json, write_json
from synthcohort.core.errors import UserError
from synthcohort.dicom.pseudonyms import private_path
from synthcohort.dicom.reasons import Reason

INDEXED = "indexed.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing found below a folder: its path from there (POSIX separators), and why it cannot be read, if so."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    problem: Reason | None = None


def walk(folder: str | Path) -> Iterator[Entry]:
    """Find every file below `folder`, in no order; links are followed, loops of links are not.

    Raises
    ------
    UserError
        When the folder is missing, cannot be listed or holds no file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError("the cohort's folder of images does not exist; correct 'folder' in the config.")
    found = _walk(root)
    first = next(found, None)
    if first is None:
        raise UserError("the cohort's folder of images is empty; correct 'folder' in the config.")
    if first == Entry(".", problem=Reason.FOLDER_LOCKED):
        raise UserError("the cohort's folder of images cannot be listed (permission denied); make it readable.")
    return itertools.chain([first], found)


def _walk(root: Path) -> Iterator[Entry]:
    """Go through folders without holding their files: there may be millions."""
    visited: set[tuple[int, int]] = set()
    start = len(os.path.join(root, ""))
    waiting = [os.fspath(root)]
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            folders = []
            with os.scandir(folder) as inside:
                for found in inside:
                    if _is_folder(found):
                        folders.append(found.path)
                    else:
                        yield _entry(found.path, found.path[start:].replace(os.sep, "/"))
            waiting += sorted(folders, reverse=True)  # where two lead to the same, the first counts on every disk
        except OSError:
            yield Entry(_escape(folder[start:]) or ".", problem=Reason.FOLDER_LOCKED)


def _is_folder(found: os.DirEntry[str]) -> bool:
    try:
        return found.is_dir()
    except OSError:  # a link to itself
        return False


def _entry(path: str, name: str) -> Entry:
    if _escape(name) != name:
        return Entry(_escape(name), problem=Reason.NAME)
    try:
        status = os.stat(path)
    except OSError:
        return Entry(name, problem=Reason.CANNOT_OPEN)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        return Entry(name, problem=Reason.NOT_REGULAR)
    return Entry(name, status.st_size, status.st_mtime_ns)


def _escape(name: str) -> str:
    """Make a name text that any table can hold: bytes that are no UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def inventory_digest(folder: str | Path, private_folder: str | Path, refresh: bool) -> str:
    """Digest of every file's path, size and time of change, for Snakemake to see when a cohort's files change.

    Parameters
    ----------
    folder : str or Path
        Folder of images.
    private_folder : str or Path
        Where the digest is kept between calls.
    refresh : bool
        Look at the folder again (the main process does, once); otherwise the kept digest is returned where there is
        one (jobs, so that a thousand of them do not list a million files each).

    Returns
    -------
    str
        Number of files and 16 hexadecimal digits, or ``"absent"`` where there is no such folder: a dry run needs none.
    """
    root = Path(folder)
    cache = private_path(private_folder, "inventory.json")
    location = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()
    if not refresh and cache.is_file():
        kept = read_json(cache)
        if kept["folder"] == location:
            return str(kept["digest"])
    if not root.is_dir():
        return "absent"
    digest = count = 0
    for entry in _walk(root):  # in any order, so the digests of the files are added up
        line = f"{entry.path}\0{entry.size}\0{entry.mtime_ns}"
        digest += int.from_bytes(hashlib.sha256(line.encode()).digest())
        count += 1
    found = f"{count}-{digest % 2**64:016x}"
    write_json(cache, {"folder": location, "digest": found}, mode=0o600)
    return found


def note_indexed(private_folder: str | Path, study: str, inventory: str) -> None:
    """Note which inventory a study's index was made from, for `changes_since_index`."""
    path = private_path(private_folder, INDEXED)
    write_json(path, {**(read_json(path) if path.is_file() else {}), study: inventory}, mode=0o600)


def changes_since_index(private_folder: str | Path, study: str, inventory: str) -> str:
    """Say in a clause what has changed since a study's files were last indexed; nothing where nothing has."""
    path = Path(private_folder) / INDEXED
    before = read_json(path).get(study) if path.is_file() else None
    if before in (None, inventory):
        return ""
    counts = [part.split("-")[0] for part in (before, inventory)]
    if counts[0] == counts[1]:
        return "files or tables have changed"
    return f"{counts[1]} files lie where {counts[0]} lay"
