"""What a synthetic cohort gives away about the patients that its generator was trained on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from synthcohort.audit.copies import CopySearch, authenticity, support_estimates
from synthcohort.audit.membership import (
    MIRRORED,
    SHIFTS,
    Candidates,
    Groups,
    Moves,
    audit_spaces,
    audited_samples,
    choose_groups,
    space_vectors,
)
from synthcohort.audit.neighbours import Arrays, Rows, Space
from synthcohort.audit.privacy_vocabulary import (
    CLOSEST_RECORD,
    HALVES,
    IMAGE,
    PATIENT,
    SHADOWS,
    VERIFICATION,
    attack_parameter,
)
from synthcohort.audit.shadows import Shadow, ShadowScores, replaying_shadows, shadow_scores
from synthcohort.audit.utility import combine_metrics
from synthcohort.audit.verifier import SPACE as VERIFIER_SPACE
from synthcohort.audit.verifier import patients_with_several, train_verifier, verification_auroc, verifier_space
from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.networks import Network
from synthcohort.core.config import Statistics
from synthcohort.core.errors import TooFewImagesError
from synthcohort.core.experiment import REAL
from synthcohort.core.progress import logger
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.measures.attack_scores import likelihood_ratio
from synthcohort.measures.attacks import Estimate, Scores, evaluate_attack, match_counts, patient_scores
from synthcohort.measures.fidelity import patient_groups

UNRESOLVED = Estimate(np.nan, np.nan, np.nan)

Row = dict[str, Any]
Scorer = Callable[[Rows], Scores]
"""An attack that knows more than the synthetic cohort: scores rows of the cohort's store, higher for members."""


