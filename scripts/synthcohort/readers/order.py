"""In which order a reader sees the items."""

import numpy as np
from numpy.typing import NDArray


def reading_order(count: int, repeated: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Shuffle items so that those shown twice come back late.

    Parameters
    ----------
    count : int
        Items, numbered from 0.
    repeated : numpy.ndarray
        int64: numbers of those shown twice.
    rng : numpy.random.Generator
        The reader's own.

    Returns
    -------
    numpy.ndarray
        int64 ``[count + len(repeated)]``: item at each position. A first showing that has a second is in the first
        part, its second in the last, and a third of the other items lies between.
    """
    others = rng.permutation(np.setdiff1d(np.arange(count), repeated))
    first, middle, last = np.array_split(others, 3)
    start, end = (rng.permutation(np.concatenate([part, repeated])) for part in (first, last))
    return np.concatenate([start, middle, end]).astype(np.int64)
