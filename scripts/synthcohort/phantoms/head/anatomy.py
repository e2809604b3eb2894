"""Where things are in one slice of one head: skull, brain surface, sulci, ventricles and cisterns."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from synthcohort.phantoms.head.patients import NOMINAL_HEIGHT
from synthcohort.phantoms.head.shapes import Field, Grid, Waves, capsule, cover, cover_line, ellipse, ramp, span, strip

Row = dict[str, float]
"""One row of the plan: parameter name to number."""
FieldOrNumber = TypeVar("FieldOrNumber", Field, float)

WIDEST_LEVEL = 52.0
WAVES = 24


@dataclass
class Skull:
    """Signed distances in millimetres, positive inside; `cos` and `sin` give the direction seen from the middle."""

    radius: Field
    cos: Field
    sin: Field
    inner_radius: Field
    inner: Field
    outer: Field
    skin: Field
    edge: float
    base: float
    """1 on slices through the skull base, 0 through the vault."""


def size_at(level: float, height: float) -> float:
    """Size of a horizontal section of an ovoid head relative to its widest one."""
    if level > WIDEST_LEVEL:
        part = min((level - WIDEST_LEVEL) / (height - WIDEST_LEVEL), 0.995)
        return float((1 - part**2.2) ** 0.5)
    return 1 - 0.07 * ((WIDEST_LEVEL - level) / WIDEST_LEVEL) ** 2


def vault_radius(row: Row, cos: FieldOrNumber, sin: FieldOrNumber) -> FieldOrNumber:
    """Distance from the middle of the head to the inner table in the direction (cos, sin), at the widest level."""
    square = cos * cos
    a, b = row["half_length"] ** -2, row["half_width"] ** -2
    ellipse_radius = (square * (b - a) + a) ** -0.5
    double = 2 * square - 1
    wobble = (
        1
        + row["egg"] * sin * (1 - 0.9 * sin)
        + row["skew"] * sin * cos
        + row["pointed"] * sin * (3 - 4 * sin * sin)
        + row["square"] * (2 * double * double - 1)
    )
    return ellipse_radius * wobble


def neck_mm(level: float) -> float:
    """How thick the neck's muscles are behind the skull."""
    return 15 * (1 - ramp(level, 6, 40))


def skull_of(row: Row, grid: Grid) -> Skull:
    """Skull and scalp of the slice."""
    level = row["level"]
    radius = np.sqrt(grid.x * grid.x + grid.y * grid.y) + np.float32(1e-3)
    cos, sin = grid.x / radius, grid.y / radius
    widest = vault_radius(row, cos, sin)
    skull_mm, scalp_mm = row["skull"], row["scalp"]
    inner_size = size_at(level, NOMINAL_HEIGHT)
    scale = NOMINAL_HEIGHT / row["height"]
    outer_size = size_at(level, NOMINAL_HEIGHT + skull_mm * scale)
    skin_size = size_at(level, NOMINAL_HEIGHT + (skull_mm + scalp_mm) * scale)
    step = abs(size_at(level + 2, NOMINAL_HEIGHT) - inner_size) * row["half_width"] / 2 / scale
    edge = float(np.hypot(np.hypot(max(grid.pixel, 1.0), 0.8), 0.55 * row["thickness_mm"] * min(step, 6)))
    table = 1 + 0.22 * sin * sin - 0.12 * cos * cos + 0.1 * cos * sin  # thick in front and behind, thin at the temples
    inner_radius = widest * inner_size
    outer_radius = widest * outer_size + skull_mm * outer_size * table
    neck = neck_mm(level)
    soft = scalp_mm * skin_size * (1 + 0.25 * sin) + neck * np.maximum(sin, 0) ** 2
    skin_radius = widest * skin_size + skull_mm * skin_size * table + soft
    if row["swelling_mm"] > 0:
        toward = row["swelling_side"] * math.cos(row["swelling_angle"]) * cos + math.sin(row["swelling_angle"]) * sin
        height = row["swelling_mm"] * math.exp(-(((level - row["swelling_level"]) / 22) ** 2))
        skin_radius += height * np.exp((toward - 1) * 14)
    inner = inner_radius - radius
    base = 1 - ramp(level, 32, 47)
    if base > 0:
        inner = (1 - base) * inner + base * _base_cavities(row, grid)
    return Skull(radius, cos, sin, inner_radius, inner, outer_radius - radius, skin_radius - radius, edge, base)


