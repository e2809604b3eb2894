"""Label policies: what a label table's rows mean."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from synthcohort.dicom.reasons import Reason

NO_FINDING = "no_finding"


def names_with_normal(index: Iterable[pd.DataFrame], findings: list[str]) -> list[str]:
    """Add ``no_finding`` to the names of a cohort's findings where images need it and there is no such column.

    Parameters
    ----------
    index : iterable of pandas.DataFrame
        Parts of the index; see `mark_normal`.
    findings : list of str
        Label columns.
    """
    if NO_FINDING in findings or not any(_normal(part, findings).any() for part in index):
        return findings
    return [*findings, NO_FINDING]


def mark_normal(index: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    """Give rows in which every finding is known to be absent ``no_finding`` = 1.

    The paper drops such rows, which would remove every normal image of a cohort without a no-finding column.

    Parameters
    ----------
    index : pandas.DataFrame
        One row per file with ``status`` and the columns `findings` (0, 1 or NaN).
    findings : list of str
        From `names_with_normal`.

    Returns
    -------
    pandas.DataFrame
        With ``no_finding``, where it is one of the findings, filled; added, last, where there is no such column.
    """
    if NO_FINDING not in findings:
        return index
    if NO_FINDING in index:
        values = index[NO_FINDING]
    else:
        others = index[[finding for finding in findings if finding != NO_FINDING]]
        values = pd.Series(0.0, index.index).where(others.notna().all(axis=1))
    return index.assign(**{NO_FINDING: values.mask(_normal(index, findings), 1.0)})


def _normal(index: pd.DataFrame, findings: list[str]) -> "pd.Series[bool]":
    others = [finding for finding in findings if finding != NO_FINDING]
    return (index[others] == 0).all(axis=1) & (index["status"] == "accepted")


def drop_unlabelled(index: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    """Reject rows without any positive finding, as the paper did (see `core.protocol.Protocol`).

    Parameters and returns are those of `mark_normal`, but for the findings, which are those of the table.
    """
    unlabelled = (index["status"] == "accepted") & ~(index[findings] == 1).any(axis=1)
    return index.assign(
        status=index["status"].mask(unlabelled, "rejected"),
        reason=index["reason"].mask(unlabelled, Reason.UNLABELLED.value),
    )


def combination_names(labels: pd.DataFrame) -> pd.Series:
    """Name each row's label combination by its positive findings, for example ``edema+support_devices``.

    Rows with an unknown label have none (NA); a row without any positive finding is called ``none``.
    """
    names = pd.Series(pd.NA, index=labels.index, dtype="object")
    known = labels.notna().all(axis=1)
    columns = np.asarray(labels.columns)
    values = labels[known].to_numpy() == 1
    names[known] = ["+".join(columns[row]) or "none" for row in values]
    return names
