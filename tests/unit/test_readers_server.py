"""The reader study's real server: a whole session, and closed to everyone else."""

import asyncio
import hashlib
import http.client
import io
import re
import runpy
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from synthcohort.core.errors import UserError
from synthcohort.readers.desk import Desk
from synthcohort.readers.results import read_results
from synthcohort.readers.serve import _server

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))
client, begin, answer, look_and_answer = made_up.client, made_up.begin, made_up.answer, made_up.look_and_answer
JSON = {"Content-Type": "application/json"}
PERSON = made_up.PERSON


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return made_up.cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, cells: list[Any]) -> Iterator[Any]:
    """A study with a training block, many readers, and findings asked; each test uses readers of its own."""
    folder = tmp_path_factory.mktemp("served")
    changes = {"count": 12, "training": 2, "ask_findings": True}
    with made_up.Server(made_up.built(folder, cells, **changes)) as running:
        yield running


def test_whole_session(server: Any) -> None:
    with client(server, "reader-01") as reader:
        assert "voluntary" in reader.get("/").text
        state = begin(reader)
        assert state == {"stage": "training", "number": 1, "of": 2}
        told = []
        while state["stage"] == "training":
            assert len(reader.get(f"/images/training/{state['number']}").content) == 64 * 64
            state = reader.post("/answers", json=answer(state)).json()
            told.append(state.pop("truth"))
        assert sorted(told) == ["real", "synthetic"]
        assert state == {"stage": "reading", "number": 1, "of": 26}
        while state["stage"] == "reading":
            assert f"Image {state['number']} of 26" in reader.get("/").text
            assert len(reader.get(f"/images/reading/{state['number']}").content) == 64 * 64
            state = reader.post("/answers", json=answer(state, findings=["no_finding", "invented"])).json()
            assert state.pop("truth") is None
        assert state["stage"] == "done"
        assert "Thank you" in reader.get("/").text
    with client(server, "administrator") as administrator:
        assert "26 of 26" in administrator.get("/", follow_redirects=True).text
        assert administrator.get("/admin").status_code == 200
        table = pd.read_csv(io.StringIO(administrator.get("/admin/answers.csv").text))
        people = pd.read_csv(io.StringIO(administrator.get("/admin/readers.csv").text))
    own = table[table["reader"] == "reader-01"]
    assert own.groupby("block").size().to_dict() == {"reading": 26, "training": 2}
    assert set(own.loc[own["block"] == "reading", "findings"]) == {'["no_finding"]'}
    assert people.set_index("reader").loc["reader-01", ["profession", "years"]].tolist() == ["radiologist", 11]


def test_answers_and_key_come_together(server: Any) -> None:
    with client(server, "reader-02") as reader:
        state = begin(reader)
        while state["stage"] != "done":
            said = "synthetic" if state["number"] % 3 else "real"
            state = look_and_answer(reader, state, answer=said, confidence=4).json()
    home = server.folder.parent
    results = read_results("toy", home, home.parent / "private")
    own = results[results["reader"] == "reader-02"].reset_index(drop=True)
    assert own["position"].tolist() == list(range(1, 27))
    assert own["exposure"].value_counts().to_dict() == {1: 24, 2: 2}
    assert own[own["exposure"] == 1]["truth"].value_counts().to_dict() == {"real": 12, "synthetic": 12}
    assert (own["correct"] == ((own["position"] % 3 > 0) == (own["truth"] == "synthetic"))).all()
    assert (own["score"] == np.where(own["position"] % 3 > 0, 4, -4)).all()
    assert own.groupby("family").size().min() >= 12
    assert (own["resolution"] == 32).all()
    folder = made_up.built(home.parent / "other", [made_up.cells(home.parent / "s", ("head-phantom",))[0]])
    with pytest.raises(UserError, match="was not served yet"):
        read_results("toy", folder.parent, folder.parents[1] / "private")


