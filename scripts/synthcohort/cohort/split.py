"""Training, validation and test patients."""

from typing import Literal

import numpy as np
import pandas as pd

from synthcohort.core.errors import UserError
from synthcohort.core.seeds import derive_seed

Side = Literal["train", "valid", "test"]
SIDES: tuple[Side, ...] = ("train", "valid", "test")
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
MINIMUM_PATIENTS = 3


def split_patients(patients: list[str], study_seed: int, cohort: str, known: dict[str, Side]) -> dict[str, Side]:
    """Put each patient on one side, 80/10/10; patients that have a side keep it.

    Parameters
    ----------
    patients : list of str
        Original patient IDs (pseudonyms depend on a secret key and would split differently elsewhere).
    study_seed : int
        The study's seed.
    cohort : str
        Name of the cohort.
    known : dict
        Sides given earlier; new patients are appended so that the shares are kept.

    Returns
    -------
    dict
        Side of every patient in `patients` and `known`.

    Raises
    ------
    UserError
        With fewer than three patients: one side would be empty.
    """
    new = sorted(set(patients) - set(known))
    total = len(known) + len(new)
    if total < MINIMUM_PATIENTS:
        raise UserError(
            f"cohort {cohort}: {total} patients with accepted images cannot be split into training, validation and "
            f"test patients; at least {MINIMUM_PATIENTS} are needed."
        )
    order = np.random.default_rng(derive_seed(study_seed, "split", cohort)).permutation(len(new))
    wanted = {side: max(1, round(SHARES[side] * total)) for side in ("valid", "test")}
    sides = dict(known)
    held = {side: sum(1 for value in known.values() if value == side) for side in SIDES}
    for position in order:
        short: list[Side] = [side for side in ("valid", "test") if held[side] < wanted[side]]
        side: Side = short[0] if short else "train"
        sides[new[position]] = side
        held[side] += 1
    return sides


def split_table(index: pd.DataFrame, files: pd.DataFrame, sides: dict[str, Side]) -> pd.DataFrame:
    """Say each pseudonymous patient's side.

    Parameters
    ----------
    index : pandas.DataFrame
        Accepted rows: ``file_id``, ``patient_id`` (pseudonym).
    files : pandas.DataFrame
        The private table: ``file_id``, ``patient_id`` (original).
    sides : dict
        Side by original patient ID.

    Returns
    -------
    pandas.DataFrame
        ``patient_id`` (pseudonym), ``side``, ``images``; sorted by pseudonym.
    """
    original = files.set_index("file_id")["patient_id"]
    table = pd.DataFrame(
        {"patient_id": index["patient_id"], "side": index["file_id"].map(original).map(sides)},
    )
    counts = table.groupby(["patient_id", "side"], as_index=False).size()
    return counts.rename(columns={"size": "images"})
