"""Uncertainty over patients: resamples, intervals, and what is compared on the same resamples."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from synthcohort.measures.auroc import weighted_auroc

MAXIMUM_REDRAWS = 1000


def patient_weights(patients: ArrayLike, resamples: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Draw patients with replacement and say how often each image comes along.

    Parameters
    ----------
    patients : array_like, shape (n,)
        Patient of each image. Only who belongs together and the order of first appearance matter, not the names:
        pseudonyms differ between sites, results must not.
    resamples : int
        Number of resamples.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (resamples, n)
        uint16 counts; all images of a patient share theirs.
    """
    patient, names = pd.factorize(np.asarray(patients))
    count = len(names)
    drawn = rng.integers(0, count, (resamples, count)) + count * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)
    return counts.astype(np.uint16)[:, patient]


def percentile_interval(samples: NDArray, confidence: float) -> tuple[float, float]:
    """Percentile interval of a bootstrapped statistic (Efron and Tibshirani 1993, chapter 13).

    Parameters
    ----------
    samples : ndarray, shape (resamples,)
        The statistic on each resample; NaNs, where it is undefined, are left out.
    confidence : float
        For example 0.95.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN where no sample is defined.
    """
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class AurocBootstrap:
    """AUROC of several classifiers and findings on the same test patients.

    Attributes
    ----------
    values : ndarray, shape (classifiers, findings)
        On all patients; NaN where a finding has one class only.
    samples : ndarray, shape (classifiers, findings, resamples)
        On each resample. Sample b of every classifier is of the same patients, so differences are paired.
    redrawn : ndarray, shape (findings,)
        How many resamples had one class only and were drawn again.
    """

    values: NDArray[np.float64]
    samples: NDArray[np.float64]
    redrawn: NDArray[np.int64]


def bootstrap_auroc(
    labels: NDArray, scores: NDArray, patients: ArrayLike, resamples: int, rng: np.random.Generator
) -> AurocBootstrap:
    """Bootstrap AUROCs over patients, all classifiers and findings on the same resamples.

    A resample in which a finding has one class only is drawn again for that finding, and counted.

    Parameters
    ----------
    labels : ndarray, shape (n, findings)
        0, 1 or NaN.
    scores : ndarray, shape (classifiers, n, findings)
        Higher means more likely positive.
    patients : array_like, shape (n,)
        Patient of each image.
    resamples : int
        Number of resamples.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    AurocBootstrap
    """
    classifiers, _, findings = scores.shape
    values = np.full((classifiers, findings), np.nan)
    samples = np.full((classifiers, findings, resamples), np.nan)
    redrawn = np.zeros(findings, np.int64)
    weights = patient_weights(patients, resamples, rng)
    everyone = np.ones((1, labels.shape[0]))
    for finding in range(findings):
        label = labels[:, finding]
        if len(np.unique(label[~np.isnan(label)])) < 2:
            continue
        drawn, redrawn[finding] = _redraw(weights, label, patients, rng)
        for classifier in range(classifiers):
            score = scores[classifier, :, finding]
            values[classifier, finding] = weighted_auroc(label, score, everyone)[0]
            samples[classifier, finding] = weighted_auroc(label, score, drawn)
    return AurocBootstrap(values, samples, redrawn)


def _redraw(
    weights: NDArray[np.uint16], label: NDArray, patients: ArrayLike, rng: np.random.Generator
) -> tuple[NDArray[np.uint16], int]:
    """Replace resamples with one class only; return the weights and how many were drawn in vain."""
    redrawn = 0
    for _ in range(MAXIMUM_REDRAWS):
        single = np.flatnonzero(~((weights[:, label == 1].any(axis=1)) & (weights[:, label == 0].any(axis=1))))
        if not len(single):
            break
        redrawn += len(single)
        weights = weights.copy()
        weights[single] = patient_weights(patients, len(single), rng)
    return weights, redrawn


def retention(source: NDArray | float, real: NDArray | float) -> NDArray[np.float64]:
    """Share of the real classifier's AUROC above chance that a source keeps: (source − 0.5) / (real − 0.5).

    Parameters
    ----------
    source, real : ndarray or float
        AUROCs of one shape.

    Returns
    -------
    ndarray
        Neither clipped at 0 nor at 1; NaN where the real classifier is not better than chance, as there is nothing to
        keep.
    """
    above = np.asarray(real, np.float64) - 0.5
    kept = np.asarray(source, np.float64) - 0.5
    return np.divide(kept, above, out=np.full(np.shape(above), np.nan), where=above > 0)


def retention_interval(source: NDArray, real: NDArray, confidence: float) -> tuple[float, float]:
    """Percentile interval of retention from paired AUROC samples.

    Parameters
    ----------
    source, real : ndarray, shape (resamples,)
        Sample b of both is of the same patients.
    confidence : float
        For example 0.95.

    Returns
    -------
    tuple of float
        NaN where the real classifier's own interval reaches chance: the ratio is then unbounded (Fieller 1954).
    """
    if not percentile_interval(real, confidence)[0] > 0.5:
        return float("nan"), float("nan")
    return percentile_interval(retention(source, real), confidence)
