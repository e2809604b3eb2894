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


def augment(images: NDArray[np.uint8], shift: int, flip: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Move each image by up to `shift` pixels, repeating its edge, and mirror every other one where `flip` allows.

    Parameters
    ----------
    images : ndarray, shape (n, C, H, W)
        uint8.
    shift : int
        Largest move along each side, in pixels.
    flip : bool
        Mirror horizontally with probability one half.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (n, C, H, W)
    """
    count, _, height, width = images.shape
    if shift:
        padded = np.pad(images, ((0, 0), (0, 0), (shift, shift), (shift, shift)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        down, right = rng.integers(0, 2 * shift + 1, (2, count))
        images = windows[np.arange(count), :, down, right]
    if flip:
        mirrored = rng.integers(0, 2, (count, 1, 1, 1)) == 1
        images = np.where(mirrored, images[..., ::-1], images)
    return images
