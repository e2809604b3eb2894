"""What readers answered: an SQLite file in which answers are only ever added."""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from synthcohort.core.atomic import read_json
from synthcohort.core.errors import UserError
from synthcohort.core.workflow import one_sentence
from synthcohort.readers.clock import Kind, Stamp, time_on_task
from synthcohort.readers.schema import SCHEMA

HOME = Path("reader-studies")
"""Folder of all reader studies."""
ANSWERS = "answers.sqlite"
BUSY_SECONDS = 30.0


class ConflictError(Exception):
    """An answer that may not be stored: this image was answered already, or is not yet to be seen."""


@dataclass(frozen=True)
class Answer:
    """A reader's answer about one image."""

    reader: str
    block: str
    position: int
    """From 1, in the reader's own order."""
    picture: int
    synthetic: bool
    """True where the reader takes the image for synthetic."""
    confidence: int
    """1 (guess) to 5 (certain)."""
    submission: str
    """Drawn by the page, so that an answer that is sent again is known."""
    findings: tuple[str, ...] | None = None
    """None where the reader was not asked."""
    comment: str = ""
    seconds_client: float | None = None
    """What the browser's clock measured; a supplement only."""


@dataclass(frozen=True)
class Profile:
    """What a reader said before beginning."""

    reader: str
    profession: str
    years: int
    consented_at: str


