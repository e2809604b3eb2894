"""Answers, time, tokens and tables of the reader study, without a server."""

import io
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthcohort.core.errors import UserError
from synthcohort.readers import access
from synthcohort.readers.access import GuessLimit, TooManyError, holder_of, new_token, token_digest
from synthcohort.readers.answers import ANSWERS, Answer, AnswerBook, ConflictError
from synthcohort.readers.clock import LONGEST_SILENCE, Stamp, time_on_task
from synthcohort.readers.progress import State, is_open, is_reached
from synthcohort.readers.sessions import Sessions
from synthcohort.readers.study import Pack, Reader, ServedStudy
from synthcohort.readers.tables import answers_table, export_csv, profiles_table, reader_progress


@pytest.fixture
def book(tmp_path: Path) -> AnswerBook:
    made = AnswerBook(tmp_path / ANSWERS)
    yield made
    made.close()


def answer(position: int = 1, submission: str = "a", **changes: object) -> Answer:
    given = {"reader": "reader-01", "block": "reading", "picture": 7, "synthetic": True, "confidence": 3}
    return Answer(**(given | {"position": position, "submission": submission} | changes))


def study(**changes: object) -> ServedStudy:
    given = {
        "study_id": "toy", "study": "toy", "digest": "d", "title": "t", "consent": "c", "simulated": True, "side": 8,
        "ask_findings": False, "allow_changes": False, "findings": {},
        "packs": {block: Pack(digest="", cohorts=["toy"] * 9) for block in ("training", "reading")},
        "readers": [Reader(name=f"reader-0{n}", training=[0, 1], reading=[3, 1, 2]) for n in (1, 2)],
    }  # fmt: skip
    return ServedStudy(**(given | changes))


def test_answers_are_stored_once_and_in_order(book: AnswerBook) -> None:
    with pytest.raises(ConflictError, match="earlier image"):
        book.save_answer(answer(2))
    book.save_answer(answer(1))
    with pytest.raises(ConflictError, match="answered already"):
        book.save_answer(answer(1, "b", synthetic=False))
    with pytest.raises(ConflictError, match="answered already"):
        book.save_answer(answer(1, "a", synthetic=False))  # the same submission may not say something else
    book.save_answer(answer(1))  # but again: its acknowledgement was lost
    book.save_answer(answer(2, "c"))
    assert book.answered("reader-01", "reading") == 2
    assert answers_table(book)[["position", "synthetic"]].to_numpy().tolist() == [[1, 1], [2, 1]]


def test_changes_are_new_versions_where_they_are_allowed(book: AnswerBook) -> None:
    book.save_answer(answer(1))
    book.save_answer(answer(1, "b", synthetic=False), allow_changes=True)
    assert book.answered("reader-01", "reading") == 1
    assert answers_table(book)[["revision", "synthetic"]].to_numpy().tolist() == [[0, 1], [1, 0]]
    assert book.last_answer("reader-01", "reading", 1)["submission"] == "b"


@pytest.mark.parametrize("statement", ["UPDATE answers SET synthetic = 0", "DELETE FROM answers"])
def test_nobody_changes_or_deletes_answers(book: AnswerBook, statement: str) -> None:
    book.save_answer(answer(1))
    with pytest.raises(sqlite3.IntegrityError, match="answers are never"), book.write() as database:
        database.execute(statement)
    assert len(answers_table(book)) == 1


def test_database_itself_refuses_second_and_impossible_answers(book: AnswerBook) -> None:
    book.save_answer(answer(1))
    row = tuple(book.query("SELECT * FROM answers")[0])
    changed = ((*row[:2], 0, *row[3:]), (*row[:3], 1, row[4], 2, *row[6:]), (*row[:3], 1, *row[4:6], 6, *row[7:]))
    for wrong in (row, *changed):
        with pytest.raises(sqlite3.IntegrityError), book.write() as database:
            database.execute(f"INSERT INTO answers VALUES ({', '.join('?' * len(row))})", wrong)


def test_writes_are_durable_before_they_return(book: AnswerBook, tmp_path: Path) -> None:
    assert book.query("PRAGMA journal_mode")[0][0] == "wal"
    assert book.query("PRAGMA synchronous")[0][0] == 2  # FULL
    book.save_answer(answer(1))
    with sqlite3.connect(tmp_path / ANSWERS) as other:  # another process would see it already
        assert other.execute("SELECT count(*) FROM answers").fetchone() == (1,)
    other.close()


