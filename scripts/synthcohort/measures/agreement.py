"""How far readers agree with one another, and with themselves."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa

from synthcohort.measures.bootstrap import patient_weights, percentile_interval


def fleiss(
    answers: ArrayLike, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Agreement of readers beyond chance (Fleiss 1971).

    Parameters
    ----------
    answers : array_like, shape (readers, images)
        0 or 1; images without all readers' answers (NaN) are left out.
    confidence : float
        For example 0.95.
    resamples : int
        Number of bootstrap resamples of images. The readers are these ones: a reader drawn twice would agree with
        themselves.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    tuple of float
        Kappa, lower and upper end of its interval; NaN where fewer than two readers or images are whole.
    """
    answers = np.asarray(answers, np.float64)
    answers = answers[:, ~np.isnan(answers).any(axis=0)]
    if min(answers.shape) < 2:
        return float("nan"), float("nan"), float("nan")
    counts = aggregate_raters(answers.T.astype(int), n_cat=2)[0]
    with np.errstate(invalid="ignore"):
        value = float(fleiss_kappa(counts))
    samples = weighted_fleiss(counts, patient_weights(np.arange(len(counts)), resamples, rng))
    return (value, *percentile_interval(samples, confidence))


def weighted_fleiss(counts: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Fleiss' kappa under many weightings of the same images.

    Parameters
    ----------
    counts : ndarray, shape (images, categories)
        How many readers chose each category; the same number of readers for every image.
    weights : ndarray, shape (resamples, images)
        How often each image was drawn.

    Returns
    -------
    ndarray, shape (resamples,)
        float64; NaN where all answers are alike.
    """
    readers = counts[0].sum()
    pairs = (counts * (counts - 1)).sum(axis=1) / (readers * (readers - 1))
    share = weights / weights.sum(axis=1, keepdims=True)
    by_chance = ((share @ counts / readers) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(by_chance < 1, (share @ pairs - by_chance) / (1 - by_chance), np.nan)


def repeat_kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Agreement of first and second answers to the same images beyond chance (Cohen 1960), all readers together.

    Parameters
    ----------
    first, second : array_like, shape (n,)
        0 or 1.

    Returns
    -------
    float
        NaN where there is nothing to compare, or all answers are alike.
    """
    first, second = np.asarray(first, int), np.asarray(second, int)
    table = np.zeros((2, 2))
    np.add.at(table, (first, second), 1)
    if not len(first) or table.max() == table.sum():
        return float("nan")
    return float(cohens_kappa(table).kappa)