def _base_cavities(row: Row, grid: Grid) -> Field:
    """Signed distance to posterior, middle and anterior cranial fossae on low slices."""
    level, wide, long = row["level"], row["half_width"] / 65.5, row["half_length"] / 81
    x, y, across = grid.x, grid.y, np.abs(grid.x)
    behind, front = level + 36 * row["pitch"], level - 45 * row["pitch"]
    grow = ramp(behind, -8, 28)
    # The petrous ridges part the posterior from the middle fossa; they run outwards and backwards.
    ridge = (across - 12) * 0.36 - (y - 2) * 0.93
    thick = 7.5 * (1 - ramp(level, 24, 40))
    posterior = ellipse(x, y, (0, 34 * long), ((34 + 24 * grow) * wide, (26 + 14 * grow) * long))
    distance = np.minimum(posterior, -ridge - thick)
    distance = np.maximum(distance, ellipse(x, y, (0, 8), (13 + 3 * grow, 20)))
    middle = ramp(level, 6, 24)
    if middle > 0.05:
        temporal = ellipse(across, y, (37 * wide, -14 * long), (25 * wide * middle, 36 * long * middle), -0.2)
        temporal = np.minimum(temporal, ridge - thick + (30 * row["roll"]) * np.sign(x))
        wing = (y + 30 * long) * 0.97 + (across - 20) * 0.24  # the sphenoid's lesser wing bounds it in front
        temporal = np.minimum(temporal, wing + 12 * ramp(level, 30, 44))
        distance = np.maximum(distance, temporal - 1.5 * (1 - middle))
    anterior = ramp(front, 22, 44)
    if anterior > 0.05:
        radii = ((12 + 34 * anterior) * wide, (21 + 7 * anterior) * long)
        distance = np.maximum(distance, ellipse(x, y, (0, -50 * long), radii))
    return distance


@dataclass
class Brain:
    """The slice's brain; coverages are 0–1, `None` stands for a structure that the slice does not meet."""

    x: Field
    """Across, after the midline has been pushed."""
    y: Field
    depth: Field
    """Millimetres below the brain's surface."""
    texture: Field
    """Smooth random field without unit, of variance about 1."""
    fissure: Field
    """Distance in millimetres to the middle of the nearest sulcus or of the interhemispheric fissure."""
    sulci: Field
    """Coverage of sulci and fissure by cerebrospinal fluid."""
    sulcal_reach: Field
    """How far the cortex folds in: 1 at the surface, 0 in the white matter."""
    ventricles: Field | None
    midline_ventricles: Field | None
    cisterns: Field | None
    folds: Field
    """Random field as fine as the sulci, without unit, of variance about 1."""
    edge: float


def soft_edge(grid: Grid) -> float:
    """Width of the border between two soft tissues, in millimetres."""
    return math.hypot(max(grid.pixel, 1.0), 1.1)


