"""The reader study's server loses no answer, keeps its own time, and says clearly what is wrong."""

import re
import runpy
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from synthcohort.core.errors import UserError
from synthcohort.readers.answers import ANSWERS, AnswerBook
from synthcohort.readers.client import ReaderClient
from synthcohort.readers.results import read_results
from synthcohort.readers.serve import find_study, serve
from synthcohort.readers.study import ServedStudy, locked
from synthcohort.readers.tables import answers_table

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))
client, begin, answer, look_and_answer = made_up.client, made_up.begin, made_up.answer, made_up.look_and_answer


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return made_up.cells(tmp_path_factory.mktemp("cells"))


def test_thirty_readers_lose_nothing_when_the_server_is_killed(tmp_path: Path, cells: list[Any]) -> None:
    folder = made_up.built(tmp_path, cells[:2], count=30, images=5, repeated=4)
    positions, kills = 24, 3
    acknowledged: list[tuple[str, int, int, int]] = []
    failures: list[BaseException] = []

    def read(link: str, name: str) -> None:
        rng = np.random.default_rng(int(name[-2:]))
        try:
            with ReaderClient(link) as reader:
                state = reader.agree()
                while state.stage != "done":
                    assert reader.look(state).shape == (64, 64)
                    said = (bool(rng.integers(2)), int(rng.integers(1, 6)))
                    number, state = state.number, reader.answer(state, *said)
                    acknowledged.append((name, number, *said))
        except BaseException as error:
            failures.append(error)
            raise

    with made_up.Server(folder) as server:
        links = {name: link for name, link in server.links.items() if name != "administrator"}
        threads = [threading.Thread(target=read, args=(link, name)) for name, link in links.items()]
        for thread in threads:
            thread.start()
        for kill in range(1, kills + 1):
            while len(acknowledged) < kill * 30 * positions / (kills + 1) and not failures:
                time.sleep(0.005)
            server.end(signal.SIGKILL)
            before = list(acknowledged)
            assert len(before) < 30 * positions  # it was under load
            book = AnswerBook(folder / ANSWERS)
            assert set(before) <= stored(book)
            book.close()
            server.start()
        for thread in threads:
            thread.join()
    assert failures == []
    book = AnswerBook(folder / ANSWERS)
    table = answers_table(book)
    assert stored(book) == set(acknowledged)
    assert len(table) == len(acknowledged) == 30 * positions
    assert not table.duplicated(["reader", "position"]).any()
    assert book.query("PRAGMA integrity_check")[0][0] == "ok"
    study = ServedStudy.read(folder)
    for reader in study.readers:
        assert table.loc[table["reader"] == reader.name, "picture"].tolist() == reader.reading
    book.close()
    assert read_results("toy", folder.parent, tmp_path / "private")["simulated"].all()


def stored(book: AnswerBook) -> set[tuple[str, int, int, int]]:
    columns = ["reader", "position", "synthetic", "confidence"]
    return set(answers_table(book)[columns].itertuples(index=False, name=None))


def test_time_of_an_answer_is_the_servers(tmp_path: Path, cells: list[Any]) -> None:
    folder = made_up.built(tmp_path, cells[:1], images=2, repeated=0)
    with made_up.Server(folder) as server, client(server, "reader-01") as reader:
        state = begin(reader)
        moments = [time.monotonic()]
        reader.get("/images/reading/1")
        time.sleep(0.5)
        state = reader.post("/answers", json=answer(state, seconds=9999)).json()
        moments.append(time.monotonic())
        reader.get("/images/reading/2")
        time.sleep(0.3)
        place = {"block": "reading", "number": 2}
        reader.post("/stamps", json=place | {"kind": "paused"})
        time.sleep(0.5)
        reader.post("/stamps", json=place | {"kind": "resumed"})
        assert reader.post("/stamps", json={"block": "reading", "number": 4, "kind": "alive"}).status_code == 204
        reader.post("/answers", json=answer(state))
        moments.append(time.monotonic())
    book = AnswerBook(folder / ANSWERS)
    table = answers_table(book)
    book.close()
    first, second = np.diff(moments)
    assert 0.5 <= table["seconds"].iloc[0] <= first
    assert 0.3 <= table["seconds"].iloc[1] <= second - 0.5  # the pause
    assert table["interrupted"].tolist() == [0, 1]
    assert table["seconds_client"].iloc[0] == 9999


