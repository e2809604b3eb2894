"""How well a membership inference attack tells a generator's training patients from others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from synthcohort.measures.auroc import CHUNK_ELEMENTS, checked, weighted_auroc
from synthcohort.measures.bootstrap import patient_weights, percentile_interval

RATES = (0.001, 0.01, 0.1)
"""False positive rates at which the true positive rate is asked for."""
FEWEST = 10
"""Non-members that a false positive rate must let pass: with fewer the true positive rate hangs on a handful."""

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Estimate(NamedTuple):
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Attack:
    """How well an attack works.

    Attributes
    ----------
    auroc : Estimate
        Chance is 0.5; never flipped.
    true_positive_rates : dict of float to Estimate or None
        At each false positive rate; chance is the rate itself. None where the rate cannot be resolved.
    members, non_members : int
        How many were attacked.
    """

    auroc: Estimate
    true_positive_rates: dict[float, Estimate | None]
    members: int
    non_members: int


def evaluate_attack(
    scores: ArrayLike,
    members: ArrayLike,
    patients: ArrayLike,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
    rates: Sequence[float] = RATES,
) -> Attack:
    """Measure how well scores tell members from non-members, with intervals over patients.

    Members and non-members are resampled apart from each other, all images of a patient together (percentile
    intervals). Where a true positive rate is exactly 0 or 1, resamples hardly vary; its far end then reaches at least
    as far as the binomial interval of Clopper and Pearson (1934) for as many independent members as there are patients.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher means more likely a member.
    members : array_like, shape (n,)
        Whether the generator was trained on each image, bool; both kinds must be there.
    patients : array_like, shape (n,)
        Patient of each image.
    resamples : int
        Number of resamples.
    confidence : float
        For example 0.95.
    rng : numpy.random.Generator
        Source of randomness.
    rates : sequence of float
        False positive rates. One that lets fewer than `FEWEST` non-members pass cannot be resolved.

    Returns
    -------
    Attack

    Raises
    ------
    ValueError
        When a score is not finite, a kind is missing, or a patient is of both kinds.

    References
    ----------
    Carlini et al., Membership inference attacks from first principles, 2022 (arXiv 2112.03570): why the true positive
    rate at low false positive rates counts, not the AUROC alone.
    """
    member, patient = np.asarray(members, bool), np.asarray(patients)
    score = checked(member, scores)[1]
    _check_kinds(member, patient)
    count = int((~member).sum())
    resolved = [rate for rate in rates if resolvable(rate, count)]
    weights = np.empty((resamples, len(member)), np.uint16)
    for kind in (member, ~member):
        weights[:, kind] = patient_weights(patient[kind], resamples, rng)
    everyone = np.ones((1, len(member)))
    area = Estimate(
        float(weighted_auroc(member, score, everyone)[0]),
        *percentile_interval(weighted_auroc(member, score, weights), confidence),
    )
    values = weighted_true_positive_rates(member, score, everyone, resolved)[:, 0]
    samples = weighted_true_positive_rates(member, score, weights, resolved)
    found: dict[float, Estimate | None] = dict.fromkeys(rates)
    member_patients = len(pd.unique(patient[member]))
    for rate, value, sample in zip(resolved, values.tolist(), samples, strict=True):
        found[rate] = Estimate(value, *_rate_interval(value, sample, confidence, member_patients))
    return Attack(area, found, len(member) - count, count)


def resolvable(rate: float, non_members: int) -> bool:
    """Tell whether a false positive rate lets at least `FEWEST` of the non-members pass."""
    return round(rate * non_members, 9) >= FEWEST


def patient_scores(scores: ArrayLike, members: ArrayLike, patients: ArrayLike) -> tuple[Scores, Flags, NDArray]:
    """Decide about patients instead of images: by the highest score of a patient's images, as one copy is enough.

    The highest of many scores is higher than that of few, so it is judged by how probable it is: a patient's score is
    the logarithm of the chance that as many images, drawn from all, stay below it (Šidák's adjustment). That takes a
    patient's images for independent, which they are not; so members and non-members must have as many, see
    `match_counts`: then the adjustment errs alike on both sides.

    Parameters
    ----------
    scores, members, patients
        See `evaluate_attack`.

    Returns
    -------
    scores, members, patients : ndarray, shape (patients,)
        One entry per patient, in the order of first appearance.

    Raises
    ------
    ValueError
        When a patient is of both kinds.
    """
    member = np.asarray(members, bool)
    _check_kinds(member, np.asarray(patients))
    patient, names = pd.factorize(np.asarray(patients))
    below = (rankdata(np.asarray(scores, np.float64)) - 0.5) / len(member)  # average ranks where scores are equal
    highest = np.zeros(len(names))
    np.maximum.at(highest, patient, below)
    first = np.unique(patient, return_index=True)[1]
    images = np.bincount(patient).astype(np.float64)
    return images * np.log(highest), member[first], np.asarray(names)


def match_counts(members: ArrayLike, patients: ArrayLike, rng: np.random.Generator) -> Flags:
    """Choose images so that patients of both kinds have as many: their number must not tell who is a member.

    Patients of each kind are ordered by their number of images, and those at the same place keep as many: the number of
    the one who has fewer. Where there are more patients of one kind, several of them stand beside one of the other.

    Parameters
    ----------
    members, patients
        See `evaluate_attack`.
    rng : numpy.random.Generator
        Chooses a patient's images, and orders patients with equally many.

    Returns
    -------
    ndarray, shape (n,)
        Bool: which images are kept, one of every patient at least.

    Raises
    ------
    ValueError
        When a kind is missing, or a patient is of both kinds.
    """
    member = np.asarray(members, bool)
    _check_kinds(member, np.asarray(patients))
    patient = pd.factorize(np.asarray(patients))[0]
    counts = np.bincount(patient)
    shuffled = rng.permutation(len(counts))
    most_first = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    is_member = np.zeros(len(counts), bool)
    is_member[patient[member]] = True
    fewer, more = sorted((most_first[is_member[most_first]], most_first[~is_member[most_first]]), key=len)
    beside = np.arange(len(more)) * len(fewer) // len(more)
    allowed = counts[fewer]
    np.minimum.at(allowed, beside, counts[more])
    counts[fewer], counts[more] = allowed, allowed[beside]
    order = rng.permutation(len(patient))
    place = np.empty(len(patient), np.int64)
    place[order] = pd.Series(patient[order]).groupby(patient[order]).cumcount()
    return place < counts[patient]


def weighted_true_positive_rates(
    members: ArrayLike, scores: ArrayLike, weights: NDArray, rates: Sequence[float]
) -> NDArray[np.float64]:
    """Compute true positive rates at given false positive rates under many weightings of the same images.

    An attacker may choose any threshold, but images of equal score pass it together: the rate is that of the lowest
    threshold which lets no larger share of the non-members pass. Nothing is interpolated.

    Parameters
    ----------
    members : array_like, shape (n,)
        Bool.
    scores : array_like, shape (n,)
        Higher means more likely a member.
    weights : ndarray, shape (resamples, n)
        Weights that are not negative, for example how often each image was drawn.
    rates : sequence of float
        False positive rates.

    Returns
    -------
    ndarray, shape (rates, resamples)
        float64 in [0, 1]; NaN where members or non-members have no weight.

    Raises
    ------
    ValueError
        When a score is not finite.
    """
    labels, scores, _ = checked(members, scores)
    result = np.full((len(rates), len(weights)), np.nan)
    if not len(labels):
        return result
    order = np.argsort(-scores, kind="stable")
    member = labels[order] == 1
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))  # first image of each group of equal scores
    step = max(1, CHUNK_ELEMENTS // len(order))
    for first in range(0, len(weights), step):
        drawn = weights[first : first + step, order].astype(np.float64)
        hits, alarms = (np.add.reduceat(drawn * kind, starts, axis=1).cumsum(axis=1) for kind in (member, ~member))
        caught = np.pad(hits, ((0, 0), (1, 0)))  # none where even the highest group is too large
        known = (hits[:, -1] > 0) & (alarms[:, -1] > 0)
        for number, rate in enumerate(rates):
            # A rate such as 0.1 of 30 images is 3 but for rounding.
            passed = (alarms <= rate * alarms[:, -1:] * (1 + 1e-12)).sum(axis=1)
            share = np.take_along_axis(caught, passed[:, None], axis=1)[:, 0]
            np.divide(share, hits[:, -1], out=result[number, first : first + step], where=known)
    return result


def _check_kinds(member: Flags, patient: NDArray) -> None:
    if member.all() or not member.any():
        raise ValueError("an attack needs members and non-members")
    if set(patient[member].tolist()) & set(patient[~member].tolist()):
        raise ValueError("a patient is both a member and a non-member")


def _rate_interval(value: float, samples: Scores, confidence: float, patients: int) -> tuple[float, float]:
    low, high = percentile_interval(samples, confidence)
    least = ((1 - confidence) / 2) ** (1 / patients)  # the share of which all of so many are seen that rarely
    if value == 0:
        high = max(high, 1 - least)
    if value == 1:
        low = min(low, least)
    return low, high
