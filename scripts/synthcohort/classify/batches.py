"""Training batches that depend on seed and step alone, so that resuming needs no state of a random generator."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=2)
def _permutation(count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def batch_positions(count: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Positions of the images of one step.

    Steps run through one freshly shuffled epoch after the other without a gap: no image is dropped, and none comes
    twice before all have come once.

    Parameters
    ----------
    count : int
        Number of training images.
    batch : int
        Images per step; may be larger than `count`.
    step : int
        Number of the step, from 0.
    seed : int
        Seed of the order.

    Returns
    -------
    ndarray, shape (batch,)
    """
    epochs, positions = np.divmod(np.arange(step * batch, (step + 1) * batch), count)
    return np.concatenate([_permutation(count, epoch, seed)[positions[epochs == epoch]] for epoch in np.unique(epochs)])


def mirror(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mirror each image (``[n, C, H, W]``) horizontally with probability one half."""
    mirrored = rng.integers(0, 2, (len(images), 1, 1, 1)) == 1
    return np.where(mirrored, images[..., ::-1], images)
