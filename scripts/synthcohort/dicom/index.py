"""The index of a cohort: one row per file found, the rejected ones with their reason, and no word of the files' own."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydicom.uid import UID

from synthcohort.core.atomic import write_parquet
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger, track
from synthcohort.core.store import Finding
from synthcohort.dicom.check import check_header
from synthcohort.dicom.decode import DECODERS
from synthcohort.dicom.folder import Entry, walk
from synthcohort.dicom.header import MODALITIES, PHOTOMETRIC, Header, known
from synthcohort.dicom.labels import NO_COLUMNS, Columns, Labels, match, read_labels
from synthcohort.dicom.pseudonyms import Pseudonyms, private_path
from synthcohort.dicom.read import quiet_pydicom, read_header
from synthcohort.dicom.reasons import BY_CHOICE, Reason, UnfitError
from synthcohort.dicom.slices import left_out
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
PRIVATE_TABLE = "files.parquet"


@dataclass(frozen=True, eq=False)
class Index:
    """An index and what was counted on the way.

    Attributes
    ----------
    table : pandas.DataFrame
        `COLUMNS`, then one 0/1/NaN column per finding; one row per file.
    findings : list of Finding
        The finding columns.
    files_without_label : int
        Usable images that the label table does not know.
    labels_without_file : int
        Rows of the label table that name no file.
    """

    table: pd.DataFrame
    findings: list[Finding]
    files_without_label: int
    labels_without_file: int


@dataclass(slots=True)
class _File:
    """One file on its way into the index."""

    entry: Entry
    header: Header | None = None
    reason: Reason | None = None
    label_row: int = -1


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
    files = _read_headers(Path(folder), ingest)
    labels_without_file = _join_labels(files, label_table, key)
    files_without_label = _check_headers(files, label_table, ingest, smallest)
    logger.info("labels: %d usable files have none, %d rows name no file", files_without_label, labels_without_file)
    _reject_duplicates(files)
    _reject_slices(files, ingest.slice_step)
    files.sort(key=lambda file: _order(seed, file))
    pseudonyms = Pseudonyms.open(private_folder)
    table = _table(files, label_table, pseudonyms, ingest.shards)
    _write_private(files, table, private_folder)
    logger.info(
        "index: %d files, %d accepted, %d patients", len(table), (table["status"] == ACCEPTED).sum(), _patients(table)
    )
    log_reasons(table)
    return Index(table, label_table.findings, files_without_label, labels_without_file)


def log_reasons(table: pd.DataFrame) -> None:
    """Log how many files were rejected for what."""
    for reason, count in table.loc[table["status"] == REJECTED, "reason"].value_counts().items():
        logger.info("rejected: %d × %s", count, reason)


def check_rejected(table: pd.DataFrame, maximum_rejected: float) -> None:
    """Stop when too many files were rejected; those that were left out by choice are not counted at all.

    Raises
    ------
    UserError
        Naming the share, the limit's key, and the three most common reasons.
    """
    rejected = table[table["status"] == REJECTED]
    unfit = rejected[~rejected["reason"].isin([reason.value for reason in BY_CHOICE])]
    wanted = len(table) - len(rejected) + len(unfit)
    share = len(unfit) / max(wanted, 1)
    if share > maximum_rejected:
        common = Counter(unfit["reason"]).most_common(3)
        reasons = ", ".join(f"{count} × {reason}" for reason, count in common)
        raise UserError(
            f"{len(unfit)} of {wanted} files ({share:.1%}) were rejected, more than ingest.maximum_rejected "
            f"({maximum_rejected:.1%}) allows; the most common reasons: {reasons}. Correct the data or the ingest "
            "keys, or raise the limit."
        )
    if len(rejected) == len(table):
        raise UserError("no file was accepted; see the reasons in the log, and correct the data or the ingest keys.")


def _read_headers(folder: Path, ingest: Ingest) -> list[_File]:
    files = [_File(entry, reason=entry.problem) for entry in walk(folder)]
    with quiet_pydicom():
        for file in track(files, "reading headers", unit="files"):
            if file.reason is not None:
                continue
            try:
                file.header = read_header(os.path.join(folder, file.entry.path), ingest.maximum_pixels)
            except UnfitError as unfit:
                file.reason = unfit.reason
    return files


def _join_labels(files: list[_File], labels: Labels, key: str) -> int:
    """Note each file's row of the label table; return how many rows name no file."""
    uids = [file.header.sop_instance_uid if file.header else "" for file in files]
    rows, unused = match(labels, key, [file.entry.path for file in files], uids)
    for file, row in zip(files, rows, strict=True):
        file.label_row = int(row)
    return unused


