"""How far samples cover real images, and how many of them are realistic, from nearest neighbours in feature space."""

import numpy as np

from synthcohort.measures.distances import Vectors, nearest_distances


def manifold_measures(real: Vectors, samples: Vectors, k: int = 5) -> dict[str, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Parameters
    ----------
    real, samples : numpy.ndarray
        Feature vectors ``[n, d]`` and ``[m, d]``, more than `k` each; compare results for the same n and m only.
    k : int
        Each vector's neighbourhood reaches to its k-th nearest neighbour of its own kind.

    Returns
    -------
    dict
        ``precision`` (share of samples within a real neighbourhood), ``recall`` (share of real vectors within a
        sample's neighbourhood), ``density`` (real neighbourhoods around a sample, over k), ``coverage`` (share of real
        neighbourhoods that hold a sample).
    """
    real_radius = nearest_distances(real, real, skip_self=True, k=k)
    sample_radius = nearest_distances(samples, samples, skip_self=True, k=k)
    distances = _distances(real, samples)
    in_real = distances <= real_radius[:, None]
    in_sample = distances <= sample_radius[None, :]
    return {
        "precision": float(in_real.any(0).mean()),
        "recall": float(in_sample.any(1).mean()),
        "density": float(in_real.sum(0).mean() / k),
        "coverage": float((distances.min(1) <= real_radius).mean()),
    }


def _distances(first: Vectors, second: Vectors) -> Vectors:
    first, second = first.astype(np.float64), second.astype(np.float64)
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.sqrt(squares.clip(min=0))
