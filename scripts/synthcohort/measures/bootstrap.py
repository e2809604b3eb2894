"""Uncertainty over patients: resamples, intervals, and what is compared on the same resamples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from synthcohort.measures.auroc import weighted_auroc
from synthcohort.measures.scores import weighted_average_precision, weighted_brier, weighted_calibration_error

MEASURES = {
    "auroc": weighted_auroc,
    "average_precision": weighted_average_precision,
    "brier": weighted_brier,
    "calibration_error": weighted_calibration_error,
}
"""What is bootstrapped, under the names that metrics.parquet has for it."""
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


def basic_interval(
    value: float, samples: NDArray, confidence: float, bounds: tuple[float, float] = (0, 1)
) -> tuple[float, float]:
    """Give the basic bootstrap interval of a measure that chance makes larger, as the calibration error.

    A resample is as far above the value as the value is above the truth, so the percentile interval would be wrong
    twice over; this one mirrors it at the value (Davison and Hinkley 1997, section 2.4).

    Parameters
    ----------
    value : float
        The measure on all patients.
    samples : ndarray, shape (resamples,)
        The measure on each resample; NaNs are left out.
    confidence : float
        For example 0.95.
    bounds : tuple of float
        What the measure can be at least and at most.

    Returns
    -------
    tuple of float
        Lower and upper end, cut at the bounds and widened to hold the value; NaN where no sample is defined. Still too
        high where the truth is near 0, as the bias of a measure that cannot be negative is then larger than its mirror
        image tells.
    """
    low, high = percentile_interval(samples, confidence)
    return (
        float(np.maximum(bounds[0], np.minimum(value, 2 * value - high))),
        float(np.minimum(bounds[1], np.maximum(value, 2 * value - low))),
    )


@dataclass(frozen=True)
class Bootstrap:
    """Measures of several classifiers and findings on the same test patients.

    Attributes
    ----------
    measures : tuple of str
        Names of the first axis.
    values : ndarray, shape (measures, classifiers, findings)
        On all patients; NaN where a finding has one class only.
    samples : ndarray, shape (measures, classifiers, findings, resamples)
        On each resample. Sample b of every classifier and measure is of the same patients, so differences are paired.
    redrawn : ndarray, shape (findings,)
        How many resamples had one class only and were drawn again.
    """

    measures: tuple[str, ...]
    values: NDArray[np.float64]
    samples: NDArray[np.float64]
    redrawn: NDArray[np.int64]


def bootstrap_measures(
    labels: NDArray,
    scores: NDArray,
    patients: ArrayLike,
    resamples: int,
    rng: np.random.Generator,
    measures: Sequence[str] = tuple(MEASURES),
) -> Bootstrap:
    """Bootstrap measures over patients, all of them, all classifiers and all findings on the same resamples.

    A resample in which a finding has one class only is drawn again for that finding, and counted.

    Parameters
    ----------
    labels : ndarray, shape (n, findings)
        0, 1 or NaN.
    scores : ndarray, shape (classifiers, n, findings)
        Higher means more likely positive; probabilities where a measure asks for them.
    patients : array_like, shape (n,)
        Patient of each image.
    resamples : int
        Number of resamples.
    rng : numpy.random.Generator
        Source of randomness. What is drawn depends on labels and patients, neither on scores nor on measures.
    measures : sequence of str
        Names in `MEASURES`.

    Returns
    -------
    Bootstrap
    """
    classifiers, _, findings = scores.shape
    values = np.full((len(measures), classifiers, findings), np.nan)
    samples = np.full((len(measures), classifiers, findings, resamples), np.nan)
    redrawn = np.zeros(findings, np.int64)
    weights = patient_weights(patients, resamples, rng)
    everyone = np.ones((1, labels.shape[0]))
    for finding in range(findings):
        label = labels[:, finding]
        if len(np.unique(label[~np.isnan(label)])) < 2:
            continue
        drawn, redrawn[finding] = _redraw(weights, label, patients, rng)
        for number, name in enumerate(measures):
            for classifier in range(classifiers):
                score = scores[classifier, :, finding]
                values[number, classifier, finding] = MEASURES[name](label, score, everyone)[0]
                samples[number, classifier, finding] = MEASURES[name](label, score, drawn)
    return Bootstrap(tuple(measures), values, samples, redrawn)


def pool_replicates(samples: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
    """Resample replicates on top of patients: the mean over as many replicates, drawn with replacement, as there are.

    Parameters
    ----------
    samples : ndarray, shape (replicates, ..., resamples)
        A statistic of every replicate on the same resamples of patients. The same replicates are drawn for everything
        that stands in the axes between, so differences stay paired.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (..., resamples)
        Two-level samples of the mean over replicates, for `percentile_interval`.

    Notes
    -----
    With few replicates the interval is too narrow: the spread that R replicates show around their own mean is smaller
    than that around the mean of all replicates that there could be, so the standard error from replicates comes out
    too small by the factor sqrt((R - 1) / R): 0.71 for 2, 0.82 for 3, 0.89 for 5, 0.95 for 10. The part from patients
    is as it should be (Davison and Hinkley 1997, section 3.8).
    """
    replicates, resamples = samples.shape[0], samples.shape[-1]
    drawn = rng.integers(0, replicates, (resamples, replicates))
    share = (drawn[:, :, None] == np.arange(replicates)).mean(axis=1)
    return np.einsum("r...b,br->...b", samples, share)


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