def privacy_audit(
    keys: Mapping[str, str],
    synthetic: Mapping[str, ImageStore | JoinedStore],
    real: ImageStore,
    selection: pd.DataFrame,
    judge: Network,
    statistics: Statistics,
    seed: int,
    scorers: Mapping[str, Mapping[str, Scorer]] | None = None,
    shadows: Mapping[str, Sequence[Shadow]] | None = None,
    mirrored: bool = False,
) -> tuple[Arrays, pd.DataFrame]:
    """Attack synthetic cohorts, look for copies in them, and do the same to controls whose answer is known.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis``, ``level`` and ``replicate``.
    synthetic : mapping of str to ImageStore or JoinedStore
        Each family's sample, all that may be shared of it.
    real : ImageStore
        The cohort.
    selection : pandas.DataFrame
        The experiment's rows of `real`: ``row``, ``patient_id``, ``side`` (train, valid or test).
    judge : Network
        A classifier that the generators' training did not use.
    statistics : Statistics
        Resamples and level of the intervals.
    seed : int
        Of every choice, the controls and the resamples.
    scorers : mapping of str to mapping of str to callable, optional
        For families, attacks by what an attacker may have beside the synthetic cohort, such as the discriminator, by
        name.
    shadows : mapping of str to sequence of Shadow, optional
        For families, shadow generators, who were trained on halves of those that `attacked_groups` gives with `seed`.
    mirrored : bool
        Whether generators were shown mirrored images as well: copies are then also looked for in the mirror.

    Returns
    -------
    arrays : dict of numpy.ndarray
        The closest pairs in pixels, see `CopySearch.pairs`, as ``{family or role of a control}_{key}``. Shows training
        patients.
    table : pandas.DataFrame
        Rows of metrics.parquet; ``features`` says what attacker or measure looked at.

        ``attack_auroc`` and ``attack_tpr`` (true positive rate at the false positive rates in `attacks.RATES`) of each
        attack, on images and on patients; ``parameter`` is made by `attack_parameter`. `n` is the number of
        non-members, on which it depends whether a rate can be resolved; where it cannot, ``value`` is NaN.

        ``verification_auroc`` of the verifier on test patients, and attacks in its features, where patients have
        several studies, see `verifier`; `n` is the number of patients. Where they have, but too few of them for a
        verifier, ``value`` is NaN, and there are no such attacks.

        ``authenticity`` in pixels, and in features ``alpha_precision`` and ``beta_recall``, see
        `measures.authenticity`; `n` is the number of synthetic images.

        Role ``value``: of a family's sample; members are training images, non-members test images with the same labels.
        ``positive_control``: of a sample that replays training images. ``negative_control``: of one that replays other
        patients' images (`THIRD_GROUP`), and, of each family, of one half of the non-members against the other half
        (`HALVES`), which no attack can tell apart. Controls that replay have the source ``real``. The judge was trained
        on the training patients: what its features give away of them without any generator shows in `THIRD_GROUP`.

    Raises
    ------
    UserError
        When a patient is on two sides, or a side is empty.
    TooFewImagesError
        When there are too few images to attack.
    """
    groups = attacked_groups(real, selection, seed)
    rng = np.random.default_rng([seed, 1])
    moves = MIRRORED if mirrored else SHIFTS
    samples = audited_samples(synthetic, real, selection, groups, moves, rng)
    attacks = _Attacks(selection, groups, statistics, rng)
    rows: list[Row] = []
    arrays: Arrays = {}
    judged, pixels = audit_spaces(judge)
    verifying, known = _verifier(real, selection, groups, statistics, next(judge.parameters()).device, seed)
    rows += known
    for space in (judged, pixels, *verifying):
        candidates = Candidates(space, real, groups, moves)
        shadowed = _shadow_scores(candidates, real, groups, shadows or {}, moves, rng)
        for sample in samples:
            common = {"source": sample.source, "features": space.name, "role": sample.role}
            found = dict(candidates.attack(space_vectors(space, sample.images), rng))
            if sample.source in shadowed:
                found[SHADOWS] = likelihood_ratio(found[CLOSEST_RECORD], *shadowed[sample.source])
            for name, scores in found.items():
                rows += [{**common, **row} for row in attacks.measure(name, scores, sample.control)]
                if sample.role == "value":
                    rows += [{**common, **row} for row in attacks.control(name, scores)]
    training = selection.loc[selection["side"] == "train", ["row", "patient_id"]]
    search = CopySearch(pixels, real, training["row"].to_numpy(), moves)
    for sample in samples:
        common = {"source": sample.source, "role": sample.role}
        copies = search.closest(sample, rng)
        share = _row("authenticity", sample.control, authenticity(copies, statistics, rng), len(copies.images))
        rows.append({**common, "features": pixels.name, **share})
        for metric, count, estimate in support_estimates(judged, real, training, sample, statistics, rng):
            rows.append({**common, "features": judged.name, **_row(metric, sample.control, estimate, count)})
        name = sample.source if sample.role == "value" else sample.role
        arrays |= {f"{name}_{key}": array for key, array in search.pairs(copies).items()}
    for family, own in (scorers or {}).items():
        for name, scorer in own.items():
            scores = scorer(groups.candidates)
            common = {"source": family, "features": name, "role": "value"}
            rows += [{**common, **row} for row in attacks.measure(name, scores)]
            rows += [{**common, **row} for row in attacks.control(name, scores)]
    shared = {**keys, "finding": "", "simulated": real.info.simulated}
    return arrays, combine_metrics([pd.DataFrame([{**shared, **row} for row in rows])])


def privacy_seed(study_seed: int, cohort: str, experiment: str, replicate: str) -> int:
    """Derive an audit's seed: the same at all levels of an axis, which may share what is trained, shadows as well."""
    return derive_seed(study_seed, "privacy", cohort, experiment.partition("-")[0], replicate=replicate)


def attacked_groups(real: ImageStore, selection: pd.DataFrame, seed: int) -> Groups:
    """Choose who is attacked in an audit of a seed; see `choose_groups`."""
    return choose_groups(real, selection, np.random.default_rng(seed))


