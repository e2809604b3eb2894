"""Where a radiograph's pixels lie in the patient, and the few shapes that everything is drawn with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]  # float32 on a grid; numpy's type stubs lose track of it
Window = tuple[slice, slice]
Strand = tuple[NDArray[np.float64], float, float]  # polyline [n, 2] in mm, width in mm, strength
SINGLE_THREAD_PRODUCT = 200_000  # OpenBLAS spreads larger matrix products over threads


class Grid:
    """Pixel centres in millimetres of a reference patient; x grows to the patient's left, y to the feet.

    Parameters
    ----------
    side : int
        Side of the image in pixels.
    pixel : float
        Side of a pixel in millimetres of the reference patient.
    centre : tuple of float
        Where the reference patient's origin (mid-line, height of the hila) lies, in mm from the image's centre.
    tilt, bend : float
        Sideways lean of the patient (mm of x per mm of y), and curvature of the spine (mm of x at 150 mm of y).

    Attributes
    ----------
    x : numpy.ndarray
        float32 ``[side, side]``.
    y : numpy.ndarray
        float32 ``[side, 1]``: rows stay level when the patient leans, so what depends on height alone is cheap.
    """

    def __init__(self, side: int, pixel: float, centre: tuple[float, float], tilt: float, bend: float) -> None:
        self.side, self.pixel, self.tilt, self.bend = side, pixel, tilt, bend
        axis = ((np.arange(side) - (side - 1) / 2) * pixel).astype(np.float32)
        self.columns = axis - np.float32(centre[0])
        self.y = (axis - np.float32(centre[1]))[:, None]
        self.x = self.columns - self.lean(self.y)

    def lean(self, y: Any) -> Any:
        """How far the patient's mid-line lies to the left at heights `y` (mm)."""
        return self.tilt * y + self.bend / 150**2 * y * y

    def window(self, left: float, right: float, top: float, bottom: float) -> Window:
        """Rows and columns that cover a box given in mm, however the patient leans."""
        first_row, last_row = np.searchsorted(self.y[:, 0], (top, bottom))
        lean = (self.lean(top), self.lean(bottom), min(0, self.bend), max(0, self.bend))
        first, last = np.searchsorted(self.columns, (left + min(lean), right + max(lean)))
        return slice(first_row, last_row), slice(first, last)

    def flank(self, side: int, inner: float, outer: float, top: float, bottom: float) -> Window:
        """Window on one side of the mid-line (`side` −1: the patient's right), from `inner` to `outer` mm off it."""
        left, right = sorted((side * inner, side * outer))
        return self.window(left, right, top, bottom)

    def part(self, window: Window) -> tuple[Field, Field]:
        """Coordinates x [h, w] and y [h, 1] inside a window."""
        return self.x[window], self.y[window[0]]

    def smooth(self, distance: Field, softness: float = 0.0) -> Field:
        """0 outside (negative distance in mm) to 1 inside, over `softness` mm but at least one pixel."""
        t = distance * np.float32(1 / max(softness, self.pixel))
        t += np.float32(0.5)
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        if softness < 3 * self.pixel:  # too narrow for a rounded ramp to show
            return t
        steep = 3 - 2 * t
        steep *= t
        steep *= t
        return steep

    def line(self, distance: Field, width: float) -> Field:
        """Profile of a thin line of `width` mm; narrower than a pixel it pales instead of breaking up."""
        spread = max(width * 0.5, self.pixel * 0.55)
        return np.float32(width * 0.5 / spread) * np.exp(-np.square(distance * np.float32(1 / spread)))

    def texture(self, rng: np.random.Generator, scale: float, window: Window = (slice(None), slice(None))) -> Field:
        """Smooth random field of unit variance whose humps are about `scale` mm apart, as a sum of plane waves."""
        waves = 24
        angle = rng.uniform(0, 2 * np.pi, waves)
        number = 2 * np.pi / scale * rng.uniform(0.25, 1.0, waves)
        phase = rng.uniform(0, 2 * np.pi, waves)
        # cos(a + b) = cos a cos b - sin a sin b: one matrix product draws all waves.
        across = (self.columns[window[1], None] * (number * np.cos(angle)) + phase).astype(np.float32)
        down = (self.y[window[0]] * (number * np.sin(angle))).astype(np.float32)
        rows, columns = np.hstack([np.cos(down), -np.sin(down)]), np.hstack([np.cos(across), np.sin(across)])
        return _product(rows * np.float32(np.sqrt(2 / waves)), columns.T)

    def haze(self, field: Field, scale: float) -> Field:
        """Blur a field widely (Gaussian of about `scale` mm), by way of a few broad nodes along each axis."""
        reach = 0.5 * self.side * self.pixel
        nodes = np.linspace(-reach, reach, int(np.ceil(2 * reach / (0.9 * scale))) + 1)
        distance = (nodes[:, None] - np.linspace(-reach, reach, self.side)) / scale
        weight = np.exp(-np.square(distance)).astype(np.float32)
        gather, spread = weight / weight.sum(axis=1, keepdims=True), weight / weight.sum(axis=0)
        few = _product(_product(gather, field), gather.T)
        return _product(_product(spread.T, few), spread)