def test_nobody_answers_twice_or_ahead(server: Any) -> None:
    with client(server, "reader-03") as reader:
        first = begin(reader)
        assert reader.post("/answers", json=answer(first | {"number": 2})).status_code == 409
        assert reader.post("/answers", json=answer({"stage": "reading", "number": 1})).status_code == 409
        sent = answer(first)
        unseen = reader.post("/answers", json=sent)
        assert (unseen.status_code, "never looked at" in unseen.text) == (409, True)
        reader.get("/images/training/1")
        assert reader.post("/answers", json=sent).json()["number"] == 2
        assert reader.post("/answers", json=sent).json()["number"] == 2  # sent again: acknowledged again
        assert reader.post("/answers", json=answer(first)).status_code == 409
        assert reader.post("/answers", json=sent | {"answer": "synthetic"}).status_code == 409
        assert reader.get("/images/training/1").status_code == 404  # answered: not to be seen any more
        assert reader.get("/images/training/3").status_code == 404
        assert reader.get("/images/reading/1").status_code == 404
        assert reader.get("/?image=1").status_code == 404
        rest = {"number": 2, "stage": "training"}
        for wrong in (
            {"confidence": 6}, {"confidence": 0}, {"answer": "maybe"}, {"submission": "x"}, {"number": 0},
            {"number": 10**9}, {"comment": "x" * 2001}, {"block": "other"}, {"picture": 3}, {"seconds": -1},
        ):  # fmt: skip
            assert reader.post("/answers", json=answer(rest, **wrong)).status_code in (409, 422)
        assert reader.get("/state").json() == {"stage": "training", "number": 2, "of": 2}


def test_consent_comes_first(server: Any) -> None:
    with client(server, "reader-04") as reader:
        assert reader.get("/images/training/1").status_code == 404
        assert reader.post("/answers", json=answer({"stage": "training", "number": 1})).status_code == 409
        for wrong in ({"consent": False}, {"years": -1}, {"years": None}, {"profession": "king"}, {"name": "Smith"}):
            assert reader.post("/profile", json=PERSON | wrong).status_code == 422
        assert reader.get("/state").json()["stage"] == "consent"


def test_answers_of_two_devices_meet(server: Any) -> None:
    with client(server, "reader-05") as desk, client(server, "reader-05") as tablet:
        state = begin(desk)
        assert tablet.get("/state").json() == state
        look_and_answer(desk, state)
        assert tablet.post("/answers", json=answer(state)).status_code == 409
        assert tablet.get("/state").json()["number"] == 2


def test_wrong_tokens_open_nothing_and_are_limited(server: Any) -> None:
    with client(server) as stranger:
        token = server.token("reader-06")
        # Of ten tries: cut, changed, empty, another case, a session's name, SQL, a digest.
        tries = ["", token[:-1], token + "A", token.swapcase(), "reader-06", "' OR 1=1 --", "\x00", "é" * 30]
        tries += [hashlib.sha256(token.encode()).hexdigest(), "x" * 200]
        assert [stranger.post("/enter", json={"token": text}).status_code for text in tries] == [401] * 10
        assert stranger.cookies == {}
        blocked = stranger.post("/enter", json={"token": token})
        assert blocked.status_code == 429
        assert 0 < int(blocked.headers["retry-after"]) <= 600
        forged = stranger.post("/enter", json={"token": token}, headers={"X-Forwarded-For": "9.9.9.9"})
        assert forged.status_code == 429  # without --address there is no proxy to speak for others
    server.end(signal.SIGTERM)  # the limit is the running server's: free it for other tests
    server.start()


PATHS = [
    "/../../private/toy.key", "/..%2f..%2fprivate%2ftoy.key", "/%2e%2e/%2e%2e/private/toy.secret", "/toy.key",
    "/study.json", "/answers.sqlite", "/reading.bin", "/training.json", "/training.bin", "//etc/passwd",
    "/images/../../study.json", "/images/reading/../../study.json", "/images/reading/%2e%2e", "/images/key/1",
    "/images/reading/1.png", "/images/reading/0x1", "/images/reading/-1", "/images/reading/1%00", "/web/base.html",
    "/base.html", "/..\\..\\private\\toy.key", "/style.css/../../study.json", "/static/style.css", "/openapi.json",
    "/docs", "/redoc", "/admin/../study.json", "/images/reading/99999999999999999999999999", "/reader.js.map",
]  # fmt: skip


@pytest.mark.parametrize("name", ["reader-07", None])
def test_no_path_leads_to_a_file(server: Any, name: str | None) -> None:
    headers = {}
    if name:
        with client(server, name) as reader:
            begin(reader)
            headers["Cookie"] = f"reader={reader.cookies['reader']}"
    raw = http.client.HTTPConnection("127.0.0.1", server.port)  # sends paths as they are
    for path in PATHS:
        raw.request("GET", path, headers=headers)
        response = raw.getresponse()
        body = response.read()
        assert response.status in (303, 404) or (response.status, name) == (401, None), path
        for secret in (b"SQLite", b"gAAAA", b"root:", b'"truth"', b"digest"):
            assert secret not in body
    raw.close()


