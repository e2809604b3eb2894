"""Distances between two sets of feature vectors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]
COPY_ALARM = 0.1
"""Share of samples that copy a training image from which on a generator is said to copy."""
BLOCK = 2**24  # distances held at once


def frechet_distance(first: Vectors, second: Vectors) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets (Heusel et al. 2017, arXiv 1706.08500).

    Biased upwards for few vectors: compare sets of the same size only.

    Parameters
    ----------
    first, second : numpy.ndarray
        ``[n, d]`` and ``[m, d]``.
    """
    means = [vectors.astype(np.float64).mean(0) for vectors in (first, second)]
    covariances = [np.atleast_2d(np.cov(vectors.astype(np.float64), rowvar=False)) for vectors in (first, second)]
    # The trace of the product's root is that of a symmetric matrix, which is safe where covariances are singular.
    lengths, axes = np.linalg.eigh(covariances[0])
    root = (axes * np.sqrt(lengths.clip(min=0))) @ axes.T
    eigenvalues = np.linalg.eigvalsh(root @ covariances[1] @ root)
    overlap = np.sqrt(eigenvalues.clip(min=0)).sum()
    spread = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * overlap
    return float(((means[0] - means[1]) ** 2).sum() + spread)


def kernel_distance(first: Vectors, second: Vectors) -> float:
    """Kernel distance (KID): the unbiased squared maximum mean discrepancy (Bińkowski et al. 2018, arXiv 1801.01401).

    With the kernel ``(x·y / d + 1)³``; being unbiased it can be compared between sets of any size, and may be negative.

    Parameters
    ----------
    first, second : numpy.ndarray
        ``[n, d]`` and ``[m, d]``, n and m at least 2.
    """
    x, y = first.astype(np.float64), second.astype(np.float64)
    n, m = len(x), len(y)

    def kernel(a: Vectors, b: Vectors) -> NDArray[np.float64]:
        return (a @ b.T / x.shape[1] + 1) ** 3

    within_x, within_y = kernel(x, x), kernel(y, y)
    inner_x = (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
    inner_y = (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
    return float(inner_x + inner_y - 2 * kernel(x, y).mean())


def nearest_distances(vectors: Vectors, references: Vectors, skip_self: bool = False, k: int = 1) -> Vectors:
    """Euclidean distance of each vector to its k-th nearest reference, in blocks of bounded memory.

    Parameters
    ----------
    vectors, references : numpy.ndarray
        float ``[n, d]`` and ``[m, d]``.
    skip_self : bool
        `vectors` are the references themselves: a vector is not its own neighbour.
    k : int
        1 for the nearest.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``.
    """
    references = references.astype(np.float64)
    lengths = (references**2).sum(1)
    rank = k if skip_self else k - 1
    found = []
    for start in range(0, len(vectors), 512):
        block = vectors[start : start + 512].astype(np.float64)
        squares = (block**2).sum(1)[:, None] + lengths - 2 * block @ references.T
        found.append(np.partition(squares, rank, axis=1)[:, rank])
    return np.sqrt(np.concatenate(found).clip(min=0))


def nearest_of_two_groups(
    vectors: Vectors, references: Vectors, groups: NDArray[Any], own: NDArray[Any] | None = None
) -> tuple[Vectors, Vectors]:
    """Distance of each vector to its nearest reference, and to the nearest reference of any other group.

    Parameters
    ----------
    vectors, references : numpy.ndarray
        float ``[n, d]`` and ``[m, d]``.
    groups : numpy.ndarray
        ``[m]``: whose each reference is, for example of which patient.
    own : numpy.ndarray, optional
        ``[n]``: groups that the vectors themselves belong to, which are then passed over.

    Returns
    -------
    tuple of numpy.ndarray
        float64 ``[n]`` each; infinite where no group is left.
    """
    references = references.astype(np.float64)
    lengths = (references**2).sum(1)
    rows = max(1, BLOCK // len(references))
    found = []
    for start in range(0, len(vectors), rows):
        block = vectors[start : start + rows].astype(np.float64)
        squares = (block**2).sum(1)[:, None] + lengths - 2 * block @ references.T
        if own is not None:
            squares[own[start : start + rows, None] == groups] = np.inf
        nearest = squares.argmin(1)
        first = squares[np.arange(len(block)), nearest]
        squares[groups[nearest][:, None] == groups] = np.inf
        found.append(np.stack([first, squares.min(1)]))
    first, second = np.sqrt(np.concatenate(found, 1).clip(min=0))
    return first, second
