"""Branching lung vessels, grown once per patient and splatted as blood columns."""

import numpy as np
from scipy.ndimage import gaussian_filter

from synthcohort.phantoms.chest.anatomy import Scene
from synthcohort.phantoms.chest.grid import Field, splat

TRUNKS = np.radians([-82, -58, -34, -8, 18, 42, 62, 80])  # from the lateral direction, up is negative
LENGTHS = (34.0, 30.0, 24.0, 19.0, 15.0)
RADIUS = 5.2
SHRINK = 0.72


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
    parts: list[list[np.ndarray]] = [[], []]
    for side in (-1, 1):
        x = np.full(len(TRUNKS), 32.0)
        y = np.where(TRUNKS < 0, -6.0, 6.0) + (4 if side < 0 else -4)
        angle = TRUNKS + rng.normal(0, 0.12, len(TRUNKS))
        radius = RADIUS * rng.uniform(0.75, 1.1, len(TRUNKS))
        for generation, length in enumerate(LENGTHS):
            reach = length * rng.uniform(0.7, 1.35, len(x)) * np.where(np.sin(angle) > 0, 1.12, 1.0)
            bend = rng.normal(0, 0.3, len(x))
            count = max(int(np.ceil(length * 1.2 / (0.8 * grid.pixel))), 2)
            t = (np.arange(count) + 0.5)[:, None] / count
            direction = angle + bend * t
            # The path turns evenly: integrate the direction along it.
            px = x + np.cumsum(np.cos(direction), axis=0) * reach / count
            py = y + np.cumsum(np.sin(direction), axis=0) * reach / count
            width = radius * (1 - (1 - SHRINK) * t) * np.where(py > 0, 1.0, 0.8 + 0.35 * upward)
            amount = np.pi * width**2 * (reach / count) / grid.pixel**2 / 10 * 1.4
            parts[generation > 1].append(np.stack([side * px, py, amount]).reshape(3, -1))
            spread = rng.uniform(0.22, 0.6, len(x))
            x, y = np.repeat(px[-1], 2), np.repeat(py[-1], 2)
            turn = np.stack([-spread * rng.uniform(0.5, 1, len(spread)), spread], axis=1).ravel()
            angle = np.repeat(angle + bend, 2) + turn
            radius = np.repeat(radius * SHRINK, 2) * rng.uniform(0.85, 1.1, 2 * len(radius))
    coarse = splat(grid, *np.concatenate(parts[0], axis=1))
    fine = splat(grid, *np.concatenate(parts[1], axis=1))
    coarse = gaussian_filter(coarse, 1.7 / grid.pixel, truncate=3.0) if grid.pixel < 4 else coarse
    if grid.pixel < 1.6:
        fine = gaussian_filter(fine, 0.8 / grid.pixel, truncate=3.0)
    inside = np.minimum(scene.lung * np.float32(0.1), 1)
    return (coarse + fine) * inside