def _check_headers(files: list[_File], labels: Labels, ingest: Ingest, smallest: int) -> int:
    """Check each header with what its row says; files without a row are rejected, and counted if they are else fit."""
    missing = 0
    for file in files:
        if file.header is None:
            continue
        if file.header.is_picture and not labels.tells_patients:
            _reject_picture(file)
            continue
        file.header = complete(file.header, labels.told(file.label_row))
        if file.label_row >= 0 or not labels.described:  # else what the header lacks would stand in the missing row
            try:
                check_header(file.header, ingest, smallest)
            except UnfitError as unfit:
                file.reason = unfit.reason
        if file.reason is None and file.label_row < 0:
            file.reason = Reason.NO_LABEL
            missing += 1
    return missing


def _reject_picture(file: _File) -> None:
    """Of a picture that nobody can tell the patient of: a stray one is no image of the cohort."""
    if file.label_row >= 0:
        raise UserError(
            "the label table names PNG or JPEG files, which do not say whose they are; name its column of patient IDs "
            "in 'data.patient'."
        )
    file.header, file.reason = None, Reason.NOT_DICOM


def _reject_duplicates(files: list[_File]) -> None:
    """Of usable files with the same SOP instance UID the first path stays."""
    seen: set[str] = set()
    for file in files:
        if file.reason is None and file.header is not None:
            uid = file.header.sop_instance_uid
            if uid and uid in seen:
                file.reason = Reason.DUPLICATE
            seen.add(uid)


def _reject_slices(files: list[_File], step: int) -> None:
    usable = [(file.entry.path, file.header) for file in files if file.reason is None and file.header is not None]
    thinned = left_out(usable, step)
    for file in files:
        if file.entry.path in thinned:
            file.reason = Reason.SLICE


def _order(seed: int, file: _File) -> bytes:
    patient = file.header.patient_id if file.header else ""
    return hashlib.sha256(f"{seed}|{patient}|{file.entry.path}".encode()).digest()


def _table(files: list[_File], labels: Labels, pseudonyms: Pseudonyms, shards: int) -> pd.DataFrame:
    rows = zip(*(_row(file, pseudonyms, shards) for file in files), strict=True)
    table = pd.DataFrame(dict(zip(COLUMNS, rows, strict=True)))
    table = table.astype(dict.fromkeys(("rows", "columns", "bits_stored"), "Int64"))
    label_rows = [file.label_row for file in files]
    for position, finding in enumerate(labels.findings):
        if finding.name in COLUMNS:
            raise UserError(f"a finding cannot be called '{finding.name}', the index has such a column; rename it.")
        column = labels.values[label_rows, position].astype(float)
        table[finding.name] = pd.Series(column).where(pd.Series(label_rows) >= 0)
    if table["file_id"].duplicated().any() or _patients(table) != len({_patient(file) for file in files} - {""}):
        raise UserError(
            "two pseudonyms fell on the same value, which is as good as impossible; delete the file 'key' in the "
            "cohort's private folder and run again."
        )
    return table


def _row(file: _File, pseudonyms: Pseudonyms, shards: int) -> tuple[Any, ...]:
    """Give the values of `COLUMNS`."""
    file_id = pseudonyms.file_id(file.entry.path)
    header = file.header
    return (
        file_id,
        REJECTED if file.reason else ACCEPTED,
        file.reason.value if file.reason else "",
        file_id,  # of the image
        pseudonyms.patient(header.patient_id) if header and header.patient_id else "",
        pseudonyms.study(header.study_uid) if header and header.study_uid else "",
        known(header.modality, MODALITIES) if header else "",
        header.view if header else "",
        header.rows if header and header.rows > 0 else None,
        header.columns if header and header.columns > 0 else None,
        header.bits_stored if header and header.bits_stored > 0 else None,
        known(header.photometric, PHOTOMETRIC) if header else "",
        syntax_name(header) if header else "",
        shard_of(file_id, shards),
    )


def shard_of(file_id: str, shards: int) -> int:
    """Shard that decodes a file: it follows from the file_id alone, so other files do not move it."""
    return int.from_bytes(hashlib.sha256(file_id.encode()).digest()[:8], "big") % shards


def syntax_name(header: Header) -> str:
    """Name how the pixels are encoded: a transfer syntax that can be decoded, PNG, JPEG, or nothing."""
    if header.is_picture:
        return header.transfer_syntax
    return UID(header.transfer_syntax).name if header.transfer_syntax in DECODERS else ""


def _patient(file: _File) -> str:
    return file.header.patient_id if file.header else ""


def _patients(table: pd.DataFrame) -> int:
    return len(set(table["patient_id"]) - {""})


def _write_private(files: list[_File], table: pd.DataFrame, private_folder: str | Path) -> None:
    private = pd.DataFrame(
        {
            "file_id": table["file_id"],
            "path": [file.entry.path for file in files],
            "patient_id": [_patient(file) for file in files],
            "sop_instance_uid": [file.header.sop_instance_uid if file.header else "" for file in files],
        }
    )
    write_parquet(private_path(private_folder, PRIVATE_TABLE), private, mode=0o600)
