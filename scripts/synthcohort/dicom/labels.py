"""The label table that comes with a cohort: which file each row is for, and which columns are findings."""

import difflib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger
from synthcohort.core.store import Finding
from synthcohort.dicom.filetable import FileTable
from synthcohort.dicom.header import view_of
from synthcohort.dicom.told import NOTHING, Told

MEANINGS = {"uid": "SOP instance UIDs", "path": "paths", "name": "file names", "stem": "file names without ending"}
"""What a key column may hold, by the column of `FileTable` that has it of the files."""
SHORT_FORMS = {"id", "ct", "mr", "ap", "pa"}


@dataclass(frozen=True)
class Columns:
    """Columns of a label table that say of each image what its file does not; empty where there is none.

    Attributes
    ----------
    patient, view, modality, uid : str
        Names of columns; see `told.Told`. `patient` also keeps its column from being taken for a finding.
    """

    patient: str = ""
    view: str = ""
    modality: str = ""
    uid: str = ""


NO_COLUMNS = Columns()


@dataclass(frozen=True, eq=False)
class Labels:
    """A checked label table.

    Attributes
    ----------
    keys : list of str
        What names the file in each row.
    values : numpy.ndarray
        float32 ``[rows, findings]`` of 0, 1 and NaN.
    findings : list of Finding
        The columns, in order.
    described : dict
        Field of `Told` → what each row says.
    """

    keys: list[str]
    values: NDArray[np.float32]
    findings: list[Finding]
    described: dict[str, list[str]]

    @property
    def tells_patients(self) -> bool:
        """Whether there is a column of patient IDs."""
        return "patient" in self.described

    def told(self, row: int) -> Told:
        """Give what a row says of its file; nothing for row -1."""
        return Told(**{field: values[row] for field, values in self.described.items()}) if row >= 0 else NOTHING


def read_labels(
    labels: str | Path | pd.DataFrame,
    key: str,
    findings: list[str],
    display: dict[str, str] | None = None,
    columns: Columns = NO_COLUMNS,
) -> Labels:
    """Read and check a label table.

    Parameters
    ----------
    labels : str, Path or pandas.DataFrame
        CSV (by default) or parquet file, or the table itself.
    key : str
        Column that names the file.
    findings : list of str
        Columns to use, in this order, in snake_case whatever their spelling in the table; empty takes every column that
        holds nothing but 0, 1 and blanks.
    display : dict, optional
        Finding → name for people; by default the table's own spelling, or the snake_case name made readable.
    columns : Columns
        Columns that say what the files do not.

    Raises
    ------
    UserError
        When the table, the key column or a finding is missing, or a value is none of 0, 1 and blank.
    """
    spoken = {field: column for field, column in asdict(columns).items() if column}
    table = labels if isinstance(labels, pd.DataFrame) else _read_table(Path(labels), [key, *spoken.values()])
    for config_key, column in {"key": key, **spoken}.items():
        if column not in table.columns:
            near = _nearest(column, list(table.columns))
            raise UserError(f"the label table has no column '{column}'{near}; correct '{config_key}'.")
    if table.empty:
        raise UserError("the label table has no rows; correct 'labels' in the config.")
    chosen = _finding_columns(table.drop(columns=list({key, *spoken.values()})), findings)
    values = np.full((len(table), len(chosen)), np.nan, np.float32)
    for position, column in enumerate(chosen.values()):
        values[:, position] = _binary(table[column], column)
    shown = display or {}
    described = [Finding(name=name, display=shown.get(name, _display(name, column))) for name, column in chosen.items()]
    told = {field: _texts(table[column]) for field, column in spoken.items()}
    if "view" in told:
        told["view"] = [view_of(word) for word in told["view"]]
    return Labels(_texts(table[key]), values, described, told)


def match(labels: Labels, key: str, files: FileTable) -> tuple[str, int]:
    """Find out what the label table calls the files by.

    The key column may hold SOP instance UIDs, paths below the cohort's folder, or file names with or without ending:
    whichever meets most files is taken.

    Parameters
    ----------
    labels : Labels
        From `read_labels`.
    key : str
        Name of the key column, for messages.
    files : FileTable
        With all headers; is given the labels' keys.

    Returns
    -------
    column : str
        Of `files.labelled_headers`.
    unused : int
        Number of names in the label table that are no file's.

    Raises
    ------
    UserError
        When no row names a file, when file names are ambiguous, or when rows of one file contradict each other.
    """
    wanted = files.add_labels(name.replace("\\", "/").removeprefix("./").lstrip("/") for name in labels.keys)
    column, hits = "uid", 0
    for meaning in MEANINGS:
        if hits < wanted and (found := files.labels_with_file(meaning)) > hits:  # the first of equals stays
            column, hits = meaning, found
    if hits == 0:
        raise UserError(
            f"the label table's column '{key}' ({wanted} different values) names none of the {files.headers} files, "
            "neither by SOP instance UID nor by path below the folder nor by file name; correct 'folder', 'key' or "
            "'labels'."
        )
    shared = files.files_that_share(column) if column in ("name", "stem") else 0
    if shared:
        raise UserError(
            f"the label table's column '{key}' holds {MEANINGS[column]}, but {shared} files share theirs with another; "
            "use a column with SOP instance UIDs or with paths below the folder."
        )
    _check_repeated(labels, key, files)
    logger.info("labels: column '%s' holds %s; %d of %d name a file", key, MEANINGS[column], hits, wanted)
    return column, wanted - hits


