"""Choosing images to be looked at: real beside synthetic, and findings beside normal. What is chosen is internal."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.cohort.labels import NO_FINDING, combination_names
from synthcohort.core.errors import UserError
from synthcohort.core.store import ImageStore

Arrays = dict[str, NDArray[Any]]


def make_gallery(
    real: ImageStore,
    selection: pd.DataFrame,
    synthetic: ImageStore,
    seed: int,
    combinations: int = 6,
    per_combination: int = 4,
) -> Arrays:
    """Choose real and synthetic images with the same labels, the most frequent combinations first.

    Parameters
    ----------
    real : ImageStore
        The cohort.
    selection : pandas.DataFrame
        Rows of `real` to choose from, with the columns ``row`` and ``patient_id``; no patient is shown twice before
        every other was shown once.
    synthetic : ImageStore
        A sample with the same findings.
    seed : int
        Chooses among images with the same labels.
    combinations : int
        Label combinations to show at most.
    per_combination : int
        Images of each kind per combination at most; a combination that has fewer on one side shows as few on both.

    Returns
    -------
    dict of numpy.ndarray
        ``real`` and ``synthetic`` uint8 ``[K, C, H, W]``, entry i of both with the labels ``labels[i]`` (float32
        ``[K, F]``) and the name ``combinations[i]``; ``findings`` ``[F]``. No identifiers.

    Raises
    ------
    UserError
        When the stores differ in findings, or share no combination.
    """
    findings = real.info.finding_names
    if synthetic.info.finding_names != findings:
        raise UserError("the synthetic images were drawn for other findings than the cohort's; sample them again.")
    rng = np.random.default_rng(seed)
    display = {finding.name: finding.display for finding in real.info.findings}
    own = selection[["row", "patient_id"]].assign(name=_names(real).iloc[selection["row"]].to_numpy())
    made = pd.DataFrame({"row": np.arange(len(synthetic)), "name": _names(synthetic)})
    own_rows: list[int] = []
    made_rows: list[int] = []
    chosen: list[str] = []
    shared = [name for name in _by_frequency(own["name"]) if (made["name"] == name).any()]
    for name in shared[:combinations]:
        candidates = _spread(own[own["name"] == name].sample(frac=1, random_state=rng))
        drawn = made[made["name"] == name].sample(frac=1, random_state=rng)["row"].to_numpy()
        count = min(per_combination, len(candidates), len(drawn))
        own_rows.extend(candidates[:count])
        made_rows.extend(drawn[:count])
        chosen.extend([_display(name, display)] * count)
    if not chosen:
        raise UserError("no label combination has both real and synthetic images, so no gallery can be shown.")
    return {
        "real": np.stack([real.images[row] for row in own_rows]),
        "synthetic": np.stack([synthetic.images[row] for row in made_rows]),
        "labels": real.labels[own_rows],
        "findings": np.array(findings),
        "combinations": np.array(chosen),
    }


def make_cohort_sheet(real: ImageStore, rows: NDArray[np.int64], seed: int, per_finding: int = 4) -> Arrays:
    """Choose images with one finding alone (or with as few others as there are), normal ones first.

    Parameters
    ----------
    real : ImageStore
        The cohort.
    rows : numpy.ndarray
        int64: rows of `real` to choose from.
    seed : int
        Chooses among images that are equally pure.
    per_finding : int
        Images per finding at most.

    Returns
    -------
    dict of numpy.ndarray
        ``images`` uint8 ``[N, C, H, W]`` and ``titles`` ``[N]``. No identifiers.

    Raises
    ------
    UserError
        When no image among `rows` has known labels.
    """
    rng = np.random.default_rng(seed)
    display = {finding.name: finding.display for finding in real.info.findings}
    labels = real.records[real.info.finding_names].iloc[rows].set_axis(rows)
    labels = labels.dropna().astype(bool).sample(frac=1, random_state=rng)
    findings = [str(name) for name in labels if name != NO_FINDING]
    normal = labels.index[~labels[findings].any(axis=1)][:per_finding]
    images, titles = list(normal), ["Normal"] * len(normal)
    for finding in findings:
        positive = labels[labels[finding]]
        others = positive.drop(columns=[finding, NO_FINDING], errors="ignore")
        purest = others.assign(count=others.sum(axis=1)).sort_values("count", kind="stable").index[:per_finding]
        for row in purest:
            extra = [display[str(name)] for name in others if others.at[row, name]]
            titles.append(display[finding] + "".join(f"\n+ {name}" for name in extra))
        images.extend(purest)
    if not images:
        raise UserError("no image of the cohort has all its labels known, so no sheet can be shown.")
    return {"images": np.stack([real.images[row] for row in images]), "titles": np.array(titles)}


def _names(store: ImageStore) -> pd.Series:
    """Name each image's combination; NA where a label is unknown."""
    return combination_names(store.records[store.info.finding_names])


def _by_frequency(names: pd.Series) -> list[str]:
    counts = names.dropna().value_counts()
    return sorted(counts.index, key=lambda name: (-counts[name], name))


def _spread(candidates: pd.DataFrame) -> NDArray[np.int64]:
    """Rows of `candidates`, each patient's first before any patient's second."""
    turn = candidates.groupby("patient_id").cumcount()
    return candidates.assign(turn=turn).sort_values("turn", kind="stable")["row"].to_numpy()


def _display(name: str, display: Mapping[str, str]) -> str:
    """Name a combination for people: ``edema+fracture`` → ``Edema + Fracture``."""
    return " + ".join(display.get(part, part) for part in name.split("+"))
