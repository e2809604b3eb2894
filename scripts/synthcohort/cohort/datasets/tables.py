"""What adapters have in common: the table that they give, and how they read theirs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synthcohort.core.errors import UserError
from synthcohort.dicom.labels import Columns, snake_case

FRONTAL_VIEWS = ("AP", "PA")


@dataclass(frozen=True, eq=False)
class TidyTable:
    """One row per image, whatever the dataset: what `index.index_folder` takes.

    Attributes
    ----------
    table : str or pandas.DataFrame
        The table, or the path of one that is tidy as it is.
    key : str
        Column that names the image: SOP instance UID, path below the folder, or file name.
    columns : Columns
        Columns with what the images' files do not say themselves.
    findings : list of str
        Columns of 0, 1 and NaN; empty where every such column is a finding.
    """

    table: str | pd.DataFrame
    key: str
    columns: Columns
    findings: list[str]


def read_columns(
    path: str | None, config_key: str, dataset: str, columns: list[str], optional: list[str] | None = None
) -> pd.DataFrame:
    """Read a dataset's CSV (gzipped where its name ends in ``.gz``).

    Parameters
    ----------
    path : str or None
        The file.
    config_key : str
        The config's key that gave the path, for messages.
    dataset : str
        Name of the dataset, for messages.
    columns : list of str
        Columns that it must have.
    optional : list of str, optional
        Columns that it may have.

    Returns
    -------
    pandas.DataFrame
        Those columns and no others, as text without blanks around it; blank cells are NA.

    Raises
    ------
    UserError
        When there is no such file, or it is not that table. Messages quote no cell.
    """
    if path is None or not Path(path).is_file():
        raise UserError(f"the table of dataset {dataset} does not exist; correct 'data.{config_key}' in the config.")
    wanted = {*columns, *(optional or [])}
    try:
        table = pd.read_csv(path, usecols=lambda name: name in wanted, dtype="string", encoding="utf-8-sig")
    except Exception as error:  # parsers quote the line that they cannot read
        raise UserError(
            f"the table of dataset {dataset} is no readable CSV file (comma, UTF-8); correct 'data.{config_key}'."
        ) from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"the table of dataset {dataset} has no column '{missing[0]}'; 'data.{config_key}' names another file, or "
            "another version of it than docs/own-data.md describes."
        )
    if table.empty:
        raise UserError(f"the table of dataset {dataset} has no rows; correct 'data.{config_key}' in the config.")
    return table.apply(lambda column: column.str.strip().replace("", pd.NA))


def numbers(table: pd.DataFrame, columns: list[str], allowed: tuple[int, ...], dataset: str) -> pd.DataFrame:
    """Turn columns of text into numbers, blank into NaN, and their names into snake_case.

    Returns
    -------
    pandas.DataFrame
        float64.

    Raises
    ------
    UserError
        When a cell holds something other than the numbers `allowed` or blank.
    """
    result = {}
    for column in columns:
        values = pd.to_numeric(table[column], errors="coerce").astype("Float64").to_numpy(float, na_value=np.nan)
        wrong = np.flatnonzero(~np.isin(values, allowed) & table[column].notna().to_numpy())
        if len(wrong):
            raise UserError(
                f"the table of dataset {dataset} holds something other than {', '.join(map(str, allowed))} or blank in "
                f"column '{column}', row {wrong[0] + 1} below the heading ({len(wrong)} such rows)."
            )
        result[snake_case(column)] = values
    return pd.DataFrame(result, index=table.index)


def require(condition: "pd.Series[bool]", what: str, dataset: str) -> None:
    """Stop at the first row that does not meet a condition.

    Raises
    ------
    UserError
        Naming the row.
    """
    wrong = np.flatnonzero(~condition.fillna(False).to_numpy(bool))
    if len(wrong):
        raise UserError(
            f"the table of dataset {dataset} has {what} in row {wrong[0] + 1} below the heading ({len(wrong)} such "
            "rows); use the table as it is distributed."
        )
