"""The index of a cohort: one row per file found, the rejected ones with their reason, and no word of the files' own."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID

from synthcohort.core.atomic import ROWS, write_parquet
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger, track
from synthcohort.core.store import Finding
from synthcohort.dicom.check import check_header
from synthcohort.dicom.decode import DECODERS
from synthcohort.dicom.filetable import FileRow, FileTable, disk_errors
from synthcohort.dicom.folder import walk
from synthcohort.dicom.header import MODALITIES, PHOTOMETRIC, Header, known, parse_header
from synthcohort.dicom.labels import NO_COLUMNS, Columns, Labels, match, read_labels
from synthcohort.dicom.pseudonyms import Pseudonyms, private_path
from synthcohort.dicom.read import quiet_pydicom, read_header
from synthcohort.dicom.reasons import BY_CHOICE, Reason, UnfitError
from synthcohort.dicom.told import complete

ACCEPTED, REJECTED = "accepted", "rejected"
COLUMNS = [
    "file_id",
    "status",
    "reason",
    "image_id",
    "patient_id",
    "study_id",
    "modality",
    "view",
    "rows",
    "columns",
    "bits_stored",
    "photometric",
    "transfer_syntax",
    "shard",
]
"""Columns of every index; each further column is a finding."""
NUMBERS = ["rows", "columns", "bits_stored"]
PRIVATE_TABLE = "files.parquet"
PRIVATE_COLUMNS = {
    "file_id": "file_id",
    "path": "path",
    "original_patient": "patient_id",
    "sop_instance_uid": "sop_instance_uid",
}
"""Columns of a `FileRow` → those of the private table."""
CHOSEN = {reason.value for reason in BY_CHOICE}
NO_HEADER = parse_header(Dataset(), "")


@dataclass(frozen=True, eq=False)
class Index:
    """An index that lies on disk as long as this lives, and what was counted on the way.

    Attributes
    ----------
    findings : list of Finding
        The finding columns.
    reasons : Counter of str
        Number of files by the reason why they are rejected; empty for the accepted ones.
    files_without_label : int
        Usable images that the label table does not know.
    labels_without_file : int
        Names in the label table that are no file's.
    """

    findings: list[Finding]
    reasons: Counter[str]
    files_without_label: int
    labels_without_file: int
    _files: FileTable
    _values: NDArray[np.float32]

    def parts(self) -> Iterator[pd.DataFrame]:
        """Give the index, `ROWS` files at a time: `COLUMNS`, then one 0/1/NaN column per finding; one row per file."""
        names = [finding.name for finding in self.findings]
        columns = [name for name in FileRow._fields if name in COLUMNS]
        for rows in self._files.sorted_files(["label_row", *columns], ROWS):
            table = pd.DataFrame(rows, columns=["label_row", *columns])
            label_rows = table["label_row"].to_numpy()
            labels = self._values[label_rows].astype(float)
            labels[label_rows < 0] = np.nan
            yield pd.concat([_typed(table), pd.DataFrame(labels, columns=names)], axis=1)

    @property
    def table(self) -> pd.DataFrame:
        """The whole index, in memory."""
        return pd.concat(self.parts(), ignore_index=True)


@disk_errors()
def index_folder(
    folder: str | Path,
    labels: str | Path | pd.DataFrame,
    key: str,
    findings: list[str],
    ingest: Ingest,
    smallest: int,
    private_folder: str | Path,
    seed: int,
    display: dict[str, str] | None = None,
    columns: Columns = NO_COLUMNS,
) -> Index:
    """Read every header below a folder, join the labels and give pseudonyms.

    Paths and original identifiers go to ``files.parquet`` in the private folder (mode 0600) and nowhere else.

    Parameters
    ----------
    folder : str or Path
        Folder of DICOM, PNG or JPEG files, searched with all subfolders.
    labels : str, Path or pandas.DataFrame
        Label table (CSV or parquet), or the table itself.
    key : str
        Its column that names the file: SOP instance UID, path below the folder, or file name.
    findings : list of str
        Label columns to use; empty takes all.
    ingest : Ingest
        What is wanted, the limits and the number of shards.
    smallest : int
        Largest resolution of the study; smaller images are rejected.
    private_folder : str or Path
        Folder of the pseudonymisation key.
    seed : int
        Order of the rows: by SHA-256 of seed, patient ID and path, so that it neither depends on the key nor tells
        anything about the patients.
    display : dict, optional
        Finding → name for people.
    columns : Columns
        Columns of the label table that say what the files do not: needed for PNG and JPEG.

    Returns
    -------
    Index

    Raises
    ------
    UserError
        When the folder or the labels are of no use.
    """
    # Labels first: what is wrong with them shows at once, not after an hour of reading headers.
    label_table = read_labels(labels, key, findings, display, columns)
    if taken := {finding.name for finding in label_table.findings} & set(COLUMNS):
        raise UserError(f"a finding cannot be called '{min(taken)}', the index has such a column; rename it.")
    files = FileTable(private_folder)
    total = files.list_entries(walk(folder))
    with quiet_pydicom():
        entries = track(files.entries(), "reading headers", total, unit="files")
        files.add_headers(_read(Path(folder), path, problem, ingest) for path, problem in entries)
    column, labels_without_file = match(label_table, key, files)
    checks = _Checks(label_table, ingest, smallest, seed, Pseudonyms.open(private_folder))
    files.add_files(checks.row(*header) for header in files.labelled_headers(column))
    files_without_label = files.reasons()[Reason.NO_LABEL.value]
    logger.info("labels: %d usable files have none, %d rows name no file", files_without_label, labels_without_file)
    files.reject_duplicates()
    files.reject_slices(ingest.slice_step)
    if files.pseudonyms_collide():
        raise UserError(
            "two pseudonyms fell on the same value, which is as good as impossible; delete the file 'key' in the "
            "cohort's private folder and run again."
        )
    files.sort()
    names = list(PRIVATE_COLUMNS.values())
    private = (pd.DataFrame(rows, columns=names) for rows in files.sorted_files(PRIVATE_COLUMNS, ROWS))
    write_parquet(private_path(private_folder, PRIVATE_TABLE), private, mode=0o600)
    reasons = files.reasons()
    logger.info("index: %d files, %d accepted, %d patients", total, reasons[""], files.patients())
    log_reasons(reasons)
    return Index(label_table.findings, reasons, files_without_label, labels_without_file, files, label_table.values)


def log_reasons(reasons: Counter[str]) -> None:
    """Log how many files were rejected for what."""
    for reason, count in reasons.most_common():
        if reason:
            logger.info("rejected: %d × %s", count, reason)


def check_rejected(reasons: Counter[str], maximum_rejected: float) -> None:
    """Stop when too many files were rejected; those that were left out by choice are not counted at all.

    Raises
    ------
    UserError
        Naming the share, the limit's key, and the three most common reasons.
    """
    wanted = Counter({reason: count for reason, count in reasons.items() if reason not in CHOSEN})
    unfit = Counter({reason: count for reason, count in wanted.items() if reason})
    share = unfit.total() / max(wanted.total(), 1)
    if share > maximum_rejected:
        common = ", ".join(f"{count} × {reason}" for reason, count in unfit.most_common(3))
        raise UserError(
            f"{unfit.total()} of {wanted.total()} files ({share:.1%}) were rejected, more than "
            f"ingest.maximum_rejected ({maximum_rejected:.1%}) allows; the most common reasons: {common}. Correct the "
            "data or the ingest keys, or raise the limit."
        )
    if not reasons[""]:
        raise UserError("no file was accepted; see the reasons in the log, and correct the data or the ingest keys.")


def _read(folder: Path, path: str, problem: str, ingest: Ingest) -> tuple[str, str, Header | None]:
    """Give path, reason of rejection and header of one file."""
    if problem:
        return path, problem, None
    try:
        return path, "", read_header(os.path.join(folder, path), ingest.maximum_pixels)
    except UnfitError as unfit:
        return path, unfit.reason.value, None


@dataclass(frozen=True, eq=False)
class _Checks:
    """What a file is held against, and what its row is made with."""

    labels: Labels
    ingest: Ingest
    smallest: int
    seed: int
    pseudonyms: Pseudonyms

    def row(self, number: int, path: str, reason: str, header: Header | None, label_row: int) -> FileRow:
        """Check a header with what the file's row of the label table says; files without a row are rejected."""
        if header is not None and header.is_picture and not self.labels.tells_patients:
            if label_row >= 0:
                raise UserError(
                    "the label table names PNG or JPEG files, which do not say whose they are; name its column of "
                    "patient IDs in 'data.patient'."
                )
            reason, header = Reason.NOT_DICOM.value, None  # a stray picture is no image of the cohort
        if header is not None:
            header = complete(header, self.labels.told(label_row))
            reason = self._reason(header, label_row)
        return self._row(number, path, reason, header or NO_HEADER, label_row)

    def _reason(self, header: Header, label_row: int) -> str:
        if label_row >= 0 or not self.labels.described:  # else what the header lacks would stand in the missing row
            try:
                check_header(header, self.ingest, self.smallest)
            except UnfitError as unfit:
                return unfit.reason.value
        return "" if label_row >= 0 else Reason.NO_LABEL.value

    def _row(self, number: int, path: str, reason: str, header: Header, label_row: int) -> FileRow:
        file_id = self.pseudonyms.file_id(path)
        z, y, x = header.position or (None, None, None)
        return FileRow(
            number=number,
            place=hashlib.sha256(f"{self.seed}|{header.patient_id}|{path}".encode()).digest(),
            label_row=label_row,
            path=path,
            original_patient=header.patient_id,
            sop_instance_uid=header.sop_instance_uid,
            study_uid=header.study_uid,
            series_uid=header.series_uid,
            z=z,
            y=y,
            x=x,
            file_id=file_id,
            reason=reason,
            patient_id=self.pseudonyms.patient(header.patient_id) if header.patient_id else "",
            study_id=self.pseudonyms.study(header.study_uid) if header.study_uid else "",
            modality=known(header.modality, MODALITIES),
            view=header.view,
            rows=header.rows if header.rows > 0 else None,
            columns=header.columns if header.columns > 0 else None,
            bits_stored=header.bits_stored if header.bits_stored > 0 else None,
            photometric=known(header.photometric, PHOTOMETRIC),
            transfer_syntax=syntax_name(header),
            shard=shard_of(file_id, self.ingest.shards),
        )


def _typed(files: pd.DataFrame) -> pd.DataFrame:
    """Give `COLUMNS`, with their types, which those of a part alone need not show."""
    status = np.where(files["reason"] == "", ACCEPTED, REJECTED)
    types = {column: "Int64" if column in NUMBERS else "int64" if column == "shard" else "str" for column in COLUMNS}
    return files.assign(status=status, image_id=files["file_id"])[COLUMNS].astype(types)


def shard_of(file_id: str, shards: int) -> int:
    """Shard that decodes a file: it follows from the file_id alone, so other files do not move it."""
    return int.from_bytes(hashlib.sha256(file_id.encode()).digest()[:8], "big") % shards


def syntax_name(header: Header) -> str:
    """Name how the pixels are encoded: a transfer syntax that can be decoded, PNG, JPEG, or nothing."""
    if header.is_picture:
        return header.transfer_syntax
    return UID(header.transfer_syntax).name if header.transfer_syntax in DECODERS else ""