def _check_repeated(labels: Labels, key: str, files: FileTable) -> None:
    """Several equal rows of a file count as one."""
    for row, first in files.repeated_labels():
        same = np.array_equal(labels.values[first], labels.values[row], equal_nan=True)
        if not same or labels.told(first) != labels.told(row):
            raise UserError(
                f"the label table's rows {first + 1} and {row + 1} below the heading name the same file in column "
                f"'{key}' but differ; keep one of them."
            )


def readable(name: str) -> str:
    """Turn a snake_case finding into words: ``pleural_effusion`` becomes ``Pleural effusion``."""
    words = " ".join(word.upper() if word in SHORT_FORMS else word for word in name.split("_"))
    return words[:1].upper() + words[1:]


def snake_case(column: str) -> str:
    """Turn a column's name into a finding's: ``Pleural Effusion`` becomes ``pleural_effusion``."""
    return re.sub(r"[^a-z0-9]+", "_", str(column).lower()).strip("_")


def _display(name: str, column: str) -> str:
    return readable(name) if column == name else " ".join(str(column).split())


def _texts(column: "pd.Series[Any]") -> list[str]:
    """Write a column as text, whole numbers without a decimal point even where blanks made them floats."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").fillna("").str.strip().tolist()


def _read_table(path: Path, texts: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise UserError("the label table does not exist; correct 'labels' in the config.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=dict.fromkeys(texts, "string"), encoding="utf-8-sig", low_memory=False)
    except Exception as error:  # parsers quote the line that they cannot read
        raise UserError(
            "the label table is no readable CSV (comma, UTF-8) or parquet file; correct 'labels'."
        ) from error


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, [str(other) for other in names], n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _finding_columns(table: pd.DataFrame, findings: list[str]) -> dict[str, str]:
    """Name each finding's column of the table, from which all other columns that are known are gone."""
    spelled: dict[str, str] = {}
    for column in table.columns:
        if spelled.setdefault(snake_case(column), column) != column:
            raise UserError(
                f"the label table's columns '{spelled[snake_case(column)]}' and '{column}' are the same finding "
                f"'{snake_case(column)}'; rename one."
            )
    if findings:
        missing = [finding for finding in findings if finding not in spelled]
        if missing:
            raise UserError(
                f"the label table has no column for the finding '{missing[0]}'{_nearest(missing[0], list(spelled))}; "
                "correct 'findings' in the config."
            )
        return {finding: spelled[finding] for finding in findings}
    chosen = {name: column for name, column in spelled.items() if name and _looks_binary(table[column])}
    if not chosen:
        raise UserError(
            "the label table has no column that holds nothing but 0, 1 and blanks; make one for each finding, or name "
            "the columns in 'findings'."
        )
    left_out = len(table.columns) - len(chosen)
    logger.info("labels: findings %s; %d other columns left out", ", ".join(chosen), left_out)
    return chosen


def _looks_binary(column: "pd.Series[float]") -> bool:
    """Numbers of which the smallest are 0 and 1; -1 and other near misses are errors for `_binary` to name."""
    if not pd.api.types.is_numeric_dtype(column):
        return False
    values = set(column.dropna().unique())
    return bool(values) and values <= {-1, 0, 1} and values != {-1}


def _binary(column: "pd.Series[float]", name: str) -> NDArray[Any]:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64).to_numpy(na_value=np.nan)
    blank = column.isna() | (column.astype("string").str.strip() == "")
    wrong = np.flatnonzero(~(blank.to_numpy(bool) | (numbers == 0) | (numbers == 1)))
    if len(wrong):
        raise UserError(
            f"the label table's column '{name}' holds something other than 0, 1 or blank in row {wrong[0] + 1} below "
            f"the heading ({len(wrong)} such rows); mend the table, or name the columns to use in 'findings'."
        )
    return numbers
