"""The files of a cohort on their way into its index: tables on disk, so that memory does not grow with their number."""

import pickle
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from synthcohort.core.errors import UserError
from synthcohort.dicom.folder import Entry
from synthcohort.dicom.header import Header
from synthcohort.dicom.pseudonyms import private_path
from synthcohort.dicom.reasons import Reason

CACHE_KB = 4_096
LUTS = {"modality_lut", "voi_lut"}
PACKED = [field.name for field in fields(Header) if field.name not in LUTS]


@contextmanager
def disk_errors() -> Iterator[None]:
    """Say what SQLite could not write.

    Raises
    ------
    UserError
        When the disk of the private folder is full, its quota is used up, or it fails.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise
        raise UserError(
            "the index needs room in the cohort's private folder, which cannot be written any more (disk full or quota "
            "used up); free some space and run the same command again."
        ) from error


class FileRow(NamedTuple):
    """One file: what only private eyes may see, then what the index shows (`index.COLUMNS`)."""

    number: int
    """In the order of paths."""
    place: bytes
    """What the index is sorted by."""
    label_row: int
    """Row of the label table, or -1."""
    path: str
    original_patient: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    z: float | None
    y: float | None
    x: float | None
    file_id: str
    reason: str
    """Why it is rejected; empty where it is not."""
    patient_id: str
    study_id: str
    modality: str
    view: str
    rows: int | None
    columns: int | None
    bits_stored: int | None
    photometric: str
    transfer_syntax: str
    shard: int


TABLES = f"""
CREATE TABLE entry (path, problem);
CREATE TABLE header (number INTEGER PRIMARY KEY, reason, uid, path, name, stem, header);
CREATE TABLE label_row (row INTEGER PRIMARY KEY, key);
CREATE TABLE label (key PRIMARY KEY, row) WITHOUT ROWID;
CREATE TABLE file ({", ".join(FileRow._fields)});
"""
REJECT_DUPLICATES = """
UPDATE file SET reason = ? WHERE number IN (
    SELECT number FROM (
        SELECT number, ROW_NUMBER() OVER (PARTITION BY sop_instance_uid ORDER BY number) AS copy
        FROM file WHERE reason = '' AND sop_instance_uid <> ''
    ) WHERE copy > 1
)
"""
REJECT_SLICES = """
UPDATE file SET reason = ? WHERE number IN (
    SELECT number FROM (
        SELECT number, ROW_NUMBER() OVER (
            PARTITION BY original_patient, study_uid, series_uid ORDER BY z, y, x, path
        ) AS slice FROM file WHERE reason = ''
    ) WHERE (slice - 1) % ?
)
"""


class FileTable:
    """Tables in files of a cohort's private folder that have no name, and so are gone when the process is.

    Parameters
    ----------
    private_folder : str or Path
        Folder of the pseudonymisation key; what is sorted on disk lies there as well, as it names patients.
    """

    def __init__(self, private_folder: str | Path) -> None:
        folder = str(private_path(private_folder, "").resolve())
        self._database = sqlite3.connect("", isolation_level=None)
        # By this alone it is kept out of /tmp: the environment is read when the module is first imported.
        self._database.execute("PRAGMA temp_store_directory = '{}'".format(folder.replace("'", "''")))
        if self._database.execute("PRAGMA temp_store_directory").fetchone() != (folder,):
            raise UserError(
                "the SQLite of this Python cannot be told where to sort, and what the index sorts names patients; use "
                "another Python."
            )
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA cache_size = -{CACHE_KB}; {TABLES} BEGIN")

    def list_entries(self, entries: Iterable[Entry]) -> int:
        """Take what a folder holds, in any order; return how much it is."""
        rows = ((entry.path, entry.problem.value if entry.problem else "") for entry in entries)
        self._database.executemany("INSERT INTO entry VALUES (?, ?)", rows)
        return self._count("SELECT COUNT(*) FROM entry")

    def entries(self) -> Iterator[tuple[str, str]]:
        """Give path and problem of everything, in the order of paths."""
        return self._database.execute("SELECT path, problem FROM entry ORDER BY path")

    def add_headers(self, headers: Iterable[tuple[str, str, Header | None]]) -> None:
        """Take path, reason of rejection and header of each file."""
        self._database.executemany(
            "INSERT INTO header VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (
                (reason, header.sop_instance_uid if header else "", path, *_names(path), _packed(header))
                for path, reason, header in headers
            ),
        )

    @property
    def headers(self) -> int:
        """Number of files."""
        return self._count("SELECT COUNT(*) FROM header")

    def add_labels(self, keys: Iterable[str]) -> int:
        """Take what names the file in each row of the label table; return the number of different names."""
        rows = ((number, key) for number, key in enumerate(keys) if key)
        self._database.executemany("INSERT INTO label_row VALUES (?, ?)", rows)
        self._database.execute("INSERT INTO label SELECT key, MIN(row) FROM label_row GROUP BY key")
        return self._count("SELECT COUNT(*) FROM label")

    def repeated_labels(self) -> Iterator[tuple[int, int]]:
        """Give each row of the label table that names a file again, and the first that does."""
        return self._database.execute(
            "SELECT label_row.row, label.row FROM label_row JOIN label USING (key) "
            "WHERE label_row.row <> label.row ORDER BY 1"
        )

    def labels_with_file(self, column: str) -> int:
        """Count the names in the label table that some file has in `column` (uid, path, name or stem)."""
        return self._count(f"SELECT COUNT(DISTINCT key) FROM header JOIN label ON key = {column}")

    def files_that_share(self, column: str) -> int:
        """Count the files whose name is in the label table and is another file's as well."""
        shared = f"SELECT COUNT(*) AS files FROM header JOIN label ON key = {column} GROUP BY key HAVING files > 1"
        return self._count(f"SELECT COALESCE(SUM(files), 0) FROM ({shared})")

    def labelled_headers(self, column: str) -> Iterator[tuple[int, str, str, Header | None, int]]:
        """Give number, path, reason, header and row of the label table (-1 for none) of each file.

        Headers come without their lookup tables, which are large, and needed with the pixels only.
        """
        found = self._database.execute(
            f"SELECT number, path, reason, header, COALESCE(row, -1) FROM header LEFT JOIN label ON key = {column} "
            "ORDER BY number"
        )
        for number, path, reason, header, row in found:
            yield number, path, reason, _unpacked(header), row

    def add_files(self, files: Iterable[FileRow]) -> None:
        """Take the files, their headers checked."""
        self._database.executemany(f"INSERT INTO file VALUES ({', '.join('?' * len(FileRow._fields))})", files)

    def reject_duplicates(self) -> None:
        """Of usable files with the same SOP instance UID leave the first path."""
        self._database.execute(REJECT_DUPLICATES, [Reason.DUPLICATE.value])

    def reject_slices(self, step: int) -> None:
        """Of each series' usable slices leave every `step`-th, from the first.

        They are counted in the order of their positions along z (then y and x), and by path where the files do not say
        it: neighbouring slices show nearly the same.
        """
        self._database.execute(REJECT_SLICES, [Reason.SLICE.value, step])

    def reasons(self) -> Counter[str]:
        """Count the files by the reason why they are rejected; empty for those that are not."""
        return Counter(dict(self._database.execute("SELECT reason, COUNT(*) FROM file GROUP BY reason")))

    def patients(self) -> int:
        """Count the patients."""
        return self._count("SELECT COUNT(DISTINCT original_patient) FROM file WHERE original_patient <> ''")

    def pseudonyms_collide(self) -> bool:
        """Tell whether two files or two patients have the same pseudonym."""
        patients = self._count("SELECT COUNT(DISTINCT patient_id) FROM file WHERE patient_id <> ''")
        files = self._count("SELECT COUNT(*) - COUNT(DISTINCT file_id) FROM file")
        return bool(files) or patients != self.patients()

    def sort(self) -> None:
        """Bring the files into the index's order, and forget what they came from."""
        self._database.execute("CREATE TABLE sorted AS SELECT * FROM file ORDER BY place")
        for table in ("entry", "header", "label_row", "label"):
            self._database.execute(f"DROP TABLE {table}")

    def sorted_files(self, columns: Iterable[str], at_once: int) -> Iterator[list[tuple[Any, ...]]]:
        """Give columns of `FileRow`, the files as `sort` left them and so many at a time."""
        with disk_errors():
            found = self._database.execute(f"SELECT {', '.join(columns)} FROM sorted ORDER BY rowid")
            while rows := found.fetchmany(at_once):
                yield rows

    def _count(self, question: str) -> int:
        (number,) = self._database.execute(question).fetchone()
        return int(number)


def _names(path: str) -> tuple[str, str]:
    """Name of a file, with and without its ending, as pathlib has them, in a fifth of its time."""
    name = path.rpartition("/")[2]
    stem = name.rpartition(".")[0]
    return name, stem if stem and not name.endswith(".") else name


def _packed(header: Header | None) -> bytes | None:
    """All plain values of a header; the object itself would take twice the time."""
    return pickle.dumps(_values(header)) if header else None


_values = attrgetter(*PACKED)


def _unpacked(packed: bytes | None) -> Header | None:
    if packed is None:
        return None
    values: list[Any] = [*pickle.loads(packed), None, None]
    return Header(*values)