def brain_of(row: Row, grid: Grid, skull: Skull, pressed: Field | None) -> Brain:
    """Brain of the slice; `pressed` is the signed distance to blood outside the brain, which pushes it inwards."""
    level = row["level"]
    edge = soft_edge(grid)
    x = grid.x
    squeeze = abs(row["shift_here"])
    if squeeze > 0.3:
        x = x - row["shift_here"] * np.clip(1 - (skull.radius / skull.inner_radius) ** 2, 0, 1)
    water = 0.7 + 2.2 * row["atrophy"] * (1 - 0.5 * min(squeeze / 6, 1))
    depth = skull.inner - water * (1 - 0.45 * skull.sin) * 0.8
    if pressed is not None:
        depth = np.minimum(depth, -pressed)
    folds, slope, texture, other = _folds(row, grid, skull)
    outwards = 0.5 + np.abs(x) * np.float32(0.045)  # what lies in the middle varies less
    warped_x, warped_y = x + outwards * texture, grid.y + 1.8 * outwards * other
    fissure = np.abs(folds) / np.sqrt(slope + np.float32(0.012))
    reach = np.clip((21 + 5 * texture - depth) * np.float32(1 / 9), 0, 1)
    if skull.base > 0:
        reach *= np.clip(skull.radius * 0.06 - 1.3, 0, 1)  # the brain stem has no sulci
    wide = np.clip(reach * (row["sulcus"] * (1 + 0.25 * texture)), 0, 4)
    if squeeze > 0.3:
        side = np.clip(0.5 - grid.x * (math.copysign(1, row["shift_here"]) / 30), 0, 1)
        wide *= 1 - min(squeeze / 7, 0.9) * side
    if skull.base > 0:
        wide *= 1 - 0.6 * skull.base
    midline = np.abs(x)
    sulci = cover_line(fissure, wide, edge)
    split = _interhemispheric(row, grid, level)
    if split is not None:
        sulci = np.maximum(sulci, cover_line(midline, (0.9 + 0.9 * row["sulcus"]) * split, edge))
        fissure = np.where(split > 0.5, np.minimum(fissure, midline), fissure)
        reach = np.maximum(reach, split * np.clip(1.6 - midline * 0.3, 0, 1))
    lateral, central = _ventricles(row, warped_x, warped_y, squeeze)
    cisterns = _cisterns(row, warped_x, warped_y, squeeze)
    ventricles = None if lateral is None else cover(lateral + 0.25 * folds, edge)
    midline_ventricles = None if central is None else cover(central + 0.15 * folds, edge)
    cisterns = None if cisterns is None else cover(cisterns + 0.6 * folds, edge)
    return Brain(
        x, warped_y, depth, texture, fissure, sulci, reach, ventricles, midline_ventricles, cisterns, folds, edge
    )


