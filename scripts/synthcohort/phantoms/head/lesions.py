"""Which pixels each haemorrhage covers; the same code decides on labels and draws."""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthcohort.phantoms.head.anatomy import (
    Brain,
    Row,
    Skull,
    brain_of,
    size_at,
    skull_of,
    soft_edge,
    vault_radius,
)
from synthcohort.phantoms.head.patients import NOMINAL_HEIGHT
from synthcohort.phantoms.head.shapes import Field, Grid, Waves, cover, ramp

VISIBLE_COVERAGE = 0.3
"""A pixel belongs to a lesion's mask where the lesion covers at least this much of it."""


class Scene:
    """Anatomy and lesions of one slice.

    Parameters
    ----------
    row : dict
        One row of the plan; only lesions whose column is 1 are laid out.
    side : int
        Pixels along each side.

    Attributes
    ----------
    lesions : dict
        Lesion name to coverage 0–1; a lesion that the slice does not meet is left out.
    oedema : numpy.ndarray or None
        Coverage 0–1.
    """

    def __init__(self, row: Row, side: int) -> None:
        self.row, self.grid = row, Grid(side, row["field_mm"], row["rotation"], row["shift_x"], row["shift_y"])
        self.skull = skull_of(row, self.grid)
        self.edge = soft_edge(self.grid)
        self.oedema: Field | None = None
        self.lesions: dict[str, Field] = {}
        self._pressed: Field | None = None
        self._add_extra_axial()
        if row["intraparenchymal"]:
            _intraparenchymal(self)
        if row["intraventricular"]:
            _intraventricular(self)
        if row["subarachnoid"]:
            _subarachnoid(self)

    @cached_property
    def within(self) -> Field:
        """Coverage of the cranial cavity."""
        return cover(self.skull.inner, self.skull.edge)

    @cached_property
    def brain(self) -> Brain:
        """The brain, pushed by the blood outside it; laid out on demand, as epidural and subdural blood need none."""
        return brain_of(self.row, self.grid, self.skull, self._pressed)

    def visible(self, name: str) -> NDArray[np.bool_]:
        """Pixels that a lesion visibly alters: enough of it, and no bone in the same pixel to outshine it."""
        clear = self.skull.inner >= 0.5 * self.skull.edge
        return (self.lesions[name] >= VISIBLE_COVERAGE) & clear

    def _add_extra_axial(self) -> None:
        """Blood between skull and brain; an epidural one pushes a subdural one aside."""
        shapes = {}
        for name, shape_of in (("epidural", _epidural), ("subdural", _subdural)):
            if self.row[name] and (shape := shape_of(self.row, self.grid, self.skull)) is not None:
                shapes[name] = shape
                self.lesions[name] = cover(shape, self.edge) * self.within
        if len(shapes) == 2:
            self.lesions["subdural"] *= 1 - self.lesions["epidural"]
        if shapes:
            self._pressed = np.maximum.reduce(list(shapes.values()))
        if self.row["subdural"] and self.row["subdural_falx"]:
            _parafalcine(self)


def _fade(row: Row, name: str) -> float:
    """Size of a rounded lesion in this slice relative to its widest one, 0 beyond its end."""
    part = (row["level"] - row[f"{name}_level"]) / row[f"{name}_reach"]
    return math.sqrt(max(1 - part * part, 0.0))


def _epidural(row: Row, grid: Grid, skull: Skull) -> Field | None:
    """Lay out a lens: the part of a ball that reaches through the inner table."""
    fade = _fade(row, "epidural")
    thickness, chord = row["epidural_thickness"] * fade * fade, row["epidural_chord"]
    if thickness < 1.5:
        return None
    ball = (chord * chord + row["epidural_thickness"] ** 2) / (2 * row["epidural_thickness"])
    cos, sin = row["epidural_side"] * math.cos(row["epidural_angle"]), math.sin(row["epidural_angle"])
    center = vault_radius(row, cos, sin) * size_at(row["level"], NOMINAL_HEIGHT) - thickness + ball
    return ball - np.sqrt((grid.x - cos * center) ** 2 + (grid.y - sin * center) ** 2)


def _subdural(row: Row, grid: Grid, skull: Skull) -> Field | None:
    """Lay out a crescent along the inner table."""
    thickness = row["subdural_thickness"] * _fade(row, "subdural") * ramp(row["level"], 30, 50)
    thickness *= min(1.0, 1.3 * size_at(row["level"], NOMINAL_HEIGHT))
    if thickness < 1.2:
        return None
    turn, extent = row["subdural_angle"], row["subdural_extent"]
    across = np.abs(skull.cos) if row["subdural_both"] else row["subdural_side"] * skull.cos
    toward = across * math.cos(turn) + skull.sin * math.sin(turn)
    profile = np.clip((toward - math.cos(extent)) * (1 / (1 - math.cos(extent))), 0, 1)
    return thickness * np.sqrt(profile) - skull.inner - np.float32(2.5) * (profile < 0.004)


def _parafalcine(scene: Scene) -> None:
    """Subdural blood along one side of the falx."""
    row, brain = scene.row, scene.brain
    width = row["subdural_falx"] * _fade(row, "subdural") * ramp(row["level"], 50, 64)
    if width < 1:
        return
    beside = brain.x * row["subdural_side"]
    bridged = 42 * (1 - ramp(row["level"], 82, 96))
    gap = np.abs(brain.y - 4) - bridged
    band = width * 0.5 - np.abs(beside - width * 0.5)
    falx = cover(np.minimum(band, gap * 0.3), brain.edge) * cover(scene.skull.inner - 1, brain.edge)
    scene.lesions["subdural"] = np.maximum(scene.lesions.get("subdural", np.float32(0)), falx)