def _product(a: Field, b: Field) -> Field:
    """Multiply two matrices in pieces that BLAS keeps on one thread: the same bytes with any number of threads."""
    piece = max(SINGLE_THREAD_PRODUCT // max(b.size, 1), 1)
    if piece >= len(a):
        return a @ b
    return np.concatenate([a[k : k + piece] @ b for k in range(0, len(a), piece)])


def ellipse(x: Field, y: Field, centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> Field:
    """1 − (distance from the centre in radii)², positive inside; `turn` in radians, clockwise on the image."""
    u, v = x - np.float32(centre[0]), y - np.float32(centre[1])
    if turn:
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u, v = u * cos + v * sin, v * cos - u * sin
    return 1 - np.square(u * np.float32(1 / radii[0])) - np.square(v * np.float32(1 / radii[1]))


def smooth_union(a: Field, b: Field, fillet: float) -> Field:
    """Union of two implicit shapes (positive inside), its notches rounded out by `fillet`."""
    blend = np.maximum(fillet - np.abs(a - b), 0)
    return np.maximum(a, b) + blend * blend * np.float32(0.25 / fillet)


def chord(inside: Field) -> Field:
    """Relative thickness of an ellipsoid along the beam, from its implicit function."""
    return np.sqrt(np.maximum(inside, 0))


def strokes(grid: "Grid", strands: list[Strand]) -> Field:
    """Draw thin lines: float32 [side, side], about a strand's strength where it runs.

    The polylines are sampled every half pixel and each sample spread over four pixels, so long tubes and wires cost
    their length, not the image's area.
    """
    x, y, weight = [], [], []
    for points, width, strength in strands:
        at = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        samples = np.arange(0, at[-1], grid.pixel * 0.5)
        x.append(np.interp(samples, at, points[:, 0]))
        y.append(np.interp(samples, at, points[:, 1]))
        weight.append(np.full(len(samples), strength * 0.5 * min(width / grid.pixel, 1.6)))
    return splat(grid, np.concatenate(x), np.concatenate(y), np.concatenate(weight))


def splat(grid: "Grid", x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> Field:
    """Add points (mm) to an image, each shared by the four pixels around it."""
    side = grid.side
    column = (x + grid.lean(y) - float(grid.columns[0])) / grid.pixel
    row = (y - float(grid.y[0, 0])) / grid.pixel
    column, row = np.clip(column, 0, side - 1.001), np.clip(row, 0, side - 1.001)
    inside = (column > 0) & (column < side - 1.001) & (row > 0) & (row < side - 1.001)
    first_column, first_row = column.astype(np.int64), row.astype(np.int64)
    u, v = column - first_column, row - first_row
    weight = weight * inside
    at = first_row * side + first_column
    places = np.concatenate([at, at + 1, at + side, at + side + 1])
    shares = np.concatenate([weight * (1 - u) * (1 - v), weight * u * (1 - v), weight * (1 - u) * v, weight * u * v])
    return np.bincount(places, shares, side * side).reshape(side, side).astype(np.float32)
