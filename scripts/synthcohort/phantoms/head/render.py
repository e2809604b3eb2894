"""From a scene to Hounsfield units: tissues, blood, calcifications, and what the scanner adds."""

import math

import numpy as np
import pandas as pd

from synthcohort.phantoms.drawing import Drawing
from synthcohort.phantoms.head.anatomy import Row, neck_mm, size_at
from synthcohort.phantoms.head.base import paint_base, paint_ears
from synthcohort.phantoms.head.labels import FINDINGS
from synthcohort.phantoms.head.lesions import Scene
from synthcohort.phantoms.head.patients import NOMINAL_HEIGHT
from synthcohort.phantoms.head.shapes import Field, Grid, blend, capsule, cover, cover_line, ellipse, ramp, span

AIR, FAT, SKIN, FLUID, FALX = -1000.0, -85.0, 25.0, 7.0, 50.0


def draw_images(rows: pd.DataFrame, side: int, seed: int) -> Drawing:
    """Draw the slices of a plan.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `plan_images`; each image depends on its own row and on `seed` alone.
    side : int
        Pixels along each side.
    seed : int
        Seed of the noise.

    Returns
    -------
    Drawing
        Hounsfield units, masks with bit k for finding k, and the pixel spacing in millimetres.
    """
    images = np.empty((len(rows), side, side), np.float32)
    masks = np.zeros((len(rows), side, side), np.uint16)
    for index, row in enumerate(rows.to_dict("records")):
        scene = Scene(row, side)  # type: ignore[arg-type]
        images[index] = scan(scene.row, scene.grid, paint(scene), seed)
        for bit, finding in enumerate(FINDINGS):
            if finding.name in scene.lesions:
                masks[index] |= scene.visible(finding.name).astype(np.uint16) << np.uint16(bit)
    spacing = (rows["field_mm"].to_numpy() / side).astype(np.float32)
    return Drawing(images, masks, spacing)


def paint(scene: Scene) -> Field:
    """Hounsfield units of the slice as an ideal scanner would see them."""
    row, grid, skull = scene.row, scene.grid, scene.skull
    image = np.full_like(grid.x, AIR)
    if skull.base > 0:
        paint_ears(image, row, grid)
    edge = math.hypot(max(grid.pixel, 1.0), 0.8)
    soft = FAT + (SKIN - FAT) * cover(2.2 - skull.skin, edge)
    # Muscle lies on the bone: thin on the vault, thick at the temples and in the neck.
    behind = neck_mm(row["level"]) * np.maximum(skull.sin, 0) ** 2
    temple = 5 * span(row["level"], 20, 62, 14) * np.clip(1.6 * np.abs(skull.cos) - 0.7 - 0.4 * skull.sin, 0, 1)
    soft += (50 - soft) * (
        cover(0.9 * behind + temple + skull.outer, 1.5 * edge) * np.clip(behind + temple, 0, 2) * 0.5
    )
    if row["swelling_mm"] > 0:
        toward = row["swelling_side"] * math.cos(row["swelling_angle"]) * skull.cos
        toward = toward + math.sin(row["swelling_angle"]) * skull.sin
        strength = math.exp(-(((row["level"] - row["swelling_level"]) / 22) ** 2))
        blend(soft, np.exp((toward - 1) * 10) * (0.9 * strength), 48.0)
    blend(image, cover(skull.skin, edge), soft)
    wall = np.minimum(skull.outer, -skull.inner)
    bone = 1350 - 750 * np.clip((wall - 1.0) * 0.5, 0, 1) + 60 * scene.brain.texture
    blend(image, cover(skull.outer, skull.edge), bone)
    if skull.base > 0:
        paint_base(image, row, grid, skull, scene.brain.texture)
    blend(image, scene.within, _inside(scene))
    return image


