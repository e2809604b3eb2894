"""Average precision, Brier score and calibration error, each for many resamples at once."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcohort.measures.auroc import CHUNK_ELEMENTS, checked

BINS = 15
"""Bins of the calibration error, as Guo et al. 2017 took."""


def weighted_average_precision(labels: ArrayLike, scores: ArrayLike, weights: NDArray) -> NDArray[np.float64]:
    """Average precision under many weightings of the same images, sorting them once.

    The mean of the precision at each threshold, weighted by the recall gained there; images of equal score pass the
    threshold together, and nothing is interpolated.

    Parameters
    ----------
    labels : array_like, shape (n,)
        0, 1 or NaN; images with NaN are left out.
    scores : array_like, shape (n,)
        Higher means more likely positive.
    weights : ndarray, shape (resamples, n)
        Weights that are not negative, for example how often each image was drawn.

    Returns
    -------
    ndarray, shape (resamples,)
        float64 in [0, 1]; chance is the share of positives, not one half. NaN where no positive has weight.

    Raises
    ------
    ValueError
        For labels other than 0, 1 and NaN, or scores that are not finite.

    References
    ----------
    Davis and Goadrich, The relationship between precision-recall and ROC curves, 2006.
    """
    labels, scores, known = checked(labels, scores)
    result = np.full(len(weights), np.nan)
    order = known[np.argsort(-scores[known], kind="stable")]
    positive = labels[order] == 1
    if not positive.any():
        return result
    # Recall rises only where positives are: the images from one such group of equal scores to the next are one sum.
    group = np.cumsum(np.diff(scores[order], prepend=np.inf) != 0)
    gaining, firsts = np.unique(group[positive], return_index=True)
    ends = np.searchsorted(group, gaining, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    for rows in _chunks(len(weights), len(order)):
        drawn = weights[rows]
        gained = np.add.reduceat(drawn[:, order[positive]].astype(np.float64), firsts, axis=1)
        above = np.add.reduceat(drawn[:, order[: ends[-1]]].astype(np.float64), starts, axis=1).cumsum(axis=1)
        found = gained.cumsum(axis=1)
        precision = np.divide(found, above, out=np.zeros_like(found), where=above > 0)
        won, total = np.einsum("ij,ij->i", gained, precision), found[:, -1]
        np.divide(won, total, out=result[rows], where=total > 0)
    return result


def weighted_brier(labels: ArrayLike, scores: ArrayLike, weights: NDArray) -> NDArray[np.float64]:
    """Brier score, the mean squared error of probabilities, under many weightings of the same images.

    Parameters
    ----------
    labels : array_like, shape (n,)
        0, 1 or NaN; images with NaN are left out.
    scores : array_like, shape (n,)
        Probability of a positive.
    weights : ndarray, shape (resamples, n)
        Weights that are not negative.

    Returns
    -------
    ndarray, shape (resamples,)
        float64 in [0, 1], lower is better; NaN where no image has weight.

    Raises
    ------
    ValueError
        For labels other than 0, 1 and NaN, or scores that are not probabilities.

    References
    ----------
    Brier, Verification of forecasts expressed in terms of probability, 1950 (half of his sum over both classes).
    """
    labels, scores, known = _checked_probabilities(labels, scores)
    terms = np.zeros((len(labels), 2))
    terms[known, 0] = (scores[known] - labels[known]) ** 2
    terms[known, 1] = 1
    error, total = _weighted_sums(terms, weights).T
    return np.divide(error, total, out=np.full(len(weights), np.nan), where=total > 0)


def weighted_calibration_error(labels: ArrayLike, scores: ArrayLike, weights: NDArray) -> NDArray[np.float64]:
    """Calibration error (expected calibration error) under many weightings of the same images.

    Mean distance between the probability that was given and the share of positives found, over bins of equal width
    weighted by the images in them. A bin holds its upper end; the first holds 0 too.

    Parameters
    ----------
    labels : array_like, shape (n,)
        0, 1 or NaN; images with NaN are left out.
    scores : array_like, shape (n,)
        Probability of a positive.
    weights : ndarray, shape (resamples, n)
        Weights that are not negative.

    Returns
    -------
    ndarray, shape (resamples,)
        float64 in [0, 1], lower is better; NaN where no image has weight. With few images chance alone makes it
        larger than it is in the population (Kumar et al. 2019, arXiv 1909.10155): compare it on the same images only.

    Raises
    ------
    ValueError
        For labels other than 0, 1 and NaN, or scores that are not probabilities.

    References
    ----------
    Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, 2015, for the probability of the
    positive class; Guo et al., On calibration of modern neural networks, arXiv 1706.04599, for the 15 bins.
    """
    labels, scores, known = _checked_probabilities(labels, scores)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores[known], side="left")
    terms = np.zeros((len(labels), BINS + 1))
    terms[known, bins] = labels[known] - scores[known]
    terms[known, BINS] = 1
    sums = _weighted_sums(terms, weights)
    error, total = np.abs(sums[:, :BINS]).sum(axis=1), sums[:, BINS]
    return np.divide(error, total, out=np.full(len(weights), np.nan), where=total > 0)


def _checked_probabilities(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    labels, scores, known = checked(labels, scores)
    if ((scores[known] < 0) | (scores[known] > 1)).any():
        raise ValueError("scores must be probabilities, between 0 and 1")
    return labels, scores, known


def _chunks(resamples: int, images: int) -> Iterator[slice]:
    """Slices of the resamples that bound memory."""
    step = max(1, CHUNK_ELEMENTS // max(1, images))
    for first in range(0, resamples, step):
        yield slice(first, first + step)


def _weighted_sums(terms: NDArray[np.float64], weights: NDArray) -> NDArray[np.float64]:
    """Sum over images of each column of `terms` ``[n, columns]`` under each weighting: ``[resamples, columns]``."""
    result = np.empty((len(weights), terms.shape[1]))
    for rows in _chunks(*weights.shape):
        result[rows] = weights[rows].astype(np.float64) @ terms
    return result