def _intraparenchymal(scene: Scene) -> None:
    """Irregular blobs with a halo of oedema."""
    row, grid, brain = scene.row, scene.grid, scene.brain
    rng = np.random.default_rng(int(row["folds"]) + 1)
    shape, halo = None, None
    for index in range(1 + int(row["intraparenchymal_satellites"])):
        offset = rng.normal(0, 9, 3).tolist() if index else [0.0, 0.0, 0.0]
        shrink = 1.0 if index == 0 else rng.uniform(0.35, 0.7)
        part = (row["level"] - row["intraparenchymal_level"] - offset[2]) / (row["intraparenchymal_reach"] * shrink)
        if abs(part) >= 1:
            continue
        radius = row["intraparenchymal_radius"] * shrink
        vectors = rng.normal(0, 1.6 / radius, (8, 2))
        noise = Waves(grid, vectors, rng.uniform(0, 2 * np.pi, 8)).cosine(np.full(8, 0.5))
        x, y = grid.x - row["intraparenchymal_x"] - offset[0], grid.y - row["intraparenchymal_y"] - offset[1]
        cos, sin = math.cos(row["intraparenchymal_turn"]), math.sin(row["intraparenchymal_turn"])
        stretch = row["intraparenchymal_stretch"] ** 0.5
        u, v = (cos * x + sin * y) * (1 / stretch), (cos * y - sin * x) * stretch
        blob = radius * (math.sqrt(1 - part * part) + row["intraparenchymal_rough"] * noise) - np.sqrt(u * u + v * v)
        shape = blob if shape is None else np.maximum(shape, blob)
        wide = row["intraparenchymal_oedema"] * (0.6 + 0.4 * shrink)
        grown = cover(blob + wide * (0.7 + 0.5 * brain.texture), 3 + wide)
        halo = grown if halo is None else np.maximum(halo, grown)
    if shape is None or halo is None:
        return
    inside = cover(brain.depth + 1, brain.edge)
    scene.lesions["intraparenchymal"] = cover(shape + 0.7 * brain.folds, 1.5 * brain.edge) * inside
    scene.oedema = halo * inside


def _intraventricular(scene: Scene) -> None:
    """Blood in the ventricles: layers by gravity, or fills a side wholly."""
    row, grid, brain = scene.row, scene.grid, scene.brain
    amount, total = row["intraventricular_amount"], None
    if brain.ventricles is not None:
        # Patients lie on their backs: blood sinks in the image, not in the turned head.
        level = 44 - 52 * amount if amount < 0.55 else -80 * (amount - 0.3)
        sunk = cover(grid.row[:, None] - level - 5 * brain.texture * (amount > 0.55), 2.5)
        if row["intraventricular_side"] and amount < 0.85:
            sunk = sunk * cover(row["intraventricular_side"] * brain.x, 2.0)
        total = brain.ventricles * sunk
    if brain.midline_ventricles is not None and row["intraventricular_midline"]:
        extra = brain.midline_ventricles * min(0.4 + amount, 1)
        total = extra if total is None else np.maximum(total, extra)
    if total is not None:
        scene.lesions["intraventricular"] = total


def _subarachnoid(scene: Scene) -> None:
    """Blood instead of cerebrospinal fluid, in some sulci or in the cisterns."""
    row, grid, brain = scene.row, scene.grid, scene.brain
    edge, level = brain.edge, row["level"]
    reach = brain.sulcal_reach * cover(brain.depth + 1.5, edge)
    lines = np.clip((row["subarachnoid_width"] * (0.4 + 0.6 * reach) - 2 * brain.fissure) * (0.5 / edge) + 0.5, 0, 1)
    lines *= np.minimum(reach * 1.5, 1) * min(row["subarachnoid_width"] / edge, 1)
    if row["subarachnoid_basal"]:
        fade = (1 - ramp(level, 58, 84)) * ramp(level, 12, 30)
        total = lines * (0.75 * fade) * cover(12 - np.abs(brain.y + 8) * 0.4, 6.0) * (np.abs(brain.x) < 60)
        if brain.cisterns is not None:
            total = np.maximum(total, brain.cisterns * (0.55 + 0.45 * fade))
    else:
        part = (level - row["subarachnoid_level"]) / row["subarachnoid_reach"]
        if abs(part) >= 1:
            return
        extent = row["subarachnoid_extent"] * math.sqrt(1 - part * part)
        size = size_at(level, NOMINAL_HEIGHT) * 0.92
        cos, sin = row["subarachnoid_side"] * math.cos(row["subarachnoid_angle"]), math.sin(row["subarachnoid_angle"])
        far = vault_radius(row, cos, sin) * size
        region = cover(extent - np.sqrt((grid.x - cos * far) ** 2 + (grid.y - sin * far) ** 2), 10.0)
        lines = np.maximum(lines, cover(-brain.depth, edge) * 0.8)
        total = lines * region
    total = total * scene.within
    for other in ("epidural", "subdural"):
        if other in scene.lesions:
            total = total * (1 - scene.lesions[other])
    scene.lesions["subarachnoid"] = total
