"""A simulated patient's thorax as measures, and the scene that is drawn from them."""

from dataclasses import dataclass, field

import numpy as np

from synthcohort.phantoms.chest.grid import Field, Grid

CAGE_TOP = -138.0  # mm above the hila where the rib cage closes
RIB_SPACING = 24.5
FIRST_RIB = -126.0
ATTENUATION = 0.185  # per cm of water at a chest beam's effective energy
LUNG_AIR = 0.74  # share of aerated lung that is air


@dataclass
class Fracture:
    """A broken rib: `side` (−1 the patient's right), rib number, distance from the mid-line in mm, step in mm."""

    side: int
    rib: int
    lateral: float
    step: float
    callus: float


@dataclass
class Thorax:
    """Measures of one exposure, in mm of a reference patient unless said otherwise.

    Attributes
    ----------
    cage : float
        Inner half width of the rib cage at its widest.
    wall, depth : float
        Thickness of the chest wall beside the cage (mm), and of the body from front to back (cm).
    armpit : float
        Height at which the arms leave the trunk.
    breast : float
        Thickness of the breasts (cm).
    bone, aorta : float
        Density of the bones (1 = a young man's) and length of the aortic arch (0 young to 1.3 old).
    heart_ratio : float
        Cardiothoracic ratio that is drawn.
    heart_turn : float
        Slope of the heart's long axis (radians).
    stomach : float
        Size of the gas in the stomach (1 = usual).
    waist : float
        How the trunk widens towards the feet (mm per 100 mm).
    supine : bool
        Lying: gas and fluid spread out instead of forming levels.
    scapula, clavicle : float
        Distance of the shoulder blades from the mid-line, height of the collar-bones' inner ends.
    rib_tilt : float
        Fall of a rib from the spine to the side.
    rotation : float
        Displacement of what lies in front against what lies behind, by turning.
    mediastinum : float
        Width of the upper mediastinum relative to a usual one.
    shift : float
        Displacement of heart and mediastinum to the patient's left.
    calcified : bool
        Lime in the wall of the aortic arch.
    collapsed, free_air : int
        Side of an atelectasis and of a pneumothorax (−1 the patient's right, 0 none).
    domes : dict
        Height of each hemidiaphragm's dome, by side (−1 the patient's right).
    fractures : list
        Broken ribs.
    """

    cage: float
    wall: float
    depth: float
    armpit: float
    breast: float
    bone: float
    aorta: float
    heart_ratio: float
    heart_turn: float
    stomach: float
    waist: float
    supine: bool
    scapula: float
    clavicle: float
    rib_tilt: float
    rotation: float
    mediastinum: float = 1.0
    shift: float = 0.0
    calcified: bool = False
    collapsed: int = 0
    free_air: int = 0
    domes: dict[int, float] = field(default_factory=dict)
    fractures: list[Fracture] = field(default_factory=list)


@dataclass
class Scene:
    """What the beam passes, in cm of water (`bone` and `metal`: excess over water), each float32 [side, side].

    `lung` is the thickness of lung, `fill` the share of its air that fluid replaced (negative: free air), `vessels`
    blood within lung. `heart` and `upper_mediastinum` are relative thicknesses that masks are taken from; `root` is the
    rib cage's, 1 at the mid-line to 0 at the wall.
    """

    grid: Grid
    thorax: Thorax
    tissue: Field
    lung: Field
    bone: Field
    metal: Field
    fill: Field
    vessels: Field
    heart: Field
    upper_mediastinum: Field
    root: Field


def cage_width(thorax: Thorax, y: Field | float) -> Field:
    """Inner half width of the rib cage at heights `y`."""
    t = np.clip((70 - y) / (70 - CAGE_TOP), 0, 0.9999)
    return (thorax.cage * (1 - t**2.5) ** 0.52).astype(np.float32) + np.float32(0.5)


def dome(thorax: Thorax, x: Field, side: int) -> Field:
    """Height of a hemidiaphragm's silhouette over `x` (mm)."""
    centre = 0.49 * thorax.cage
    t = (x * side - centre) * np.float32(1 / centre)
    fall = np.where(t > 0, 40 * t * t * (0.45 + 0.55 * t), 20 * t * t)
    return (thorax.domes[side] + fall).astype(np.float32)


def heart_scale(thorax: Thorax) -> float:
    """Size of the heart relative to the shape in `_mediastinum`, from the cardiothoracic ratio."""
    turn = thorax.heart_turn
    return thorax.heart_ratio * 2 * thorax.cage / (72 + np.hypot(64 * np.cos(turn), 47 * np.sin(turn)))