def test_changes_where_they_are_configured(tmp_path: Path, cells: list[Any]) -> None:
    folder = made_up.built(tmp_path, cells[:1], images=2, repeated=0, allow_changes=True)
    with made_up.Server(folder) as server, client(server, "reader-01") as reader:
        state = begin(reader)
        assert reader.get("/?image=2").status_code == 404
        second = look_and_answer(reader, state, comment="first <b>").json()
        page = reader.get("/?image=1").text
        assert "first &lt;b&gt;" in page
        assert re.search(r'value="real" checked', page)
        assert reader.post("/answers", json=answer(state, answer="synthetic")).json() == second
        while second["stage"] != "done":
            second = look_and_answer(reader, second).json()
        assert "go back to the last image" in reader.get("/").text
        assert reader.get("/?image=4").status_code == 200
        assert reader.get("/?image=5").status_code == 404
    results = read_results("toy", folder.parent, tmp_path / "private")
    assert results["position"].tolist() == [1, 2, 3, 4]
    assert results["synthetic"].tolist() == [1, 0, 0, 0]  # the last version counts


def test_disk_errors_are_told_and_nothing_is_acknowledged(tmp_path: Path, cells: list[Any]) -> None:
    folder = made_up.built(tmp_path, cells[:1], images=2, repeated=0)
    with made_up.Server(folder) as server, client(server, "reader-01") as reader:
        state = begin(reader)
        reader.get("/images/reading/1")
        blocking = AnswerBook(folder / ANSWERS)
        with blocking.write() as database:
            database.execute("DROP TABLE stamps")  # as good as a broken disk
        sent = answer(state)
        refused = reader.post("/answers", json=sent)
        assert refused.status_code == 503
        assert refused.json() == {"detail": "Not stored yet: the server cannot write."}
        assert reader.get("/state").json()["number"] == 1
        blocking.close()
        mended = AnswerBook(folder / ANSWERS)  # makes the table anew
        mended.close()
        reader.get("/images/reading/1")  # what was noted of it is gone with the table
        assert reader.post("/answers", json=sent).json()["number"] == 2


# What the server sends, except pixels: does any of it tell real from synthetic?


def test_study_is_found_or_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is none yet"):
        find_study(None, tmp_path)
    for name in ("demo", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.json").write_text("{}")
        if name == "demo":
            assert find_study(None, tmp_path) == tmp_path / "demo"
    with pytest.raises(UserError, match="say which reader study to serve: there are demo, other"):
        find_study(None, tmp_path)
    with pytest.raises(UserError, match=r"no reader study '\.\./x'"):
        find_study("../x", tmp_path)
    assert find_study("other", tmp_path) == tmp_path / "other"


def test_server_refuses_with_one_sentence(tmp_path: Path, cells: list[Any]) -> None:
    folder = made_up.built(tmp_path, cells[:1], images=2, repeated=0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match="cannot listen at"):
            serve(folder, port=other.getsockname()[1])
    with pytest.raises(UserError, match="nobody is called reader-99; there are reader-01 to reader-03"):
        serve(folder, port=0, renew=["reader-99"])
    with locked(folder), pytest.raises(UserError, match="is being served"):
        serve(folder, port=0)
    (folder / "study.json").write_text("{}")
    with pytest.raises(UserError, match=r"study\.json is missing or damaged"):
        serve(folder, port=0)


def test_restarted_server_keeps_links_to_itself(tmp_path: Path, cells: list[Any]) -> None:
    folder = made_up.built(tmp_path, cells[:1], images=2, repeated=0)
    with made_up.Server(folder) as server:
        first = dict(server.links)
        server.end(signal.SIGTERM)
        server.links.clear()
        server.start()
        assert server.links == {}
        with ReaderClient(first["reader-02"]) as reader:
            assert reader.state().stage == "consent"