def _shadow_scores(
    candidates: Candidates,
    real: ImageStore,
    groups: Groups,
    shadows: Mapping[str, Sequence[Shadow]],
    moves: Moves,
    rng: np.random.Generator,
) -> dict[str, ShadowScores]:
    """Score candidates under each family's shadows, and under such as replay, for the controls."""
    scores = {family: shadow_scores(candidates, groups.candidates, own) for family, own in shadows.items()}
    for own in list(shadows.values())[:1]:  # all families' shadows know the same patients
        replaying = replaying_shadows(real, groups, own, moves, rng)
        scores[REAL] = shadow_scores(candidates, groups.candidates, replaying)
    return scores


def _verifier(
    real: ImageStore, selection: pd.DataFrame, groups: Groups, statistics: Statistics, device: torch.device, seed: int
) -> tuple[list[Space], list[Row]]:
    """Train a verifier on the reference patients, and say how well it knows test patients, or that it could not be."""
    common = {"source": REAL, "features": VERIFIER_SPACE, "role": "value"}
    test = selection.loc[selection["side"] == "test", "row"].to_numpy()
    try:
        network = train_verifier(real, groups.reference, seed, device)
        found = verification_auroc(network, real, test, statistics, np.random.default_rng(seed))
    except TooFewImagesError as error:
        logger.info("re-identification: not measured: %s", error)
        if not patients_with_several(real, selection["row"].to_numpy()):
            return [], []
        fewest = min(patients_with_several(real, rows) for rows in (groups.reference, test))
        return [], [{**common, **_row(VERIFICATION, "", UNRESOLVED, fewest)}]
    return [verifier_space(network)], [{**common, **_row(VERIFICATION, "", *found)}]


class _Attacks:
    """Turns the candidates' scores into rows."""

    def __init__(
        self, selection: pd.DataFrame, groups: Groups, statistics: Statistics, rng: np.random.Generator
    ) -> None:
        self.patients = selection.set_index("row").loc[groups.candidates, "patient_id"].to_numpy()
        self.members = np.repeat([True, False], [len(groups.members), len(groups.non_members)])
        self.statistics, self.rng = statistics, rng
        others = self.patients[~self.members]
        self.half = patient_groups(others, 2, rng) == 0
        self.kept = match_counts(self.members, self.patients, rng)
        self.kept_of_half = match_counts(self.half, others, rng)

    def measure(self, attack: str, scores: Scores, control: str = "") -> Iterator[Row]:
        """Rows of an attack on members."""
        yield from self._rows(attack, control, self.kept, scores, self.members, self.patients)

    def control(self, attack: str, scores: Scores) -> Iterator[Row]:
        """Rows of the same attack where one half of the non-members stands for members."""
        others = ~self.members
        for row in self._rows(attack, HALVES, self.kept_of_half, scores[others], self.half, self.patients[others]):
            yield {**row, "role": "negative_control"}

    def _rows(
        self,
        attack: str,
        control: str,
        kept: NDArray[np.bool_],
        scores: Scores,
        members: NDArray[np.bool_],
        patients: NDArray[Any],
    ) -> Iterator[Row]:
        """Rows of an attack by all images, and about patients by those of their images that are kept."""
        by_patient = patient_scores(scores[kept], members[kept], patients[kept])
        for unit, decided in ((IMAGE, (scores, members, patients)), (PATIENT, by_patient)):
            found = evaluate_attack(*decided, self.statistics.bootstrap, self.statistics.confidence, self.rng)
            yield _row("attack_auroc", attack_parameter(attack, unit, control), found.auroc, found.non_members)
            for rate, estimate in found.true_positive_rates.items():
                parameter = attack_parameter(attack, unit, control, rate)
                yield _row("attack_tpr", parameter, estimate or UNRESOLVED, found.non_members)


def _row(metric: str, parameter: str, estimate: Estimate, n: int) -> Row:
    value, low, high = estimate
    return {"metric": metric, "parameter": parameter, "value": value, "ci_low": low, "ci_high": high, "n": n}
