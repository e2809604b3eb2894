"""Branching lung vessels, grown once per patient and splatted as blood columns."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from synthcohort.phantoms.chest.grid import Field, splat
from synthcohort.phantoms.chest.thorax import Scene

TRUNKS = np.radians([-82, -58, -34, -8, 18, 42, 62, 80])  # of each lung, from the lateral direction, up is negative
LENGTHS = (34.0, 30.0, 24.0, 19.0, 15.0)  # mm, by generation
RADIUS = 5.2  # mm
SHRINK = 0.72
TRUNK_BLUR = 1.7  # mm; twigs half of it
FINE = 0.65  # pixels of blur that a splat has by itself
BLOOD = 0.14  # contrast of a mm² of vessel: cm of water, with what a real tree has beyond these generations


def draw_vessels(scene: Scene, rng: np.random.Generator, upward: float) -> Field:
    """Thickness of the vessels (cm) inside the lungs.

    Parameters
    ----------
    scene : Scene
        Its grid and lung are used.
    rng : numpy.random.Generator
        The patient's: the same tree at every visit.
    upward : float
        0 for a usual chest, 1 where the upper vessels are as wide as the lower ones (congestion).

    Returns
    -------
    numpy.ndarray
        float32 ``[side, side]``.
    """
    grid = scene.grid
    side = np.repeat([-1.0, 1.0], len(TRUNKS))
    angle = np.tile(TRUNKS, 2)
    x, y = np.full(len(side), 32.0), np.where(angle < 0, -6.0, 6.0) - 4 * side
    angle = angle + rng.normal(0, 0.12, len(side))
    radius = RADIUS * rng.uniform(0.75, 1.1, len(side))
    branches: list[list[NDArray[np.float64]]] = [[], []]
    for generation, length in enumerate(LENGTHS):
        reach = length * rng.uniform(0.7, 1.35, len(x)) * np.where(angle > 0, 1.12, 1.0)
        bend = rng.normal(0, 0.3, len(x))
        samples = max(int(np.ceil(length * 1.2 / grid.pixel)), 3)
        t = (np.arange(samples, dtype=np.float32)[:, None] + np.float32(0.5)) / np.float32(samples)
        course = (angle + bend * t).astype(np.float32)
        upper = np.where(y > 0, 1.0, 0.8 + 0.35 * upward)
        stride = (reach / samples).astype(np.float32)
        # The path turns evenly: integrate the direction along it.
        across, down = np.cumsum(np.cos(course) * stride, axis=0) + x, np.cumsum(np.sin(course) * stride, axis=0) + y
        x, y = across[-1], down[-1]
        width = radius * (1 - (1 - SHRINK) * t) * upper
        blood = width * width * stride * (BLOOD * np.pi / grid.pixel**2)
        branches[generation > 1].append(np.stack([side * across, down, blood]).reshape(3, -1))
        spread = rng.uniform(0.22, 0.6, len(x))
        turn = np.stack([-spread * rng.uniform(0.5, 1, len(spread)), spread], axis=1).ravel()
        side, x, y = np.repeat(side, 2), np.repeat(x, 2), np.repeat(y, 2)
        angle = np.repeat(angle + bend, 2) + turn
        radius = np.repeat(radius * SHRINK, 2) * rng.uniform(0.85, 1.1, len(side))
    if FINE * grid.pixel > TRUNK_BLUR:  # the pixels blur enough
        tree = splat(grid, *np.concatenate(branches[0] + branches[1], axis=1))
    else:
        trunks, twigs = (splat(grid, *np.concatenate(part, axis=1)) for part in branches)
        tree = gaussian_filter(trunks, TRUNK_BLUR / grid.pixel, truncate=3.0)
        tree += gaussian_filter(twigs, 0.5 * TRUNK_BLUR / grid.pixel, truncate=3.0)
    return tree * np.minimum(scene.lung * np.float32(0.1), 1)
