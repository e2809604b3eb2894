"""Area under the ROC curve, plain and for many resamples at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK_ELEMENTS = 2**22
"""Weights handled at a time: bounds memory at some 100 MB however many resamples and images there are."""


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, ties counting one half.

    Parameters
    ----------
    labels : array_like, shape (n,)
        0, 1 or NaN; images with NaN are left out.
    scores : array_like, shape (n,)
        Higher means more likely positive.

    Returns
    -------
    float
        In [0, 1], never flipped; NaN where only one class is present.

    References
    ----------
    Hanley and McNeil, The meaning and use of the area under a receiver operating characteristic curve, 1982.
    """
    count = len(np.asarray(labels))
    return float(weighted_auroc(labels, scores, np.ones((1, count)))[0])


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Labels ``[n]``, scores ``[..., n]``, and the positions of the images whose label is known.

    Raises
    ------
    ValueError
        For labels other than 0, 1 and NaN, or scores that are not finite.
    """
    labels, scores = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    known = np.flatnonzero(~np.isnan(labels))
    if not np.isin(labels[known], (0, 1)).all():
        raise ValueError("labels must be 0, 1 or NaN")
    if not np.isfinite(scores[..., known]).all():
        raise ValueError("scores must be finite")
    return labels, scores, known


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: NDArray) -> NDArray[np.float64]:
    """AUROC under many weightings of the same images, sorting them once.

    A bootstrap resample is a weighting by how often each image was drawn, so this is the bootstrap's work horse.

    Parameters
    ----------
    labels : array_like, shape (n,)
        0, 1 or NaN; images with NaN are left out.
    scores : array_like, shape (n,)
        Higher means more likely positive.
    weights : ndarray, shape (resamples, n)
        Weights that are not negative.

    Returns
    -------
    ndarray, shape (resamples,)
        float64; NaN where only one class has weight.

    Raises
    ------
    ValueError
        For labels other than 0, 1 and NaN, or scores that are not finite.
    """
    labels, scores, known = checked(labels, scores)
    result = np.full(len(weights), np.nan)
    if not len(known):
        return result
    order = known[np.argsort(scores[known], kind="stable")]
    positive = labels[order] == 1
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # first image of each group of equal scores
    step = max(1, CHUNK_ELEMENTS // len(order))
    for first in range(0, len(weights), step):
        drawn = weights[first : first + step, order].astype(np.float64)
        positives = np.add.reduceat(drawn * positive, starts, axis=1)
        negatives = np.add.reduceat(drawn * ~positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1)
        total = positives.sum(axis=1) * below[:, -1]
        won = np.einsum("ij,ij->i", positives, below - negatives / 2)
        np.divide(won, total, out=result[first : first + step], where=total > 0)
    return result