PROTECTED = [
    ("GET", "/"), ("GET", "/state"), ("GET", "/images/reading/1"), ("GET", "/admin"), ("GET", "/admin/answers.csv"),
    ("GET", "/admin/readers.csv"), ("POST", "/profile"), ("POST", "/answers"), ("POST", "/stamps"),
]  # fmt: skip
BODIES = {
    "/profile": PERSON,
    "/answers": answer({"stage": "reading", "number": 1}),
    "/stamps": {"block": "reading", "number": 1, "kind": "alive"},
}


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_everything_needs_a_session(server: Any, method: str, path: str) -> None:
    with client(server) as stranger:
        for cookie in ("", "x", server.token("reader-08"), "administrator"):
            headers = {"Cookie": f"reader={cookie}"}
            response = stranger.request(method, path, json=BODIES.get(path), headers=headers)
            assert response.status_code == 401
        page = stranger.request(method, path, json=BODIES.get(path), headers={"Accept": "text/html"})
        assert page.status_code == (303 if method == "GET" else 401)


def test_readers_and_administrator_keep_to_their_own_pages(server: Any) -> None:
    with client(server, "reader-08") as reader, client(server, "administrator") as administrator:
        for path in ("/admin", "/admin/answers.csv", "/admin/readers.csv"):
            assert reader.get(path).status_code == 401
        assert administrator.get("/images/reading/1").status_code == 401
        assert administrator.post("/profile", json=PERSON).status_code == 401
        reader.post("/leave", json={})
        assert reader.get("/state").status_code == 401


def test_cookie_is_kept_from_scripts_and_other_sites(server: Any) -> None:
    with client(server) as reader:
        entered = reader.post("/enter", json={"token": server.token("reader-09")})
    plain = entered.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Max-Age=43200"} <= set(plain.split("; "))
    assert "Secure" not in plain.split("; ")
    assert "strict-transport-security" not in entered.headers
    assert server.token("reader-09") not in plain


def test_address_by_https_keeps_cookies_to_it_whatever_the_proxy_says(tmp_path: Path, cells: list[Any]) -> None:
    with closing(Desk(made_up.built(tmp_path, cells[:1], images=2, repeated=0))) as desk:
        token = desk.sessions.issue_links(desk.names)["reader-01"]
        started = {address: _server(desk, address) for address in (None, "http://x.example", "https://x.example")}

        async def session() -> list[httpx.Response]:
            wire = httpx.ASGITransport(started["https://x.example"].config.app)
            async with httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1") as reader:
                return [await reader.post("/enter", json={"token": token}), await reader.post("/leave", json={})]

        responses = asyncio.run(session())
    for response in responses:
        assert "Secure" in response.headers["set-cookie"].split("; ")
        assert response.headers["strict-transport-security"] == "max-age=31536000"
    assert [server.config.proxy_headers for server in started.values()] == [False, True, True]


def test_every_response_has_the_security_headers(server: Any) -> None:
    with client(server, "reader-10") as reader:
        begin(reader)
        responses = [
            reader.get("/"), reader.get("/enter"), reader.get("/style.css"), reader.get("/reader.js"),
            reader.get("/images/training/1"), reader.get("/nothing"), reader.get("/state"), reader.get("/admin"),
            reader.post("/answers", json={}), reader.post("/answers", content=b"x" * 20000, headers=JSON),
            reader.post("/answers", content=iter([b"{}"]), headers=JSON), reader.put("/answers", json={}),
        ]  # fmt: skip
    statuses = [response.status_code for response in responses]
    assert statuses == [200, 200, 200, 200, 200, 404, 200, 401, 422, 413, 411, 405]
    for response in responses:
        policy = response.headers["content-security-policy"]
        assert {"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} <= set(policy.split("; "))
        assert "unsafe" not in policy
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert not {"server", "etag", "last-modified", "access-control-allow-origin"} & set(response.headers)


def test_other_sites_cannot_send_forms(server: Any) -> None:
    with client(server, "reader-11") as reader:
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site}
            assert reader.post("/profile", json=PERSON, headers=headers).status_code == 403
        form = reader.post("/profile", data={"consent": "true", "profession": "other", "years": "1"})
        assert form.status_code == 422  # a plain form, which any site could send, is not taken
        assert reader.get("/state").json()["stage"] == "consent"


def test_pages_load_nothing_from_elsewhere(server: Any) -> None:
    with client(server, "reader-12") as reader:
        texts = [reader.get(path).text for path in ("/", "/enter", "/style.css", "/reader.js")]
        begin(reader)
        texts.append(reader.get("/").text)
    for text in texts:
        assert not re.search(r"https?://|//[a-z]|@import|url\(", text.replace("// ", ""))
        assert not re.search(r"<script(?! src=\"/reader\.js\")|\sstyle=|\son[a-z]+=", text)
