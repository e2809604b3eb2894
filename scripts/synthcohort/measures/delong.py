"""AUROC with a variance from theory: DeLong's, with the images of a patient as a cluster."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri

from synthcohort.measures.auroc import checked


@dataclass(frozen=True)
class DeLong:
    """AUROCs of several classifiers on the same images, and how they vary together.

    Attributes
    ----------
    aurocs : ndarray, shape (classifiers,)
        NaN where only one class is present.
    covariance : ndarray, shape (classifiers, classifiers)
        Of the AUROCs, over patients; NaN where fewer than two patients have a positive, or a negative, image.
    """

    aurocs: NDArray[np.float64]
    covariance: NDArray[np.float64]


def delong(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> DeLong:
    """AUROCs and their covariance, images clustered in patients.

    With one image per patient this is DeLong's estimate.

    Parameters
    ----------
    labels : array_like, shape (n,)
        0, 1 or NaN; images with NaN are left out.
    scores : array_like, shape (classifiers, n)
        Higher means more likely positive.
    patients : array_like, shape (n,)
        Patient of each image; only who belongs together matters.

    Returns
    -------
    DeLong

    Raises
    ------
    ValueError
        For labels other than 0, 1 and NaN, or scores that are not finite.

    References
    ----------
    Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53:567, 1997. DeLong et al., Comparing
    the areas under two or more correlated ROC curves, Biometrics 44:837, 1988. Placements from ranks as in Sun and Xu,
    Fast implementation of DeLong's algorithm, IEEE Signal Processing Letters 21:1389, 2014.
    """
    from scipy.stats import rankdata  # takes a second to import, and figures, which import this module, need none

    labels, scores, known = checked(labels, scores)
    label, score = labels[known], scores[:, known]
    positive = label == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    classifiers = len(score)
    unknown = np.full((classifiers, classifiers), np.nan)
    if not positives or not negatives:
        return DeLong(np.full(classifiers, np.nan), unknown)

    patient, names = pd.factorize(np.asarray(patients)[known])
    ranks = rankdata(score, axis=1)
    # Placement: the share of the other class that an image is ranked rightly against, ties counting one half.
    of_positives = (ranks[:, positive] - rankdata(score[:, positive], axis=1)) / negatives
    of_negatives = 1 - (ranks[:, ~positive] - rankdata(score[:, ~positive], axis=1)) / positives
    aurocs = of_positives.mean(axis=1)
    first = _patient_sums(of_positives - aurocs[:, None], patient[positive], len(names))
    second = _patient_sums(of_negatives - aurocs[:, None], patient[~positive], len(names))
    with_positives, with_negatives = len(set(patient[positive])), len(set(patient[~positive]))
    if min(with_positives, with_negatives) < 2:
        return DeLong(aurocs, unknown)
    across = _unbiased(len(names)) * first @ second.T
    covariance = (
        _unbiased(with_positives) * first @ first.T / positives**2
        + _unbiased(with_negatives) * second @ second.T / negatives**2
        + (across + across.T) / (positives * negatives)
    )
    return DeLong(aurocs, covariance)


def delong_interval(result: DeLong, classifier: int, confidence: float) -> tuple[float, float]:
    """Interval of one AUROC, symmetric on the logit scale, so that it stays within 0 and 1.

    Parameters
    ----------
    result : DeLong
        What `delong` found.
    classifier : int
        Which classifier.
    confidence : float
        For example 0.95.

    Returns
    -------
    tuple of float
        Lower and upper end. NaN where the AUROC is exactly 0 or 1: the variance is then estimated as 0, which says
        nothing about other patients.

    References
    ----------
    Pepe, The statistical evaluation of medical tests for classification and prediction, 2003, chapter 5.
    """
    auroc, error = result.aurocs[classifier], _standard_error(result.covariance[classifier, classifier])
    if not 0 < auroc < 1:
        return float("nan"), float("nan")
    reach = ndtri((1 + confidence) / 2) * error / (auroc * (1 - auroc))
    return float(expit(logit(auroc) - reach)), float(expit(logit(auroc) + reach))


def delong_difference(result: DeLong, first: int, second: int, confidence: float) -> tuple[float, tuple[float, float]]:
    """Difference of two classifiers' AUROCs on the same images, and its interval.

    Parameters
    ----------
    result : DeLong
        What `delong` found.
    first, second : int
        The classifiers; the second's AUROC is taken from the first's.
    confidence : float
        For example 0.95.

    Returns
    -------
    difference : float
        ``aurocs[first] - aurocs[second]``.
    interval : tuple of float
        Symmetric around it, cut at -1 and 1. Without width where both classifiers rank the images alike.
    """
    aurocs, covariance = result.aurocs, result.covariance
    difference = float(aurocs[first] - aurocs[second])
    variance = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
    reach = ndtri((1 + confidence) / 2) * _standard_error(variance)
    low, high = np.clip([difference - reach, difference + reach], -1, 1)
    return difference, (float(low), float(high))


def _patient_sums(values: NDArray[np.float64], patient: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Add up ``[classifiers, images]`` over the images of each patient: ``[classifiers, patients]``."""
    return np.stack([np.bincount(patient, row, minlength=count) for row in values])


def _unbiased(count: int) -> float:
    return count / (count - 1)


def _standard_error(variance: float) -> float:
    """Root of a variance, which in small samples of clusters can be estimated below 0."""
    return float(np.sqrt(np.maximum(variance, 0)))
