"""Soft-edged shapes: how much of a pixel a structure covers, given its signed distance in millimetres.

Everything is drawn from signed distances (positive inside), so that a scene looks the same at every image side.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]
"""float32 ``[side, side]``, one value per pixel (NumPy's stubs take float32 times a number for float64)."""


def cover(distance: Field, edge: float) -> Field:
    """Coverage 0–1 of a region from its signed distance; the edge is `edge` millimetres wide."""
    return np.clip(distance * (1 / edge) + 0.5, 0, 1)


def cover_line(distance: Field, width: Field | float, edge: float) -> Field:
    """Coverage 0–1 of a line from the distance to its middle: exact for lines thinner than a pixel, too."""
    inside = (width * 0.5 - distance) * (1 / edge) + 0.5
    return np.clip(np.minimum(inside, width * (1 / edge)), 0, 1)


def blend(image: Field, coverage: Field, value: Field | float) -> None:
    """Paint `value` over `image` in place, as opaque as `coverage`."""
    image += coverage * (value - image)


def capsule(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float], radius: Field | float) -> Field:
    """Signed distance to a segment thickened by `radius`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * dx + py * dy) * (1 / (dx * dx + dy * dy)), 0, 1)
    return radius - np.sqrt((px - along * dx) ** 2 + (py - along * dy) ** 2)


def ellipse(x: Field, y: Field, center: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Field:
    """Approximate signed distance to an ellipse turned by `angle` radians."""
    px, py = x - center[0], y - center[1]
    if angle:
        cos, sin = math.cos(angle), math.sin(angle)
        px, py = cos * px + sin * py, cos * py - sin * px
    return (1 - np.sqrt((px * (1 / radii[0])) ** 2 + (py * (1 / radii[1])) ** 2)) * min(radii)


def strip(
    x: Field, y: Field, ends: tuple[float, float], spine: tuple[float, float, float], width: Field | float
) -> Field:
    """Approximate signed distance to a curved spindle that runs from one y to another.

    `spine` gives x at the first end, in the middle and at the second; `width` is half the greatest width.
    """
    along = (y - 0.5 * (ends[0] + ends[1])) * (2 / (ends[1] - ends[0]))
    first, middle, last = spine
    bend = middle + along * ((last - first) * 0.5 + along * ((first + last) * 0.5 - middle))
    return width * (1.25 * np.sqrt(np.clip(1 - along * along, 0, 1)) - 0.25) - np.abs(x - bend)


def ramp(value: float, low: float, high: float) -> float:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    part = min(max((value - low) / (high - low), 0.0), 1.0)
    return part * part * (3 - 2 * part)


def span(value: float, low: float, high: float, soft: float) -> float:
    """1 between `low` and `high`, falling smoothly to 0 within `soft` outside."""
    return ramp(value, low - soft, low) * (1 - ramp(value, high, high + soft))


class Grid:
    """Pixel centres of one image in the patient's head coordinates, in millimetres.

    x grows to the image's right, y to the back of the head, both from the middle of the brain.

    Parameters
    ----------
    side : int
        Pixels along each side.
    field, rotation, shift_x, shift_y : float
        Field of view (mm), rotation of the head in the image (radians) and its shift (mm).
    """

    def __init__(self, side: int, field: float, rotation: float, shift_x: float, shift_y: float) -> None:
        self.pixel = field / side
        line = ((np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)) * np.float32(self.pixel)).astype(
            np.float32
        )
        self.column, self.row = line - np.float32(shift_x), line - np.float32(shift_y)
        self.cos, self.sin = math.cos(rotation), math.sin(rotation)
        self.x: Field = self.cos * self.column + self.sin * self.row[:, None]
        self.y: Field = self.cos * self.row[:, None] - self.sin * self.column


class Waves:
    """Plane waves over a grid: the sum of many costs one small matrix product.

    Parameters
    ----------
    grid : Grid
        Where they run.
    vectors : numpy.ndarray
        float64 ``[waves, 2]`` in radians per millimetre.
    phases : numpy.ndarray
        float64 ``[waves]``.
    """

    def __init__(self, grid: Grid, vectors: NDArray[np.float64], phases: NDArray[np.float64]) -> None:
        kx, ky = vectors[:, :1], vectors[:, 1:2]
        u = ((kx * grid.cos - ky * grid.sin) * grid.column + phases[:, None]).astype(np.float32)
        v = ((ky * grid.cos + kx * grid.sin) * grid.row).astype(np.float32)
        self._cos_u, self._sin_u, self._cos_v, self._sin_v = np.cos(u), np.sin(u), np.cos(v), np.sin(v)

    def cosine(self, amplitudes: NDArray[np.float64]) -> Field:
        """Sum of ``amplitude · cos(vector · (x, y) + phase)``."""
        scale = amplitudes.astype(np.float32)[:, None]
        return _product(self._cos_v * scale, self._cos_u) - _product(self._sin_v * scale, self._sin_u)

    def sine(self, amplitudes: NDArray[np.float64]) -> Field:
        """Sum of ``amplitude · sin(vector · (x, y) + phase)``."""
        scale = amplitudes.astype(np.float32)[:, None]
        return _product(self._sin_v * scale, self._cos_u) + _product(self._cos_v * scale, self._sin_u)


def _product(down: Field, across: Field) -> Field:
    """Multiply ``down.T @ across`` in blocks so small that BLAS starts no threads: they cost 10 times the work."""
    result = np.empty((down.shape[1], across.shape[1]), np.float32)
    rows = max(1, 200_000 // across.size)
    for start in range(0, len(result), rows):
        np.matmul(down[:, start : start + rows].T, across, out=result[start : start + rows])
    return result