def _inside(scene: Scene) -> Field:
    """Everything within the inner table."""
    row, brain, skull, level = scene.row, scene.brain, scene.skull, scene.row["level"]
    tissue = _tissue(scene)
    inside = FLUID + cover(brain.depth, brain.edge) * (tissue - FLUID)
    blend(inside, brain.sulci, FLUID + 2)
    for fluid in (brain.cisterns, brain.ventricles, brain.midline_ventricles):
        if fluid is not None:
            blend(inside, fluid, FLUID)
    falx = ramp(level, 40, 56)
    if falx > 0:
        bridged = 44 * (1 - ramp(level, 82, 96))
        along = np.clip((np.abs(brain.y - 4) - bridged) * np.float32(0.2) + 0.5, 0, 1)
        blend(inside, cover_line(np.abs(brain.x), 1.3, brain.edge) * (along * falx), FALX)
        corner = cover(np.minimum(4.2 - np.abs(brain.x) * 1.1, 6.5 - skull.inner), brain.edge)
        blend(inside, corner * (brain.y > 0) * (0.9 * falx), 54.0)
    _calcifications(inside, scene)
    if "intraparenchymal" in scene.lesions:
        blend(inside, scene.lesions["intraparenchymal"], row["intraparenchymal_hu"] + 2.5 * brain.texture)
    if "intraventricular" in scene.lesions:
        blend(inside, scene.lesions["intraventricular"], row["intraventricular_hu"])
    if "subarachnoid" in scene.lesions:
        blend(inside, scene.lesions["subarachnoid"], row["subarachnoid_hu"])
    if "subdural" in scene.lesions:
        sediment = cover(scene.grid.row[:, None] - 12, 14.0)
        value = row["subdural_hu"] + (row["subdural_sediment_hu"] - row["subdural_hu"]) * sediment
        blend(inside, scene.lesions["subdural"], value + 1.5 * brain.texture)
    if "epidural" in scene.lesions:
        swirl = row["epidural_swirl"] * 26 * np.clip(brain.texture - 0.2, 0, 1)
        blend(inside, scene.lesions["epidural"], row["epidural_hu"] - swirl)
    return inside


def _tissue(scene: Scene) -> Field:
    """Grey and white matter."""
    row, brain, level = scene.row, scene.brain, scene.row["level"]
    across, gain = np.abs(brain.x), row["gray"] - row["white"]
    ribbon = cover(3.6 - brain.depth, brain.edge)
    folded = cover(3.9 - brain.fissure, brain.edge) * np.minimum(brain.sulcal_reach * 1.6, 1)
    gray = np.maximum(ribbon, folded)
    if (deep := span(level, 52, 72, 7)) > 0.05:
        ganglia = np.maximum.reduce(
            [
                ellipse(across, brain.y, (25, -3), (7.5, 16), -0.28),
                ellipse(across, brain.y, (9.5, 8), (8, 12), 0.3),
                ellipse(across, brain.y, (13, -25), (5.5, 9), -0.3),
                2.0 - np.abs(ellipse(across, brain.y, (25, -3), (12.5, 24), -0.15)),
            ]
        )
        gray = np.maximum(gray, cover(ganglia, 1.5 * brain.edge) * (0.85 * deep))
    tent = _below_tentorium(scene)
    if tent is not None:
        hind = cover(tent, 3.0)
        bend = np.sqrt(brain.x**2 + (brain.y + 2) ** 2) * np.float32(1.2) + 2 * brain.texture
        folia = 0.72 + 0.2 * np.cos(bend)
        stem = cover(ellipse(brain.x, brain.y, (0, 9), (16, 13)), 5.0)
        gray += hind * (folia * (1 - stem) + 0.4 * stem - gray)
    tissue = row["white"] + gain * gray
    if tent is not None:
        tissue += cover_line(np.abs(tent), 1.6, brain.edge) * (14 * ramp(level, 33, 40) * (1 - ramp(level, 52, 58)))
    if row["leukoaraiosis"] > 0.05 and brain.ventricles is not None:
        near = ellipse(across, brain.y, (17, -2), (22, 46)) + 8 * brain.texture
        tissue -= (6 * row["leukoaraiosis"]) * cover(near, 14.0) * (1 - gray)
    if row["infarct"]:
        away = abs(level - row["infarct_level"]) / 24
        if away < 1:
            cos, sin = row["infarct"] * math.cos(row["infarct_angle"]), math.sin(row["infarct_angle"])
            wedge = (cos * brain.x + sin * brain.y) - 2.2 * np.abs(cos * brain.y - sin * brain.x) - 16 - 26 * away
            tissue -= 14 * cover(wedge + 4 * brain.texture, 6.0)
    if scene.oedema is not None:
        tissue -= scene.oedema * (11 - 3 * gray)
    return tissue + np.float32(0.9) * brain.texture


