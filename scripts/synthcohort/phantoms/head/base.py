"""Skull base and face on low slices: petrous bones, air cells, orbits, sinuses and ears."""

import numpy as np

from synthcohort.phantoms.head.anatomy import Row, Skull
from synthcohort.phantoms.head.shapes import Field, Grid, Waves, blend, capsule, cover, ellipse, ramp, span

AIR, FAT, MUSCLE, GLOBE = -1000.0, -90.0, 52.0, 14.0


def paint_base(image: Field, row: Row, grid: Grid, skull: Skull, texture: Field) -> None:
    """Paint over `image` (bone so far) what lies between the cranial fossae on low slices."""
    level, edge = row["level"], skull.edge + 0.6
    wide, long = row["half_width"] / 65.5, row["half_length"] / 81
    x, y, across = grid.x, grid.y, np.abs(grid.x)
    free = cover(np.minimum(-skull.inner - 2.5, skull.outer - 2), edge)  # neither cavity nor its inner table

    def carve(shape: Field, value: Field | float, strength: float = 1.0) -> None:
        blend(image, cover(shape, edge) * free * strength, value)

    below = 1 - ramp(level, 12, 24)
    if below > 0.02:  # muscles under the middle fossa, fat between them
        carve(ellipse(across, y, (44 * wide, -34 * long), (20, 26)), MUSCLE - np.float32(70) * (texture > 0.9), below)
    rng = np.random.default_rng(int(row["folds"]) + 2)
    vectors, phases = rng.normal(0, 0.62, (24, 2)), rng.uniform(0, 2 * np.pi, 24)
    cells = cover(Waves(grid, vectors, phases).cosine(np.full(24, 0.29)) + 0.25, 0.6)
    if (mastoid := span(level, 8, 34, 5)) > 0.05:
        shape = capsule(across, y, (52 * wide, 14), (60 * wide, 26), 9 * mastoid)
        carve(shape, 500 + (AIR - 500) * cells, min(row["sinus_air"], 1))
    if (sphenoid := span(level, 10, 30, 5)) > 0.05:
        septum = np.abs(x - 2) < 0.8
        air = AIR + np.float32(1200) * septum
        carve(ellipse(x, y, (1, -22), (13 * sphenoid, 11 * sphenoid)), air, min(row["sinus_air"], 1))
    if (ethmoid := span(level, 4, 24, 5)) > 0.05:
        carve(ellipse(x, y, (0, -54 * long), (12 * ethmoid, 20)), AIR + 900 * (1 - cells))
    if (orbit := span(level, 8, 27, 6)) > 0.05:
        cone = capsule(across, y, (19, -32 * long), (31 * wide, -62 * long), 5 + 11 * np.clip((-30 - y) / 34, 0, 1))
        carve(cone - 16 * (1 - orbit), FAT)
        carve(ellipse(across, y, (31 * wide, -66 * long), (12 * orbit, 12 * orbit)), GLOBE)
        carve(capsule(across, y, (16, -30), (30 * wide, -54 * long), 2.2 * orbit), 38.0)
    if (frontal := span(level, 26, 46, 5) * row["sinus_air"]) > 0.2:
        shape = ellipse(across, y, (15 * wide, -row["half_length"] * 0.955), (15 * frontal, 5.5 * frontal), 0.25)
        blend(image, cover(np.minimum(shape, skull.outer - 1.5), edge), AIR)


def paint_ears(image: Field, row: Row, grid: Grid) -> None:
    """Paint the outer ears, thin folds of skin and cartilage."""
    size = span(row["level"], 6, 30, 8)
    if size < 0.05:
        return
    reach = row["half_width"] + row["skull"] + row["scalp"]
    x, y = np.abs(grid.x), grid.y
    outer = capsule(x, y, (reach - 7, 4), (reach + 4, 24), 4.0 * size)
    blend(image, cover(outer, grid.pixel + 0.5), 30.0)
    blend(image, cover(capsule(x, y, (reach, 13), (reach + 3, 20), 1.8 * size), grid.pixel + 0.5), FAT)
