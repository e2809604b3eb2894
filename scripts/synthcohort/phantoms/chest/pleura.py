"""Signs of the pleura: air, fluid, thickening."""

import numpy as np

from synthcohort.phantoms.chest.grid import ellipse
from synthcohort.phantoms.chest.opacities import Change, fill, place
from synthcohort.phantoms.chest.thorax import ATTENUATION, LUNG_AIR, Scene, cage_width, dome


def draw_pneumothorax(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Air without vessels above and beside a thin pleural line, the lung below denser."""
    grid, thorax = scene.grid, scene.thorax
    side = thorax.free_air
    patient.random()  # the side, drawn in shape_thorax
    size = patient.uniform(0.4, 1.5) * (1.35 if thorax.shift else 1.0) * visit.uniform(0.9, 1.1)
    top, beside = 24 * size, 14 * size
    width = cage_width(thorax, grid.y - np.float32(top))
    taper = np.clip((thorax.domes[side] + 10 - grid.y) / 130, 0.1, 1)
    pleura = width - beside * taper.astype(np.float32) - np.abs(grid.x - 6 * side) - 3
    ours = grid.x * side > 6
    outside = grid.smooth(-pleura, 1.5) * ours
    scene.vessels *= 1 - outside
    scene.fill -= (1 - scene.fill) * (outside * np.float32(1 / LUNG_AIR - 1))
    fill(scene, np.float32(0.1 * size) * ours * (1 - outside))
    line = 0.75 * grid.line(pleura, 1.6) * ours * (scene.lung > 0.5) * (scene.upper_mediastinum < 0.1)
    scene.tissue += line.astype(np.float32)
    return (ATTENUATION * line).astype(np.float32)


def draw_pleural_effusion(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Fluid that fills the costophrenic angle and climbs the wall as a meniscus; lying down, a veil."""
    grid, thorax = scene.grid, scene.thorax
    which = patient.random()
    sides = (-1, 1) if which < 0.35 else (-1,) if which < 0.7 else (1,)
    for side in sides:
        height = (4 + 85 * patient.random() ** 2.0) * visit.uniform(0.85, 1.15)
        window = grid.flank(side, 0, thorax.cage + 4, -100, 250)
        x, y = grid.part(window)
        u = x * side
        wall = cage_width(thorax, y) - u
        level = thorax.domes[side] + 32 - height
        surface = (
            level - (24 + 0.5 * height) * np.exp(-wall * np.float32(1 / 19)) - 8 * np.exp(np.minimum(30 - u, 20) / 18)
        )
        depth = y - surface
        fluid = 0.95 * grid.smooth(depth - 3, 9)
        if thorax.supine:
            fluid = np.maximum(fluid, 0.34 * np.clip((depth + 70) / 110, 0, 1))
        fill(scene, (fluid * grid.smooth(u - 2, 4)).astype(np.float32), window)
    return 0.0


def draw_pleural_other(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Lumpy thickening along the chest wall, an apical cap, and calcified plaques."""
    grid, thorax = scene.grid, scene.thorax
    side = -1 if patient.random() < 0.5 else 1
    both = patient.random() < 0.4
    added = np.zeros_like(scene.lung)
    for here in (side, -side) if both else (side,):
        window = grid.flank(here, 18, thorax.cage + 4, -140, 150)
        x, y = grid.part(window)
        wall = cage_width(thorax, y) - x * here
        middle, length = patient.uniform(-30, 45), patient.uniform(50, 85)
        thick = patient.uniform(9, 17) * visit.uniform(0.95, 1.05)
        lumps = 1 + 0.35 * grid.texture(patient, 30, window)
        ends = np.sqrt(np.maximum(1 - np.square((y - middle) / length), 0))
        rind = grid.smooth(thick * lumps * ends - wall - 2, 3) * (wall > 0)
        cap = grid.smooth(patient.uniform(8, 15) * lumps - (y + 124 + 0.012 * np.square(x * here - 42)), 4)
        rind = np.maximum(rind, cap * (wall > 0) * (patient.random() < 0.5))
        inside = (dome(thorax, x, here) > y) * rind * np.minimum(scene.lung[window] * 2, 1)
        scene.tissue[window] += (1.9 * inside).astype(np.float32)
        added[window] += (ATTENUATION * 1.9 * inside).astype(np.float32)
    for _ in range(int(patient.integers(1, 4))):
        here = side if not both or patient.random() < 0.5 else -side
        x0, y0 = place(scene, here, patient.uniform(0.4, 0.9), patient.uniform(0.35, 0.8))
        radii = (patient.uniform(9, 17), patient.uniform(5, 10))
        window = grid.window(x0 - 26, x0 + 26, y0 - 26, y0 + 26)
        x, y = grid.part(window)
        body = ellipse(x, y, (x0, y0), radii, patient.uniform(-0.6, 0.6)) + 0.4 * grid.texture(patient, 9, window)
        plaque = grid.smooth(body, 0.5) * patient.uniform(0.5, 0.9)
        scene.bone[window] += plaque.astype(np.float32)
        added[window] += ATTENUATION * plaque.astype(np.float32)
    return added
