"""Scores by which an attacker ranks images: the higher, the more likely the generator was trained on the image.

All are of images that the attacker holds (*candidates*). An attacker who has the discriminator needs no function: its
scores, higher for what it takes for real, are the attack (Hayes et al., LOGAN, 2019, arXiv 1705.07663).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.decomposition import PCA

from synthcohort.measures.attacks import Flags, Scores
from synthcohort.measures.distances import Vectors
from synthcohort.measures.neighbours import BLOCK_ELEMENTS, Metric, in_blocks, nearest_neighbours

COMPONENTS = 8
"""Axes in which densities are estimated: a kernel density of some hundred images says nothing in more."""
LEAST_VARIANCE = 1e-6
"""Axes with less of the first one's variance are rounding, which whitening would blow up."""


def closest_record(candidates: NDArray[Any], synthetic: NDArray[Any], metric: Metric = "euclidean") -> Scores:
    """Minus the distance to the closest synthetic record.

    Parameters
    ----------
    candidates, synthetic : numpy.ndarray
        ``[n, ...]`` and ``[m, ...]`` of numbers: pixels or features.
    metric : {"euclidean", "cosine"}
        See `nearest_neighbours`.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``.

    References
    ----------
    Chen et al., GAN-Leaks, 2020 (arXiv 1909.03935), the attack on a black box.
    """
    return -nearest_neighbours(candidates, in_blocks(synthetic), 1, metric).distances[:, 0]


def calibrated_distance(closest: ArrayLike, closest_in_reference: ArrayLike) -> Scores:
    """How much closer an image is to a synthetic record than to one of a reference sample (GAN-Leaks, calibrated).

    A plain image is close to everything, an odd one to nothing; the reference takes that out.

    Parameters
    ----------
    closest : array_like, shape (n,)
        `closest_record` of the synthetic sample.
    closest_in_reference : array_like, shape (n,)
        `closest_record` of a sample that owes nothing to any candidate: here real images of other patients. Chen et
        al. take samples of a generator that was trained on such images.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``: distance to the reference less distance to the synthetic sample.

    References
    ----------
    Chen et al., GAN-Leaks, 2020 (arXiv 1909.03935), section 4.5.
    """
    return np.asarray(closest, np.float64) - np.asarray(closest_in_reference, np.float64)


def density_ratio(candidates: Vectors, synthetic: Vectors, reference: Vectors) -> Scores:
    """Density of the synthetic sample over that of a reference sample, where each candidate lies (DOMIAS).

    Both densities are Gaussian kernel densities in the reference's principal axes, whitened, each with the bandwidth by
    Scott's rule (van Breugel et al. offer kernel densities and a normalising flow).

    Parameters
    ----------
    candidates, synthetic, reference : numpy.ndarray
        Feature vectors ``[n, d]``, ``[m, d]`` and ``[k, d]``; the reference is of real images of the same population,
        neither members nor candidates.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``, natural logarithm of the ratio.

    Raises
    ------
    ValueError
        When the reference has fewer than two different vectors.

    References
    ----------
    Van Breugel et al., Membership inference attacks against synthetic data through overfitting detection, 2023
    (arXiv 2302.12580).
    """
    axes = whitening(reference)
    places, made, real = (axes.transform(vectors.astype(np.float64)) for vectors in (candidates, synthetic, reference))
    return log_density(places, made) - log_density(places, real)


def likelihood_ratio(scores: ArrayLike, shadow_scores: ArrayLike, shadow_members: ArrayLike) -> Scores:
    """Likelihood of each score if its image was a member, over that if not, learnt from shadow generators (LiRA).

    Each image's scores under shadows that were trained on it, and under those that were not, are taken as normal with
    means of its own; the two deviations are shared by all images, as suits a small number of shadows (section VI-A).

    Parameters
    ----------
    scores : array_like, shape (n,)
        Of any attack on the generator that is audited.
    shadow_scores : array_like, shape (shadows, n)
        Of the same attack on each shadow generator.
    shadow_members : array_like, shape (shadows, n)
        Whether each shadow was trained on each image, bool.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``, natural logarithm of the ratio.

    Raises
    ------
    ValueError
        When an image has no shadow with, or none without it; when no image has two on a side; or when scores are the
        same in all shadows, so that nothing can be learnt about how they vary.

    References
    ----------
    Carlini et al., Membership inference attacks from first principles, 2022 (arXiv 2112.03570).
    """
    score, shadows = np.asarray(scores, np.float64), np.asarray(shadow_scores, np.float64)
    trained = np.asarray(shadow_members, bool)
    within, without = (_log_likelihood(score, shadows, side) for side in (trained, ~trained))
    return within - without


def whitening(vectors: Vectors, components: int = COMPONENTS) -> PCA:
    """Fit principal axes in which the vectors have variance 1: at most `components`, none without variance.

    Raises
    ------
    ValueError
        When there are fewer than two different vectors.
    """
    exact = vectors.astype(np.float64)
    if len(exact) < 2 or not np.ptp(exact, axis=0).any():
        raise ValueError("principal axes need two different vectors")
    most = min(components, len(exact), exact.shape[1])
    variances = PCA(most, svd_solver="full").fit(exact).explained_variance_
    rank = int((variances > LEAST_VARIANCE * variances[0]).sum())
    return PCA(rank, whiten=True, svd_solver="full").fit(exact)


def log_density(places: Vectors, sample: Vectors) -> Scores:
    """Logarithm of a Gaussian kernel density, exact also where it is too small for a floating-point number.

    Parameters
    ----------
    places : numpy.ndarray
        ``[n, d]``: where it is asked for.
    sample : numpy.ndarray
        ``[m, d]``, in axes of about unit variance; the bandwidth is Scott's, ``m^(-1 / (d + 4))``.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``.
    """
    count, dimensions = sample.shape
    bandwidth = count ** (-1 / (dimensions + 4))
    step = max(1, BLOCK_ELEMENTS // count)
    parts = [
        logsumexp(-cdist(places[start : start + step], sample, "sqeuclidean") / (2 * bandwidth**2), axis=1)
        for start in range(0, len(places), step)
    ]
    constant = np.log(count) + dimensions * np.log(bandwidth * np.sqrt(2 * np.pi))
    return np.concatenate([np.empty(0), *parts]) - constant


def _log_likelihood(score: Scores, shadows: Scores, side: Flags) -> Scores:
    """Log density of each score under its own mean over the shadows on a side, with the deviation of all images."""
    counts = side.sum(axis=0)
    if not counts.all():
        raise ValueError("every image needs a shadow generator with it and one without it")
    means = np.where(side, shadows, 0).sum(axis=0) / counts
    freedom = (counts - 1).sum()
    variance = np.where(side, (shadows - means) ** 2, 0).sum() / freedom if freedom else 0.0
    if not variance > 0:
        raise ValueError("the shadow generators' scores do not vary, or there are too few of them")
    return norm.logpdf(score, means, np.sqrt(variance))
