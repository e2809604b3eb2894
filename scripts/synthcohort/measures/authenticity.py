"""Whether synthetic samples are copies of training images, and how much of the real images' support they have.

Alaa et al., How faithful is your synthetic data? Sample-level metrics for evaluating and auditing generative models,
2022 (arXiv 2102.08921).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthcohort.measures.distances import Vectors, nearest_distances
from synthcohort.measures.neighbours import Metric, in_blocks, nearest_neighbours

LEVELS = np.linspace(0, 1, 51)
"""Shares of the support at which precision and recall are taken."""
NEIGHBOURS = 5
"""A sample reaches a real image within that image's distance to its so many-th nearest other real image."""


class Closest(NamedTuple):
    """Of each sample, the training image that is closest to it.

    Attributes
    ----------
    distances : ndarray, shape (n,)
        float64: to that training image.
    indices : ndarray, shape (n,)
        int64: which one it is.
    radii : ndarray, shape (n,)
        float64: from that training image to the closest other one.
    """

    distances: NDArray[np.float64]
    indices: NDArray[np.int64]
    radii: NDArray[np.float64]

    @property
    def authentic(self) -> NDArray[np.bool_]:
        """Whether each sample is farther from its training image than that is from the closest other one."""
        return self.distances > self.radii


def closest_training(samples: NDArray[Any], training: NDArray[Any], metric: Metric = "euclidean") -> Closest:
    """Find the training image closest to each sample, and how far that one is from other training images.

    The share of samples that are `Closest.authentic` is Alaa et al.'s authenticity: 0 where all are copies. Samples
    that owe nothing to the training images do *not* have 1: each and its training image are mutual neighbours as often
    as two training images would be, which leaves 1/3 on a line, 0.38 on a plane and more in many dimensions, where few
    images are everybody's neighbour. So read it beside the authenticity of real images of other patients.

    Parameters
    ----------
    samples, training : numpy.ndarray
        ``[n, ...]`` and ``[m, ...]`` of numbers, m at least 2; *all* training images, as a copy of one that is missing
        counts as authentic.
    metric : {"euclidean", "cosine"}
        See `nearest_neighbours`.

    Returns
    -------
    Closest
    """
    found = nearest_neighbours(samples, in_blocks(training), 1, metric)
    indices = found.indices[:, 0]
    sources, source = np.unique(indices, return_inverse=True)
    around = nearest_neighbours(training[sources], in_blocks(training), 2, metric).distances[:, 1]
    return Closest(found.distances[:, 0], indices, around[source])


def support_measures(real: Vectors, samples: Vectors) -> dict[str, float]:
    """Integrated α-precision and β-recall.

    The α-support of a set is the ball around its mean that holds a share α of it: the smallest such region where
    vectors are normal and white (see `attack_scores.whitening`); Alaa et al. train an embedding to the same end.

    α-precision is the share of samples in the real α-support. β-recall is the share of real images whose closest
    sample is within reach (see `NEIGHBOURS`) and in the synthetic β-support. A faithful generator has about α and β
    (of the latter all but one in ``2^NEIGHBOURS``), so what is given is 1 less twice the mean distance from that
    diagonal. Copies score high in both, which are no measures of privacy.

    Parameters
    ----------
    real, samples : numpy.ndarray
        Vectors ``[n, d]`` and ``[m, d]``; compare results for the same n and m only.

    Returns
    -------
    dict
        ``alpha_precision`` and ``beta_recall``, each in [0, 1]; NaN unless n is above `NEIGHBOURS`.
    """
    if len(real) <= NEIGHBOURS:
        return {"alpha_precision": np.nan, "beta_recall": np.nan}
    curves = support_curves(real, samples)
    integrated = [float(1 - 2 * np.trapezoid(np.abs(curve - LEVELS), LEVELS)) for curve in curves]
    return dict(zip(("alpha_precision", "beta_recall"), integrated, strict=True))


def support_curves(real: Vectors, samples: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """α-precision and β-recall at each of `LEVELS`, see `support_measures`."""
    real, samples = real.astype(np.float64), samples.astype(np.float64)
    centre, own_centre = real.mean(axis=0), samples.mean(axis=0)
    real_limits = np.quantile(np.linalg.norm(real - centre, axis=1), LEVELS)
    precision = (np.linalg.norm(samples - centre, axis=1)[:, None] <= real_limits).mean(axis=0)

    reach = nearest_distances(real, real, skip_self=True, k=NEIGHBOURS)
    squares = (real**2).sum(axis=1)[:, None] + (samples**2).sum(axis=1) - 2 * real @ samples.T
    eccentricity = np.linalg.norm(samples - own_centre, axis=1)
    # The closest sample, where it is within reach, says from which level on a real image is recalled.
    closest = squares.argmin(axis=1)
    entered = np.where(squares.min(axis=1) <= reach**2, eccentricity[closest], np.inf)
    recall = (entered[:, None] <= np.quantile(eccentricity, LEVELS)).mean(axis=0)
    return precision, recall
