"""Exact area averaging onto square images: square pixels, padding and resizing in one separable linear map.

Each target pixel is the mean over the area that it covers, so nothing aliases and smaller resolutions nest exactly in
larger ones. At integer ratios this is the block mean.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

Plane = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SquareMap:
    """Maps ``[rows, columns]`` onto ``[side, side]``.

    Attributes
    ----------
    vertical, horizontal : scipy.sparse.csr_array
        float32 ``[side, rows]`` and ``[side, columns]``; entry (i, j) is the share of target pixel i that lies on
        source pixel j.
    outside : numpy.ndarray or None
        float32 ``[side, side]``: share of each target pixel that lies beyond the source; None where that is nowhere.
    inside : tuple of slice
        Target pixels that lie wholly on the source.
    blocks : tuple of int
        Rows and columns of each target pixel where that is a whole number and there is no margin, else 0.
    """

    vertical: sparse.csr_array
    horizontal: sparse.csr_array
    outside: Plane | None
    inside: tuple[slice, slice]
    blocks: tuple[int, int]

    def __call__(self, values: NDArray[Any], fill: float = 0.0) -> Plane:
        """Average `values` over each target pixel; beyond the source they are `fill`.

        Whole blocks of integers are added up as such, twice as fast: their sums must fit in their type (`fits`).
        """
        rows, columns = self.blocks
        half, weight = (_added(values, rows, values.dtype), 1 / rows) if rows else (self.vertical @ values, 1.0)
        if columns:  # transposing for the sparse product would cost four times as much
            result = _added(half.T, columns, np.float32).T * np.float32(weight / columns)
        else:
            result = (self.horizontal @ half.T).T * np.float32(weight)
        if fill and self.outside is not None:
            result = result + np.float32(fill) * self.outside
        return result

    def fits(self, low: float, high: float, dtype: np.dtype[Any]) -> bool:
        """Whether integers of `dtype` can hold whole values from `low` to `high`, and the sums of a block's rows."""
        rows = self.blocks[0]
        if not rows or dtype.kind not in "iu" or not float(low).is_integer() or not float(high).is_integer():
            return False
        return np.iinfo(dtype).min <= min(low, low * rows) and max(high, high * rows) <= np.iinfo(dtype).max


def _added(values: NDArray[Any], block: int, dtype: DTypeLike) -> NDArray[Any]:
    """Add up every `block` rows."""
    sums = values[::block].astype(dtype)
    for offset in range(1, block):
        sums += values[offset::block]
    return sums


@lru_cache(maxsize=64)
def square_map(rows: int, columns: int, spacing: tuple[float, float], side: int) -> SquareMap:
    """Build the map of an image onto a centred square that holds all of it.

    Parameters
    ----------
    rows, columns : int
        Size of the source.
    spacing : tuple of float
        Vertical and horizontal distance of its pixel centres; only their ratio counts.
    side : int
        Side of the target in pixels.

    Returns
    -------
    SquareMap
    """
    heights, widths = rows * spacing[0], columns * spacing[1]
    extent = max(heights, widths)
    vertical = _overlaps(rows, spacing[0], extent, side)
    horizontal = _overlaps(columns, spacing[1], extent, side)
    covered = [np.minimum(matrix.sum(axis=1), 1).astype(np.float32) for matrix in (vertical, horizontal)]
    outside = 1 - np.outer(covered[0], covered[1])
    inside = [np.flatnonzero(share > 1 - 1e-6) for share in covered]
    slices = [slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, side) for rows in inside]
    blocks = _block(rows, heights == extent, side), _block(columns, widths == extent, side)
    return SquareMap(vertical, horizontal, outside if outside.max() > 1e-6 else None, (slices[0], slices[1]), blocks)


def _block(pixels: int, fills: bool, side: int) -> int:
    return pixels // side if fills and pixels % side == 0 else 0


def _overlaps(pixels: int, pitch: float, extent: float, side: int) -> sparse.csr_array:
    """Share of each of `side` cells of ``[0, extent]`` that lies on each of `pixels` pixels in the middle of it."""
    margin = int((extent - pixels * pitch) / 2 / pitch + 1e-9) * pitch  # whole pixels, so that nothing blurs at ratio 1
    edges = margin + pitch * np.arange(pixels + 1)
    cells = extent / side * np.arange(side + 1)
    # Between two neighbouring edges of either kind lies one pair (cell, pixel): the sparse matrix's entries.
    cuts = np.unique(np.concatenate([edges, cells]).clip(edges[0], edges[-1]))
    middles, lengths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    pairs = (np.searchsorted(cells, middles, "right") - 1, np.searchsorted(edges, middles, "right") - 1)
    kept = (lengths > 1e-9 * pitch) & (pairs[0] < side) & (pairs[1] < pixels)
    shares = (lengths * (side / extent)).astype(np.float32)[kept]
    return sparse.coo_array((shares, (pairs[0][kept], pairs[1][kept])), shape=(side, pixels)).tocsr()


def shrink(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Average ``[..., n, n]`` over blocks to ``[..., side, side]``; n is a multiple of `side`."""
    factor = values.shape[-1] // side
    if factor * side != values.shape[-1]:
        raise ValueError(f"{values.shape[-1]} is no multiple of {side}")
    if factor == 1:
        return values
    blocks = values.reshape(*values.shape[:-2], side, factor, side, factor)
    return blocks.mean(axis=(-3, -1), dtype=np.float32)