def _folds(row: Row, grid: Grid, skull: Skull) -> tuple[Field, Field, Field, Field]:
    """Give a smooth random field whose zero lines are the sulci, its squared slope, and two slower fields.

    The waves run in three dimensions, so that neighbouring slices of one patient show the same folds.
    """
    rng = np.random.default_rng(int(row["folds"]))
    direction = rng.standard_normal((2 * WAVES, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = np.concatenate([rng.uniform(15, 27, WAVES), rng.uniform(32, 90, WAVES)])
    vectors = direction * (2 * np.pi / length)[:, None]
    phases = rng.uniform(0, 2 * np.pi, 2 * WAVES) + vectors[:, 2] * row["slice_position_mm"]
    even = np.full(WAVES, (2 / WAVES) ** 0.5)
    fast = Waves(grid, vectors[:WAVES, :2], phases[:WAVES])
    slow = Waves(grid, vectors[WAVES:, :2], phases[WAVES:])
    field, texture, other = fast.cosine(even), slow.cosine(even), slow.sine(even)
    along, down = fast.sine(even * vectors[:WAVES, 0]), fast.sine(even * vectors[:WAVES, 1])
    spokes = 17.0  # sulci run inwards rather than along the surface
    angle = np.arctan2(skull.sin, skull.cos)
    field += np.clip(skull.radius * (0.75 / 45), 0, 0.75) * np.sin(spokes * angle + 1.8 * other)
    slope = along * along + down * down + (0.28 * spokes**2) / (skull.radius + 8) ** 2
    return field, slope, texture, other


def _interhemispheric(row: Row, grid: Grid, level: float) -> Field | None:
    """Where the two hemispheres are apart: everywhere above the corpus callosum, in front and behind below it."""
    if level < 36:
        return None
    bridged = 40 * (1 - ramp(level, 82, 96))
    front = grid.y < 0 if level < 50 else True
    split = np.clip((np.abs(grid.y - 4) - bridged) * np.float32(0.2) + 0.5, 0, 1)
    return split * front


def _ventricles(row: Row, x: Field, y: Field, squeeze: float) -> tuple[Field | None, Field | None]:
    """Signed distances to the lateral ventricles, and to the third and fourth."""
    size = row["ventricle_size"]
    middle, pitch = row["level"], row["pitch"]
    front, back = middle - 30 * pitch, middle + 30 * pitch
    across = np.abs(x)
    width: Field | float = size
    if squeeze > 0.3:
        side = np.clip(0.5 - x * (math.copysign(1, row["shift_here"]) / 16), 0, 1)
        width = size * (1 - min(squeeze / 9, 0.8) * side)
    width = width * (1 + 4 * row["roll"] * np.clip(x * 0.06, -1, 1))
    parts = []
    if (horn := span(front, 54, 76, 7)) > 0.05:
        tip = 12 + 3.5 * size
        parts.append(strip(across, y, (-27 - 8 * size, -14), (tip, 0.5 * tip, 3.0), width * (3.4 * horn)))
    if (body := span(middle, 70, 86, 8)) > 0.05:
        spine = (8 + 3 * size, 5 + 2 * size, 16 + 4 * size)
        parts.append(strip(across, y, (-32 - 3 * size, 28 + 4 * size), spine, width * (4.2 * body)))
    if (atrium := span(back, 57, 76, 7)) > 0.05:
        parts.append(strip(across, y, (14, 44 + 3 * size), (15, 25 + size, 23), width * (5.2 * atrium)))
    if (occipital := span(back, 56, 68, 6)) > 0.05:
        parts.append(strip(across, y, (34, 58), (24, 23, 18), width * (2.6 * occipital)))
    if (temporal := span(middle, 36, 50, 6)) > 0.05:
        parts.append(capsule(across, y, (27, -10), (33, 10), width * (1.3 * temporal)))
    lateral = np.maximum.reduce(parts) if parts else None
    parts = []
    if (third := span(middle, 48, 62, 5)) > 0.05:
        parts.append(capsule(x, y, (0, -8), (0, 12), (0.4 + 1.7 * size) * third))
    if (fourth := span(middle, 18, 32, 6)) > 0.05:
        parts.append(ellipse(x, y, (0, 25), (7.5 * size**0.5 * fourth, 4.5 * size**0.5 * fourth)))
    central = np.maximum.reduce(parts) if parts else None
    return lateral, central


def _cisterns(row: Row, x: Field, y: Field, squeeze: float) -> Field | None:
    """Signed distance to the basal cisterns and Sylvian fissures."""
    level, across = row["level"], np.abs(x)
    wide = (0.8 + 0.9 * row["atrophy"]) * (1 - 0.6 * min(squeeze / 9, 1))
    parts = []
    if (star := span(level, 38, 47, 5)) > 0.05:
        parts.append(capsule(across, y, (0, -13), (13, -19), 3.6 * wide * star + 1))
        parts.append(capsule(across, y, (3, -5), (14, 9), 1.6 * wide * star + 0.4))
        parts.append(capsule(across, y, (0, -12), (0, -26), 2.2 * wide * star))
    if (smile := span(level, 44, 57, 5)) > 0.05:
        parts.append(capsule(across, y, (0, 23), (13, 14), 2.1 * wide * smile))
    if (bridge := span(level, 20, 36, 5)) > 0.05:
        parts.append(capsule(across, y, (0, -5), (14, 4), 2.4 * wide * bridge))
        parts.append(capsule(x, y, (0, 58), (0, 70), 2.6 * wide * bridge))
    if (sylvian := span(level, 44, 72, 7)) > 0.05:
        parts.append(capsule(across, y, (38, -14), (62, -6), (0.3 + 1.7 * wide) * sylvian))
        parts.append(capsule(across, y, (38, -16), (40, 12), (0.2 + 1.1 * wide) * sylvian))
    return np.maximum.reduce(parts) if parts else None
