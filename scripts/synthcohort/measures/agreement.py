"""How far readers agree with one another, and with themselves."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcohort.measures.bootstrap import patient_weights, percentile_interval


class Agreement(NamedTuple):
    """Agreement beyond chance (kappa) with the interval of its bootstrap; NaN where nothing tells it.

    The readers are these ones: a reader drawn twice would agree with themselves. Resampled are patients.
    """

    value: float
    low: float
    high: float
    answers: int
    """That it is made of."""


NOTHING = Agreement(float("nan"), float("nan"), float("nan"), 0)


def fleiss(
    answers: ArrayLike, groups: ArrayLike, confidence: float, resamples: int, rng: np.random.Generator
) -> Agreement:
    """Agreement of readers with one another (Fleiss 1971), who need not all have answered everything (Gwet 2014).

    Parameters
    ----------
    answers : array_like, shape (readers, images)
        0 or 1, NaN where there is none; images with fewer than two answers are left out.
    groups : array_like, shape (images,)
        Patient of each image.
    confidence : float
        For example 0.95.
    resamples : int
        Number of bootstrap resamples.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Agreement
        NaN where fewer than two images have two answers.
    """
    answers = np.asarray(answers, np.float64)
    counts = np.stack([(answers == kind).sum(axis=0) for kind in (0, 1)], axis=1)
    usable = counts.sum(axis=1) >= 2
    counts, groups = counts[usable], np.asarray(groups)[usable]
    if len(counts) < 2:
        return NOTHING
    value = weighted_fleiss(counts, np.ones((1, len(counts))))[0]
    samples = weighted_fleiss(counts, patient_weights(groups, resamples, rng))
    return Agreement(float(value), *percentile_interval(samples, confidence), int(counts.sum()))


def weighted_fleiss(counts: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Fleiss' kappa under many weightings of the same images.

    Parameters
    ----------
    counts : ndarray, shape (images, categories)
        How many readers chose each category; at least two readers for every image.
    weights : ndarray, shape (resamples, images)
        How often each image was drawn.

    Returns
    -------
    ndarray, shape (resamples,)
        float64; NaN where all answers are alike.
    """
    readers = counts.sum(axis=1)
    pairs = (counts * (counts - 1)).sum(axis=1) / (readers * (readers - 1))
    share = weights / weights.sum(axis=1, keepdims=True)
    by_chance = ((share @ (counts / readers[:, None])) ** 2).sum(axis=1)
    return _beyond(share @ pairs, by_chance, np.ones(len(weights)))


def repeat_kappa(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike,
    confidence: float,
    resamples: int,
    rng: np.random.Generator,
) -> Agreement:
    """Agreement of readers' second answers to the same images with their first ones (Cohen 1960).

    Chance is each reader's own: in one table of all, readers who guess with different inclinations would seem to agree.
    Their agreements, observed and by chance, are added up before kappa is taken.

    Parameters
    ----------
    first, second : array_like, shape (readers, images)
        0 or 1; NaN where a reader did not answer twice.
    groups, confidence, resamples, rng
        As of `fleiss`.

    Returns
    -------
    Agreement
        `answers` counts pairs; NaN where there are none, or every reader's are all alike; without interval where there
        is one image.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    given = ~np.isnan(first + second)
    shown = given.any(axis=0)
    first, second, given = first[:, shown], second[:, shown], given[:, shown]
    if not given.any():
        return NOTHING
    weights = np.vstack([np.ones(shown.sum()), patient_weights(np.asarray(groups)[shown], resamples, rng)])
    count, same, once, again = (
        weights @ chosen.T.astype(float)
        for chosen in (given, given & (first == second), given & (first == 1), given & (second == 1))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        by_chance = np.where(count > 0, (once * again + (count - once) * (count - again)) / count, 0)
    values = _beyond(same.sum(axis=1), by_chance.sum(axis=1), count.sum(axis=1))
    interval = percentile_interval(values[1:], confidence) if shown.sum() > 1 else NOTHING[1:3]
    return Agreement(float(values[0]), *interval, int(given.sum()))


def _beyond(observed: NDArray, by_chance: NDArray, possible: NDArray) -> NDArray[np.float64]:
    """Kappa; NaN where chance leaves nothing to agree on."""
    left = possible - by_chance
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 1e-12 * possible, (observed - by_chance) / left, np.nan)
