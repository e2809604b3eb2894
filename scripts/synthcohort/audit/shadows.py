"""Shadow generators: trained like the audited one, each with another half of those who are attacked.

An attacker who can train generators learns from them how a patient's scores differ between generators that knew the
patient and those that did not (Carlini et al., Membership inference attacks from first principles, 2022, arXiv
2112.03570; here on what generators draw, not on their weights).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.membership import Candidates, Groups, Moves, replay, space_vectors
from synthcohort.audit.neighbours import Rows
from synthcohort.core.store import ImageStore
from synthcohort.measures.attacks import Flags, Scores
from synthcohort.measures.fidelity import patient_groups
from synthcohort.measures.neighbours import Readable


class Shadow(NamedTuple):
    """A shadow generator's synthetic images, and the rows of the cohort's store that it was trained on."""

    images: Readable
    training: Rows


class ShadowScores(NamedTuple):
    """Scores ``[shadows, candidates]`` of an attack on each shadow, and whether it was trained on each candidate."""

    scores: Scores
    members: Flags


def shadow_selections(selection: pd.DataFrame, groups: Groups, count: int, seed: int) -> Iterator[pd.DataFrame]:
    """Deal those who are attacked to shadows: to each one half of the members' patients, and of the non-members'.

    Shadows come in pairs, and a patient is in one of the two; so each patient is in half of the shadows. Training
    patients who are not attacked are in all of them, so that each has about as many training images as the audited
    generator. Validation patients stay what they are.

    Parameters
    ----------
    selection : pandas.DataFrame
        The experiment's rows: ``row``, ``patient_id``, ``side`` (train, valid or test).
    groups : Groups
        Who is attacked.
    count : int
        Shadows, an even number.
    seed : int
        Deals; patients' names do not matter, only the order of first appearance.

    Yields
    ------
    pandas.DataFrame
        `selection` with another ``side``: train where the shadow is trained on a patient, test where it is not.
    """
    rng = np.random.default_rng(seed)
    kinds = [
        selection.loc[selection["row"].isin(rows), "patient_id"].unique().tolist()
        for rows in (groups.members, groups.non_members)
    ]
    attacked = selection["patient_id"].isin([name for names in kinds for name in names])
    for _ in range(count // 2):
        first = [name for names in kinds for name in np.array(names)[patient_groups(names, 2, rng) == 0]]
        chosen = selection["patient_id"].isin(first)
        for half in (chosen, ~chosen):
            yield selection.assign(side=selection["side"].mask(attacked, np.where(half, "train", "test")))


def replaying_shadows(
    real: ImageStore, groups: Groups, shadows: Iterable[Shadow], moves: Moves, rng: np.random.Generator
) -> Iterator[Shadow]:
    """Give each shadow's counterpart that replays its training images, as the controls' generators do."""
    for shadow in shadows:
        known = np.isin(shadow.training, groups.candidates)
        others = rng.permutation(shadow.training[~known])[: len(groups.members)]
        yield Shadow(replay(real.images, np.concatenate([shadow.training[known], others]), moves, rng), shadow.training)


def shadow_scores(candidates: Candidates, rows: Rows, shadows: Iterable[Shadow]) -> ShadowScores:
    """Score candidates by the closest record of each shadow's images.

    Parameters
    ----------
    candidates : Candidates
        Their vectors in one space.
    rows : numpy.ndarray
        int64: their rows in the cohort's store.
    shadows : iterable of Shadow
        One is held in memory at a time.
    """
    scores: list[NDArray[np.float64]] = []
    members: list[NDArray[np.bool_]] = []
    for shadow in shadows:
        scores.append(candidates.closest(space_vectors(candidates.space, shadow.images)))
        members.append(np.isin(rows, shadow.training))
    return ShadowScores(np.stack(scores), np.stack(members))
