"""Each finding as its radiographic sign.

Signs that change the patient's shape (large heart, wide or shifted mediastinum, raised diaphragm, broken ribs) are set
by `shape_thorax` before the anatomy is drawn; all others are laid over it by `draw_findings`. Where a finding
lies is the patient's, how far it has come the visit's.

Masks mark the pixels whose attenuation the sign visibly changes. For cardiomegaly that is the whole heart, for an
enlarged cardiomediastinum the whole upper mediastinum, since their size is the sign.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from synthcohort.phantoms.chest.devices import draw_devices
from synthcohort.phantoms.chest.grid import Field
from synthcohort.phantoms.chest.labels import BIT
from synthcohort.phantoms.chest.opacities import (
    draw_atelectasis,
    draw_consolidation,
    draw_edema,
    draw_lung_lesion,
    draw_lung_opacity,
    draw_pneumonia,
)
from synthcohort.phantoms.chest.pleura import draw_pleural_effusion, draw_pleural_other, draw_pneumothorax
from synthcohort.phantoms.chest.thorax import (
    ATTENUATION,
    FIRST_RIB,
    LUNG_AIR,
    RIB_SPACING,
    Fracture,
    Scene,
    Thorax,
    cage_width,
)

Stream = Callable[[str], np.random.Generator]
VISIBLE = 0.06  # change of attenuation that a mask counts
OVERLAYS = {
    "lung_opacity": draw_lung_opacity,
    "pneumonia": draw_pneumonia,
    "edema": draw_edema,
    "consolidation": draw_consolidation,
    "atelectasis": draw_atelectasis,
    "lung_lesion": draw_lung_lesion,
    "pneumothorax": draw_pneumothorax,
    "pleural_effusion": draw_pleural_effusion,
    "pleural_other": draw_pleural_other,
    "support_devices": draw_devices,
}


def shape_thorax(thorax: Thorax, present: list[str], patient: Stream, visit: Stream) -> None:
    """Set the measures that findings change, in place.

    Parameters
    ----------
    thorax : Thorax
        The healthy patient's.
    present : list of str
        Findings of this image.
    patient, visit : callable
        Give a finding's stream of random numbers: the patient's (the same at every visit) and the visit's.
    """
    if "cardiomegaly" in present:
        ratio = 0.515 + 0.13 * patient("cardiomegaly").beta(1.3, 2.0) + visit("cardiomegaly").normal(0, 0.012)
        thorax.heart_ratio = float(np.clip(ratio, 0.512, 0.66))
    if "enlarged_cardiomediastinum" in present:
        thorax.mediastinum = 1.24 + 0.7 * patient("enlarged_cardiomediastinum").beta(1.2, 2.0)
    if "atelectasis" in present:
        rng = patient("atelectasis")
        thorax.collapsed = _side(rng, 0.5)
        thorax.domes[thorax.collapsed] -= rng.uniform(4, 26)
    if "pneumothorax" in present:
        rng = patient("pneumothorax")
        thorax.free_air = _side(rng, 0.5)
        if rng.random() < 0.2:
            thorax.shift = -thorax.free_air * rng.uniform(12, 24)
            thorax.domes[thorax.free_air] += 12
    if "fracture" in present:
        _break_ribs(thorax, patient("fracture"))


def draw_findings(scene: Scene, present: list[str], patient: Stream, visit: Stream) -> NDArray[np.uint16]:
    """Lay the findings over the scene, in place, and mark where they show.

    Returns
    -------
    numpy.ndarray
        uint16 ``[side, side]``, bit k = finding k.
    """
    masks = np.zeros(scene.lung.shape, np.uint16)
    if "enlarged_cardiomediastinum" in present:
        _mark(masks, "enlarged_cardiomediastinum", scene.upper_mediastinum, 0.3)
    if "cardiomegaly" in present:
        _mark(masks, "cardiomegaly", scene.heart, 0.3)
    for name, overlay in OVERLAYS.items():
        if name in present:
            before = scene.fill.copy()
            added = overlay(scene, patient(name), visit(name))
            filled = np.abs(scene.fill - before) * scene.lung
            _mark(masks, name, np.float32(ATTENUATION * LUNG_AIR) * filled + added, VISIBLE)
    if "fracture" in present:
        _mark(masks, "fracture", _callus(scene, visit("fracture")), VISIBLE)
    return masks


def _mark(masks: NDArray[np.uint16], name: str, change: Field, threshold: float) -> None:
    """Set a finding's bit where the change exceeds the threshold, and at its strongest pixel in any case."""
    shown = change > threshold
    shown.flat[np.argmax(change)] = True
    masks |= shown * BIT[name]


def _side(rng: np.random.Generator, right: float) -> int:
    return -1 if rng.random() < right else 1


def _break_ribs(thorax: Thorax, rng: np.random.Generator) -> None:
    """Break two to five neighbouring ribs on one side."""
    side, first = _side(rng, 0.5), int(rng.integers(3, 7))
    lateral = thorax.cage * rng.uniform(0.55, 0.8)
    old = rng.random() < 0.5
    for rib in range(first, first + int(rng.integers(3, 7))):
        step = rng.uniform(9, 15) * (0.6 if old else 1.0)
        callus = rng.uniform(2.4, 4.0) if old else rng.uniform(0.2, 0.6)
        thorax.fractures.append(Fracture(side, rib, float(lateral + rng.normal(0, 5)), float(step), float(callus)))


def _callus(scene: Scene, rng: np.random.Generator) -> Field:
    """Draw callus (old) or a bruise (fresh) around each broken rib; where the break shows."""
    grid, thorax = scene.grid, scene.thorax
    shown = np.zeros_like(scene.lung)
    for fracture in thorax.fractures:
        x0 = fracture.side * fracture.lateral
        y0 = FIRST_RIB + RIB_SPACING * (fracture.rib - 1) + 0.3 * thorax.rib_tilt
        for _ in range(3):
            width = float(cage_width(thorax, y0))
            root = np.sqrt(max(1 - (fracture.lateral / width) ** 2, 0))
            y0 = FIRST_RIB + RIB_SPACING * (fracture.rib - 1) + thorax.rib_tilt * width / thorax.cage * (1 - root)
        window = grid.window(x0 - 26, x0 + 26, y0 - 26, y0 + 26)
        x, y = grid.part(window)
        distance = np.square((x - x0) / 10.5) + np.square((y - y0) / 8)
        scene.bone[window] += np.float32(fracture.callus * thorax.bone) * np.exp(-distance)
        scene.tissue[window] += np.float32((0.9 if fracture.callus > 1 else 2.0) * rng.uniform(0.7, 1.2)) * np.exp(
            -distance / 3
        )
        shown[window] = np.maximum(shown[window], 2 * VISIBLE * np.exp(-distance / 1.5))
    return shown