def _below_tentorium(scene: Scene) -> Field | None:
    """Signed distance to the part of the slice below the tentorium: the posterior fossa, higher up a narrow V."""
    level, across, y = scene.row["level"], np.abs(scene.brain.x), scene.brain.y
    if level > 58:
        return None
    narrow = ramp(level, 33, 43)
    opening = 1.35 * (1 - ramp(level, 38, 60))
    low = y - 5 - 0.3 * across
    high = ((y - 13) * opening - across) * (1 / math.hypot(1, opening))
    return low + narrow * (high - low)


def _calcifications(inside: Field, scene: Scene) -> None:
    """Harmless calcium: pineal gland, choroid plexus, basal ganglia, falx. It is bright like blood."""
    row, brain, level = scene.row, scene.brain, scene.row["level"]
    edge, across = brain.edge, np.abs(brain.x)
    spots: list[tuple[Field, float]] = []
    if row["pineal_calcified"] and abs(level - 54) < 6:
        spots.append((ellipse(brain.x, brain.y, (0, 19), (2.4, 2.0)), 150 * row["pineal_calcified"]))
    if row["choroid_calcified"] and abs(level + 28 * row["pitch"] - 65) < 7:
        spots.append((ellipse(across, brain.y, (24, 31), (2.6, 3.2)), 150 * row["choroid_calcified"]))
    if row["ganglia_calcified"] and abs(level - 60) < 6:
        spots.append((ellipse(across, brain.y, (20, -6), (3, 6), -0.3), 60 * row["ganglia_calcified"]))
    if row["falx_calcified"] and level > 70:
        spots.append((capsule(brain.x, brain.y, (0.5, -58), (0.5, -46), 1.4), 250 * row["falx_calcified"]))
    for shape, extra in spots:
        inside += cover(shape, edge) * extra


def scan(row: Row, grid: Grid, image: Field, seed: int) -> Field:
    """Add what the scanner adds: head holder, beam hardening, and noise as correlated as the kernel makes it."""
    _holder(image, row, grid)
    radius = (grid.x / row["half_width"]) ** 2 + (grid.y / row["half_length"]) ** 2
    cup = np.clip(radius, 0, 1.1) * (3.0 * row["beam"]) - 1.2 * row["beam"]
    image += cup + row["offset"]
    petrous = span(row["level"], 14, 30, 8) * row["beam"]
    if petrous > 0.02:
        band = np.exp(-(((grid.y - 4) / 6) ** 2)) * np.clip(1 - (grid.x / 34) ** 2, 0, 1)
        streak = np.sin(0.55 * grid.y + 0.03 * grid.x) * np.clip(1 - (grid.x / 60) ** 2, 0, 1)
        image -= petrous * (15 * band + 2.5 * streak)
    rng = np.random.default_rng([seed, int(row["patient"]), int(row["study"]), int(row["instance"])])
    noise = rng.standard_normal(image.shape, np.float32)
    path = 0.5 + 0.5 * size_at(row["level"], NOMINAL_HEIGHT)
    image += _correlate(noise, row, grid) * (path * (1 + 0.35 * np.clip(1 - radius, 0, 1)))
    return np.clip(image, -1024, 3071)


def _holder(image: Field, row: Row, grid: Grid) -> None:
    """Paint the head holder behind the head: a thin shell, filled with foam."""
    gap = row["half_length"] + row["skull"] + 16 + 8 * row["holder"]
    column, line = grid.column, grid.row[:, None]
    shell = gap - line - (0.002 + 0.003 * row["holder"]) * column**2
    below = (image < -500) & (np.abs(column) < 45 + 40 * row["holder"]) & (line > 0)
    blend(image, cover_line(np.abs(shell), 3.0, grid.pixel + 0.6) * below, 25.0 + 60 * row["holder"])


def _correlate(noise: Field, row: Row, grid: Grid) -> Field:
    """Blur white noise as the reconstruction kernel does and scale it to its standard deviation.

    Thin slices and sharp kernels are noisier; larger pixels average noise away.
    """
    blur = (1.7 - 1.1 * row["sharpness"]) / grid.pixel
    side = min(blur / (1 + 2 * blur), 0.28)
    for axis in (0, 1):
        noise = (1 - 2 * side) * noise + side * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
    gain = (1 - 2 * side) ** 2 + 2 * side**2
    deviation = row["noise"] * (0.8 + 0.4 * row["sharpness"]) * (5 / row["thickness_mm"]) ** 0.15
    return noise * (deviation * min(1.0, (0.9 / grid.pixel) ** 0.5) / gain)