class AnswerBook:
    """The answers of one reader study.

    A write returns only after SQLite has brought it to the disk (write-ahead log, ``synchronous = FULL``): what was
    acknowledged survives a killed server and a power cut. One connection serves all threads, one at a time.

    Parameters
    ----------
    path : Path
        ``answers.sqlite``; made when it is missing.

    Raises
    ------
    UserError
        When the file is no such database.
    """

    def __init__(self, path: Path) -> None:
        self.run = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._database = _connect(path)

    def belong_to(self, digest: str) -> None:
        """Say which build of the study is answered here.

        Raises
        ------
        UserError
            When what people said so far is about another: its images are others under the same numbers.
        """
        with self.write() as database:
            known = [row["digest"] for row in database.execute("SELECT digest FROM builds")]
            if known == [digest]:
                return
            if known and _holds_anything(database):
                raise UserError(
                    f"the answers in {ANSWERS} are to another build than the study.json beside them; bring the whole "
                    "folder from where readers answered."
                )
            database.execute("DELETE FROM builds")
            database.execute("INSERT INTO builds VALUES (?)", (digest,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def query(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """Read rows."""
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction, which is durable when the block ends, or leaves nothing behind."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def save_profile(self, reader: str, profession: str, years: int) -> None:
        """Store what a reader said about themselves; the first time counts."""
        with self.write() as database:
            database.execute(
                "INSERT INTO profiles VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (reader, profession, years, _now())
            )

    def profiles(self) -> dict[str, Profile]:
        """Profiles by reader."""
        rows = self.query("SELECT reader, profession, years, consented_at FROM profiles ORDER BY reader")
        return {row["reader"]: Profile(*row) for row in rows}

    def answered(self, reader: str, block: str) -> int:
        """How many images of a block a reader has answered; they come in order, so the next is one further."""
        statement = "SELECT count(DISTINCT position) FROM answers WHERE reader = ? AND block = ?"
        return int(self.query(statement, reader, block)[0][0])

    def last_answer(self, reader: str, block: str, position: int) -> sqlite3.Row | None:
        """Latest version of an answer."""
        versions = "SELECT * FROM answers WHERE reader = ? AND block = ? AND position = ? ORDER BY revision DESC"
        rows = self.query(f"{versions} LIMIT 1", reader, block, position)
        return rows[0] if rows else None

    def was_opened(self, reader: str, block: str, position: int) -> bool:
        """Whether an image was ever sent to a reader."""
        statement = "SELECT 1 FROM stamps WHERE reader = ? AND block = ? AND position = ? AND kind = 'opened' LIMIT 1"
        return bool(self.query(statement, reader, block, position))

    def stamp(self, reader: str, block: str, position: int, kind: Kind) -> None:
        """Note a sign of life by the server's clocks."""
        with self.write() as database:
            self._stamp(database, reader, block, position, kind)

    def save_answer(self, answer: Answer, allow_changes: bool = False) -> None:
        """Store an answer for good.

        The same submission again is acknowledged again and stored once: its first acknowledgement was lost.

        Parameters
        ----------
        answer : Answer
            The next one of its block, or, with `allow_changes`, an earlier one's new version.
        allow_changes : bool
            Whether answered images may be answered again.

        Raises
        ------
        ConflictError
            When this position was answered already, or one before it was not.
        """
        place = (answer.reader, answer.block, answer.position)
        with self.write() as database:
            versions = database.execute(
                "SELECT submission, synthetic, confidence FROM answers WHERE reader = ? AND block = ? AND position = ?",
                place,
            ).fetchall()
            if (answer.submission, answer.synthetic, answer.confidence) in [tuple(version) for version in versions]:
                return
            if versions and not allow_changes:
                raise ConflictError("this image was answered already")
            before = database.execute(
                "SELECT count(DISTINCT position) FROM answers WHERE reader = ? AND block = ? AND position < ?",
                (answer.reader, answer.block, answer.position),
            ).fetchone()[0]
            if before != answer.position - 1:
                raise ConflictError("an earlier image has no answer yet")
            self._stamp(database, *place, "answered")
            taken = time_on_task(_stamps_of_answer(database, place))
            database.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *place,
                    len(versions),
                    answer.picture,
                    answer.synthetic,
                    answer.confidence,
                    None if answer.findings is None else json.dumps(answer.findings),
                    answer.comment,
                    taken.seconds,
                    answer.seconds_client,
                    taken.interrupted,
                    _now(),
                    answer.submission,
                ),
            )

    def _stamp(self, database: sqlite3.Connection, reader: str, block: str, position: int, kind: Kind) -> None:
        row = (reader, block, position, kind, self.run, time.monotonic(), time.time())
        database.execute("INSERT INTO stamps VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def has_answers(folder: Path) -> bool:
    """Whether a reader study holds anything that people said.

    Raises
    ------
    UserError
        When its answers cannot be read.
    """
    path = folder / ANSWERS
    if not path.is_file():
        return False
    with closing(_connect(path)) as database:
        return _holds_anything(database)


def answers_given(told: str | Path, home: Path = HOME) -> int:
    """Count the answers to a reader study, for a rule that must see new ones though they are no input of it.

    Parameters
    ----------
    told : str or Path
        What building the study told (JSON); before it is built there are no answers.
    home : Path
        Folder of all reader studies.
    """
    with one_sentence():
        return count_answers(home / read_json(told)["id"]) if Path(told).is_file() else 0


def count_answers(folder: Path) -> int:
    """Count all versions of all answers of a reader study; they are never deleted, so the number tells what is new."""
    path = folder / ANSWERS
    if not path.is_file():
        return 0
    with closing(_connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM answers").fetchone()[0])


def _holds_anything(database: sqlite3.Connection) -> bool:
    told = database.execute("SELECT EXISTS (SELECT * FROM profiles) OR EXISTS (SELECT * FROM answers)")
    return bool(told.fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    # Threads take turns by a lock; transactions are opened by hand.
    database = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(SCHEMA)
    except sqlite3.DatabaseError as error:
        database.close()
        raise UserError(
            f"reader study {path.parent.name}: {path.name} cannot be used ({error}); keep it, and restore it from a "
            "backup or build the study under another name."
        ) from None
    return database


def _stamps_of_answer(database: sqlite3.Connection, place: Sequence[object]) -> list[Stamp]:
    """Stamps since this image was answered before, if it ever was."""
    of_place = (
        "SELECT kind, run, monotonic, at FROM stamps WHERE reader = ? AND block = ? AND position = ? ORDER BY rowid"
    )
    stamps = [Stamp(*row) for row in database.execute(of_place, place)]
    starts = [number + 1 for number, stamp in enumerate(stamps[:-1]) if stamp.kind == "answered"]
    return stamps[starts[-1] :] if starts else stamps


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
