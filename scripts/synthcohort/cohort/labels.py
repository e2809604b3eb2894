"""Label policies: what a label table's rows mean."""

import numpy as np
import pandas as pd

from synthcohort.dicom.reasons import Reason

NO_FINDING = "no_finding"


def mark_normal(index: pd.DataFrame, findings: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Give rows in which every finding is known to be absent ``no_finding`` = 1.

    The paper drops such rows, which would remove every normal image of a cohort without a no-finding column.

    Parameters
    ----------
    index : pandas.DataFrame
        One row per file with the columns `findings` (0, 1 or NaN).
    findings : list of str
        Label columns.

    Returns
    -------
    index : pandas.DataFrame
        With ``no_finding`` filled; the column is added, last, where rows need it and there is none.
    findings : list of str
        With ``no_finding`` where it was added.
    """
    others = [finding for finding in findings if finding != NO_FINDING]
    normal = (index[others] == 0).all(axis=1) & (index["status"] == "accepted")
    if NO_FINDING not in findings:
        if not normal.any():
            return index, findings
        known = index[others].notna().all(axis=1)
        index = index.assign(**{NO_FINDING: np.where(known, 0.0, np.nan)})
        findings = [*findings, NO_FINDING]
    index = index.copy()
    index.loc[normal, NO_FINDING] = 1.0
    return index, findings


def drop_unlabelled(index: pd.DataFrame, findings: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Reject rows without any positive finding, as the paper did (see `core.protocol.Protocol`).

    Parameters and returns are those of `mark_normal`.
    """
    unlabelled = (index["status"] == "accepted") & ~(index[findings] == 1).any(axis=1)
    return index.assign(
        status=index["status"].mask(unlabelled, "rejected"),
        reason=index["reason"].mask(unlabelled, Reason.UNLABELLED.value),
    ), findings


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