def test_failed_write_leaves_nothing_and_blocks_nobody(book: AnswerBook) -> None:
    def fail() -> None:
        with book.write() as database:
            database.execute("INSERT INTO profiles VALUES ('reader-01', 'other', 1, 'now')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert book.profiles() == {}
    book.save_profile("reader-01", "radiologist", 12)
    book.save_profile("reader-01", "other", 1)  # the first counts
    assert book.profiles()["reader-01"].years == 12


def test_one_answer_wins_when_many_threads_try(book: AnswerBook) -> None:
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            book.save_answer(answer(1, f"submission-{number}", synthetic=bool(number % 2)))
            outcomes.append("stored")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 19 + ["stored"]
    assert len(answers_table(book)) == 1


def test_file_that_is_no_database_is_kept(tmp_path: Path) -> None:
    (tmp_path / ANSWERS).write_bytes(b"something else" * 100)
    with pytest.raises(UserError, match="cannot be used"):
        AnswerBook(tmp_path / ANSWERS)
    assert (tmp_path / ANSWERS).read_bytes() == b"something else" * 100


def stamps(*marks: tuple[str, float], run: str = "a") -> list[Stamp]:
    return [Stamp(kind, run, moment, 1e9 + moment) for kind, moment in marks]


def test_time_on_task_leaves_pauses_and_absences_out() -> None:
    plain = stamps(("opened", 0), ("alive", 20), ("answered", 27.5))
    assert time_on_task(plain) == (27.5, False)
    paused = stamps(("opened", 0), ("paused", 10), ("resumed", 500), ("answered", 504))
    assert time_on_task(paused) == (14, True)
    away = stamps(("opened", 0), ("alive", 20), ("opened", 9000), ("answered", 9005))
    assert time_on_task(away) == (20 + LONGEST_SILENCE + 5, True)
    assert time_on_task(stamps(("answered", 3))) == (0, True)  # nothing is known


def test_time_over_a_restart_is_by_the_wall_clock_and_marked() -> None:
    # The second start has another monotonic clock: it would say minus 995 s.
    both = [Stamp("opened", "a", 1000.0, 50.0), Stamp("opened", "b", 5.0, 58.0), Stamp("answered", "b", 8.0, 61.0)]
    assert time_on_task(both) == (11, True)
    turned_back = [Stamp("opened", "a", 1000.0, 50.0), Stamp("answered", "b", 5.0, 40.0)]
    assert time_on_task(turned_back) == (0, True)


def test_time_is_the_servers_not_the_clients(book: AnswerBook, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("synthcohort.readers.answers.time.monotonic", lambda: now)
    book.stamp("reader-01", "reading", 1, "opened")
    now = 112.0
    book.save_answer(answer(1, seconds_client=99999.0), allow_changes=True)
    now = 200.0
    book.stamp("reader-01", "reading", 1, "opened")
    now = 203.0
    book.save_answer(answer(1, "b"), allow_changes=True)
    assert answers_table(book)["seconds"].tolist() == [12.0, 3.0]  # each version has its own time
    assert answers_table(book)["interrupted"].tolist() == [0, 0]


def test_tokens_are_random_and_only_digests_are_kept(book: AnswerBook, tmp_path: Path) -> None:
    tokens = Sessions(book).issue_links(["reader-01", "administrator"])
    assert all(len(token) == 32 for token in tokens.values())
    opened = Sessions(book).open(tokens["reader-01"])
    assert opened is not None
    name, session = opened
    assert name == "reader-01"
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in [*tokens.values(), session]:
        assert secret.encode() not in files
        assert token_digest(secret) in files
    assert len({new_token() for _ in range(1000)}) == 1000


def test_sessions_open_end_and_run_out(book: AnswerBook, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(book)
    tokens = sessions.issue_links(["reader-01", "reader-02"])
    assert sessions.open("wrong") is None
    assert sessions.open("") is None
    first, second = (sessions.open(tokens["reader-01"])[1] for _ in range(2))  # two devices
    assert first != second
    sessions.close(first)
    assert (sessions.holder(first), sessions.holder(second)) == (None, "reader-01")
    assert sessions.holder(tokens["reader-01"]) is None  # a link's token is no session's
    assert sessions.issue_links(["reader-01", "reader-02"]) == {}
    renewed = sessions.issue_links(["reader-01", "reader-02"], renew=["reader-01"])
    assert list(renewed) == ["reader-01"]
    assert sessions.holder(second) is None  # signed out everywhere
    assert sessions.open(tokens["reader-01"]) is None
    opened = sessions.open(renewed["reader-01"])[1]
    opened_too = sessions.open(tokens["reader-02"])[1]
    assert sessions.issue_links(["reader-01"]) == {}  # built anew with fewer readers
    assert sessions.open(tokens["reader-02"]) is None
    assert sessions.holder(opened_too) is None
    monkeypatch.setattr("synthcohort.readers.sessions.time.time", lambda: 4e9)
    assert sessions.holder(opened) is None


def test_every_known_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def note(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(access.hmac, "compare_digest", note)
    known = [(f"reader-{number}", token_digest(str(number))) for number in range(5)]
    assert holder_of("0", known) == "reader-0"
    assert len(compared) == 5  # found at once, compared to the end
    assert all(len(a) == len(b) == 32 for a, b in compared)
    assert holder_of("\udcff", known) is None


def waits(limit: GuessLimit, address: str, right: bool = False) -> float:
    """Try a token; the seconds to wait, 0 where it was checked."""
    try:
        limit.admit(address, lambda: "reader-01" if right else None)
    except TooManyError as error:
        return error.seconds
    return 0


def test_guessing_is_limited_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(access.time, "monotonic", lambda: now)
    limit = GuessLimit(failures=3, period=60)
    assert [waits(limit, "1.2.3.4") for _ in range(2)] == [0, 0]
    now += 10
    assert [waits(limit, "1.2.3.4", right) for right in (True, True, False)] == [0, 0, 0]  # right ones cost nothing
    assert [waits(limit, "1.2.3.4", right) for right in (True, False)] == [50, 50]
    assert waits(limit, "4.3.2.1") == 0
    now += 51
    assert waits(limit, "1.2.3.4", right=True) == 0


def test_limit_forgets_the_oldest_of_many_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "ADDRESSES", 3)
    limit = GuessLimit(failures=2, period=60)
    for address in ("a", "b", "c", "a", "d"):  # b tried longest ago
        assert waits(limit, address) == 0
    assert list(limit._failed) == ["c", "a", "d"]
    assert waits(limit, "a") > 0


def test_tries_at_once_are_no_way_around_the_limit() -> None:
    limit, checked = GuessLimit(failures=3), []

    def guess() -> None:
        with suppress(TooManyError):
            limit.admit("1.2.3.4", lambda: checked.append(time.sleep(0.005)))

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(checked) == 3


def test_only_the_next_image_is_open() -> None:
    fixed, changing = study(), study(allow_changes=True)
    at = State(stage="reading", number=2, of=3)
    assert [is_open(at, fixed, "reading", number) for number in (0, 1, 2, 3)] == [False, False, True, False]
    assert [is_open(at, changing, "reading", number) for number in (0, 1, 2, 3)] == [False, True, True, False]
    assert not is_open(at, changing, "training", 1)
    done = State(stage="done")
    assert [is_open(done, fixed, "reading", number) for number in (0, 1)] == [False, False]
    assert [is_open(done, changing, "reading", number) for number in (-1, 0, 1)] == [False, False, True]
    for state in (State(stage="consent"), State(stage="training", number=1, of=2)):
        assert not is_open(state, changing, "reading", 1)
        assert not is_reached(state, "reading", 1)
    assert is_reached(at, "reading", 1)
    assert not is_reached(at, "reading", 3)
    assert is_reached(at, "training", 2)


def test_progress_counts_versions_once_and_knows_who_has_not_begun(book: AnswerBook) -> None:
    book.save_profile("reader-01", "radiologist", 5)
    for number in (1, 2):
        book.save_answer(answer(number, str(number), block="training"))
    book.save_answer(answer(1))
    book.save_answer(answer(1, "b"), allow_changes=True)
    begun, not_begun = reader_progress(study(), book)
    assert [begun[key] for key in ("training", "of_training", "reading", "of_reading")] == [2, 2, 1, 3]
    assert [not_begun[key] for key in ("training", "reading")] == [0, 0]
    assert [not_begun[key] for key in ("profession", "years", "last")] == [None] * 3
    assert profiles_table(book)[["reader", "simulated"]].to_numpy().tolist() == [["reader-01", False]]


def test_empty_tables_have_their_columns(book: AnswerBook) -> None:
    assert list(answers_table(book).columns)[:4] == ["reader", "block", "position", "revision"]
    assert "submission" not in answers_table(book)
    assert len(reader_progress(study(), book)) == 2


def test_csv_keeps_comments_from_being_formulas(book: AnswerBook) -> None:
    comments = ['=HYPERLINK("http://x")', "+1", "-x", "@a", "plain, with comma", 'quotes " and\nlines', ""]
    for number, comment in enumerate(comments, start=1):
        book.save_answer(answer(number, str(number), comment=comment))
    text = export_csv(answers_table(book))
    again = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert again["comment"].tolist() == [f"'{c}" if c[:1] in ("=", "+", "-", "@") else c for c in comments]
    assert np.allclose(again["seconds"], answers_table(book)["seconds"])
