"""Canaries: a mark that no patient has, planted in a few training images and searched for in synthetic ones."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
CELLS = 4
"""Cells of the mark along a side, half of them white, half black."""
SHARE = 4
"""The mark has a quarter of the image's side, so that a cell is two pixels at 32²."""
REACH = 1
"""The mark is also looked for this many pixels beside its place."""
FOUND = 0.9
"""Correlation with the mark from which on it is found: 16 random cells reach it once in some 100 000 times."""


def draw_mark(side: int, rng: np.random.Generator) -> Images:
    """Draw a mark for images of a side, which must be a multiple of 16: uint8 ``[side / 4, side / 4]`` of 0 and 255.

    Raises
    ------
    ValueError
        For another side.
    """
    cell, rest = divmod(side, SHARE * CELLS)
    if rest or not cell:
        raise ValueError(f"a canary's mark needs images whose side is a multiple of {SHARE * CELLS}, not {side}")
    cells = rng.permutation(np.repeat(np.array([0, 255], np.uint8), CELLS**2 // 2)).reshape(CELLS, CELLS)
    return np.kron(cells, np.ones((cell, cell), np.uint8))


def plant(images: Images, mark: Images) -> Images:
    """Copy images ``[n, C, H, W]`` with the mark in the upper left corner of every channel, one cell off the edges."""
    marked = images.copy()
    margin, side = len(mark) // CELLS, len(mark)
    marked[:, :, margin : margin + side, margin : margin + side] = mark
    return marked


def mark_correlations(images: Images, mark: Images) -> NDArray[np.float64]:
    """Correlate images with the mark at its place, give or take `REACH` pixels, also in the mirror.

    The best place and channel count.

    Parameters
    ----------
    images : numpy.ndarray
        uint8 ``[n, C, H, W]``.
    mark : numpy.ndarray
        What `draw_mark` drew for this side.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]`` in [-1, 1] (Pearson's); the mark is found from `FOUND` on. 0 where an image is flat.
    """
    side = len(mark)
    margin = side // CELLS
    pattern = mark.ravel() - mark.mean()
    pattern /= np.linalg.norm(pattern)
    best = np.full(len(images), -1.0)
    places = range(margin - REACH, margin + REACH + 1)
    for seen in (images, images[..., ::-1]):
        for down, right in product(places, places):
            patch = seen[:, :, down : down + side, right : right + side].astype(np.float64)
            patch = patch.reshape(*images.shape[:2], -1)
            patch -= patch.mean(axis=2, keepdims=True)
            lengths = np.linalg.norm(patch, axis=2)
            correlation = np.divide(patch @ pattern, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            best = np.maximum(best, correlation.max(axis=1))
    return best
