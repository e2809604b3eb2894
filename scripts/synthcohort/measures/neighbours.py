"""Exact nearest neighbours among references that are read block by block, and how near one set is against another."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcohort.measures.bootstrap import patient_weights, percentile_interval

Metric = Literal["euclidean", "cosine"]
BLOCK_ELEMENTS = 2**22
"""Numbers handled at a time as float64, 32 MB: bounds memory however many queries and references there are."""
BLOCK_ROWS = 1024
SEARCH_ELEMENTS = 2**25
"""Numbers of a block of a search, 256 MB: queries are turned into vectors once per block of references, which at 512²
would be all that a search of small blocks does."""


class Readable(Protocol):
    """What is read block by block: an array, which may be memory-mapped, or several stores as one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``[m, ...]``."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> NDArray[Any]: ...


class Neighbours(NamedTuple):
    """The nearest references of each query, the nearest first.

    Attributes
    ----------
    distances : ndarray, shape (n, k)
        float64.
    indices : ndarray, shape (n, k)
        int64: number of each reference, counted over all blocks.
    """

    distances: NDArray[np.float64]
    indices: NDArray[np.int64]


def in_blocks(
    array: Readable, rows: NDArray[np.int64] | None = None, elements: int = BLOCK_ELEMENTS
) -> Iterator[NDArray[Any]]:
    """Read an array block by block.

    Parameters
    ----------
    array : Readable
        ``[m, ...]``.
    rows : numpy.ndarray, optional
        int64: the rows that are meant, in this order; all of them if not given.
    elements : int
        Numbers of a block at most.

    Yields
    ------
    numpy.ndarray
        ``[b, ...]`` of the array's own type, at least one row and at most `BLOCK_ROWS`.
    """
    count = len(array) if rows is None else len(rows)
    step = min(max(1, elements // max(1, math.prod(array.shape[1:]))), BLOCK_ROWS)
    for start in range(0, count, step):
        yield array[start : start + step] if rows is None else array[rows[start : start + step]]


def nearest_neighbours(
    queries: Readable, references: Iterable[NDArray[Any]], k: int = 1, metric: Metric = "euclidean"
) -> Neighbours:
    """Find the exact k nearest references of each query; of equally near ones the first.

    Candidates come from a matrix product, whose rounding may be off where vectors are long and close; their distances
    are then computed from differences. So a copy has the distance 0, and equal references tie.

    Parameters
    ----------
    queries : Readable
        ``[n, ...]`` of numbers, flattened to vectors; read block by block, once for each block of references.
    references : iterable of numpy.ndarray
        ``[b, ...]`` each, read once in their order: `in_blocks` of an array, or generated on the fly.
    k : int
        Neighbours of each query.
    metric : {"euclidean", "cosine"}
        ``cosine`` is 1 − cosine similarity; a zero vector, which has no direction, is at distance 1 from all.

    Returns
    -------
    Neighbours

    Raises
    ------
    ValueError
        When k is below 1, there are fewer than k references, lengths differ, or a number is not finite.
    """
    if k < 1:
        raise ValueError("k must be at least 1")
    distances, indices = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1)
    count = 0
    for given in references:
        for part in in_blocks(given, elements=SEARCH_ELEMENTS):
            block = _vectors(part, metric)
            start = 0
            for rows in in_blocks(queries, elements=SEARCH_ELEMENTS):
                query = _vectors(rows, metric)
                if query.shape[1] != block.shape[1]:
                    raise ValueError(f"queries have {query.shape[1]} numbers each, references {block.shape[1]}")
                own = slice(start, start + len(query))
                _merge(distances[own], indices[own], *_candidates(query, block, distances[own, -1], k, metric), count)
                start += len(query)
            count += len(block)
    if count < k:
        raise ValueError(f"{k} neighbours asked for, but there are {count} references only")
    return Neighbours(np.sqrt(distances) if metric == "euclidean" else distances, indices)


def nearest_ratio(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Divide each query's distance to the nearest of one set by that to the nearest of another.

    Below 1 the first set is nearer. The sets must be of one size: the nearest of many is nearer than that of few.

    Parameters
    ----------
    first, second : array_like, shape (n,)
        Distances.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``; 1 where both are 0, infinite where the second alone is.
    """
    above, below = np.asarray(first, np.float64), np.asarray(second, np.float64)
    ratio = np.divide(above, below, out=np.full(above.shape, np.inf), where=below > 0)
    ratio[(above == 0) & (below == 0)] = 1
    return ratio


def median_interval(
    values: NDArray[np.float64], groups: ArrayLike, resamples: int, confidence: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Bootstrap interval of a median over groups, such as patients (percentile interval).

    Parameters
    ----------
    values : numpy.ndarray
        float64 ``[n]``, not NaN.
    groups : array_like, shape (n,)
        What is resampled: all values of a group come along together.
    resamples : int
        Number of resamples.
    confidence : float
        For example 0.95.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    tuple of float
        Lower and upper end.
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    medians = []
    step = max(1, BLOCK_ELEMENTS // len(values))
    for start in range(0, resamples, step):
        weights = patient_weights(groups, min(step, resamples - start), rng)[:, order]
        passed = weights.cumsum(axis=1, dtype=np.int64)
        half = passed[:, -1:] / 2
        # As in numpy.median, the mean of the two middle values where their number is even.
        lower, upper = (passed >= half).argmax(axis=1), (passed > half).argmax(axis=1)
        medians.append(np.where(lower == upper, ranked[lower], (ranked[lower] + ranked[upper]) / 2))
    return percentile_interval(np.concatenate(medians), confidence)


def _vectors(block: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    """Flatten to float64 ``[b, d]``, of unit length for the cosine (a zero vector stays one)."""
    vectors = np.asarray(block).reshape(len(block), -1).astype(np.float64)
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite")
    if metric == "cosine":
        # Scaled by the largest number first, so that squares can neither overflow nor vanish.
        vectors /= _nonzero(np.abs(vectors).max(axis=1, keepdims=True, initial=0))
        vectors /= _nonzero(np.sqrt((vectors**2).sum(axis=1, keepdims=True)))
    return vectors


def _nonzero(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(lengths > 0, lengths, 1)


def _candidates(
    queries: NDArray[np.float64], block: NDArray[np.float64], worst: NDArray[np.float64], k: int, metric: Metric
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs that may belong to the k nearest: query, reference, and exact distance (squared if Euclidean)."""
    products = queries @ block.T
    lengths, others = (queries**2).sum(axis=1), (block**2).sum(axis=1)
    # A product of d terms is off by at most d roundings of the lengths; twice, as both sides of a comparison are.
    error = 4 * np.finfo(np.float64).eps * (queries.shape[1] + 4) * (lengths + others.max())
    near = products  # in place, as this is the largest array by far
    near *= -1 if metric == "cosine" else -2
    near += 1 if metric == "cosine" else lengths[:, None] + others
    limit = worst
    if k <= len(block):
        farthest = near.min(axis=1) if k == 1 else np.partition(near, k - 1, axis=1)[:, k - 1]
        limit = np.minimum(worst, farthest)
    query, reference = np.nonzero(near <= (limit + error)[:, None])
    exact = np.empty(len(query))
    step = max(1, BLOCK_ELEMENTS // queries.shape[1])
    for start in range(0, len(query), step):
        pairs = slice(start, start + step)
        exact[pairs] = ((queries[query[pairs]] - block[reference[pairs]]) ** 2).sum(axis=1)
    if metric == "cosine":
        # Between unit vectors half the squared distance is 1 − cosine, and exactly 0 where they are equal.
        exact = np.where((lengths[query] > 0) & (others[reference] > 0), exact / 2, 1.0)
    return query, reference, exact


def _merge(
    distances: NDArray[np.float64],
    indices: NDArray[np.int64],
    query: NDArray[np.int64],
    reference: NDArray[np.int64],
    exact: NDArray[np.float64],
    first: int,
) -> None:
    """Put pairs among the nearest so far, in place; `first` is the number of the block's first reference."""
    count, k = distances.shape
    owner = np.concatenate([np.repeat(np.arange(count), k), query])
    distance = np.concatenate([distances.ravel(), exact])
    number = np.concatenate([indices.ravel(), reference + first])
    order = np.lexsort((number, distance, owner))
    starts = np.searchsorted(owner[order], np.arange(count))
    chosen = order[starts[:, None] + np.arange(k)]
    distances[:], indices[:] = distance[chosen], number[chosen]
