"""Signs within the lung: fluid, infection, collapse, tumour."""

import itertools

import numpy as np
from scipy.ndimage import gaussian_filter

from synthcohort.phantoms.chest.grid import Field, Grid, chord, ellipse, splat
from synthcohort.phantoms.chest.thorax import ATTENUATION, Scene, cage_width, dome

LOBES = ("right upper", "right middle", "right lower", "left upper", "left lower")
MINOR_FISSURE = 2.0
Change = Field | float  # attenuation that a sign adds beyond the filling of the lung, for its mask


def place(scene: Scene, side: int, down: float, out: float) -> tuple[float, float]:
    """Point inside a lung (mm): `down` 0 at the apex to 1 at the dome, `out` 0 at the mediastinum to 1 at the wall."""
    thorax = scene.thorax
    y = -112 + down * (thorax.domes[side] + 108)
    inner = 30 + 24 * max(down - 0.4, 0) / 0.6 * (1 if side < 0 else 1.5)
    outer = float(cage_width(thorax, y)) - 6
    return side * (inner + out * (outer - inner)) + thorax.shift, float(y)


def fill(scene: Scene, share: Field, window: tuple[slice, slice] = (slice(None), slice(None))) -> None:
    """Replace `share` of the air that is left in the lung by fluid."""
    scene.fill[window] = 1 - (1 - scene.fill[window]) * (1 - share)


def draw_lung_opacity(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """One or two broad, hazy, ill-defined areas; vessels stay visible."""
    for _ in range(int(patient.integers(1, 3))):
        side = -1 if patient.random() < 0.5 else 1
        x0, y0 = place(scene, side, patient.uniform(0.15, 0.85), patient.uniform(0.3, 0.8))
        radius = patient.uniform(34, 52)
        peak = patient.uniform(0.22, 0.36) * visit.uniform(0.85, 1.15)
        _patch(scene, patient, (x0, y0), (radius, radius * patient.uniform(0.8, 1.3)), peak, 0.9, 30)
    return 0.0


def draw_pneumonia(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Fluffy, confluent acinar patches crowded into one zone of one lung."""
    grid, side = scene.grid, -1 if patient.random() < 0.55 else 1
    x0, y0 = place(scene, side, patient.uniform(0.35, 0.9), patient.uniform(0.3, 0.7))
    window = grid.window(x0 - 80, x0 + 80, y0 - 80, y0 + 80)
    x, y = grid.part(window)
    density = np.zeros_like(x)
    for _ in range(int(patient.integers(8, 14))):
        u, v, radius = patient.normal(x0, 19), patient.normal(y0, 19), patient.uniform(9, 15)
        density += np.exp((np.square(x - u) + np.square(y - v)) * np.float32(-1 / radius**2))
    t = np.clip(density * (0.42 + 0.12 * grid.texture(patient, 18, window)) - 0.04, 0, 1)
    fill(scene, np.float32(patient.uniform(0.45, 0.75) * visit.uniform(0.85, 1.1)) * t * (2 - t), window)
    return 0.0


def draw_edema(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Bat-wing haze around both hila, thick interstitium, Kerley B lines at the bases, cuffed bronchi."""
    grid, thorax = scene.grid, scene.thorax
    severity = float(np.clip(patient.uniform(0.45, 1.2) + visit.normal(0, 0.1), 0.4, 1.3))
    window = grid.window(-thorax.cage, thorax.cage, -130, 170)
    x, y = grid.part(window)
    wing = ellipse(np.abs(x - np.float32(thorax.shift)), y, (56, 12), (62, 86))
    grain = 1 + np.float32(0.2) * grid.texture(visit, 18, window)
    fill(scene, np.minimum(np.float32(0.31 * severity) * np.exp(np.minimum(1.3 * wing - 1.3, 0)) * grain, 0.8), window)
    lines = []
    for side in (-1, 1):
        foot = thorax.domes[side] + 14
        for k in range(int(patient.integers(5, 9))):
            height = foot - 7.5 * k + patient.normal(0, 1)
            end = float(cage_width(thorax, height)) - 2
            lines.append((side * end, height, side * (end - patient.uniform(14, 22)), height + 2, 2.0 * severity))
    cuff = np.linspace(0, 2 * np.pi, 9)
    for side in (-1, 1) * 4:
        x0, y0 = side * patient.uniform(40, 62), patient.uniform(-28, 38)
        ring = np.stack([x0 + 4.5 * np.cos(cuff), y0 + 4.5 * np.sin(cuff)], axis=1)
        lines += [(*a, *b, 2.2 * severity) for a, b in itertools.pairwise(ring)]
    strands = splat(grid, *_strands(grid, lines)) * (scene.lung > 0.5)
    scene.vessels += strands
    return np.float32(ATTENUATION) * strands


def draw_consolidation(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Draw a dense lobe or part of it, cut sharply by a fissure, with air bronchograms."""
    grid, thorax = scene.grid, scene.thorax
    lobe = LOBES[int(patient.integers(len(LOBES)))]
    side = -1 if lobe.startswith("right") else 1
    upper, slope = lobe.endswith("upper"), patient.uniform(-0.12, 0.12)
    window = grid.flank(side, 0, thorax.cage + 4, -140, 200)
    x, y = grid.part(window)
    u = x * side
    fissure = MINOR_FISSURE + patient.uniform(-8, 8) + slope * (u - 60)
    if lobe == "right middle":
        inside = np.minimum(y - fissure, (fissure + 62) - y + 0.2 * (u - 70))
    else:
        inside = fissure - y if upper else y - fissure - 8
    centre = place(scene, side, 0.22 if upper else 0.85, patient.uniform(0.3, 0.65))
    size = patient.uniform(30, 62)
    radii = (size, size * patient.uniform(0.9, 1.3))
    body = ellipse(x, y, centre, radii) + np.float32(0.22) * grid.texture(patient, 60, window)
    share = grid.smooth(inside, 5) * grid.smooth(body + 0.1, 0.9) * (u > 8)
    air = _bronchogram(grid, patient, (side * 36 + thorax.shift, -2.0), side, -28 if upper else 46)[window]
    peak = patient.uniform(0.5, 0.85) * visit.uniform(0.92, 1.05)
    fill(scene, peak * share * (1 - 0.36 * air), window)
    return 0.0


def draw_atelectasis(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Plate-like bands above a raised hemidiaphragm (see `shape_thorax`), crowded lung below them."""
    grid, thorax = scene.grid, scene.thorax
    patient.random()  # the side, drawn in shape_thorax
    sides = (thorax.collapsed, -thorax.collapsed) if patient.random() < 0.35 else (thorax.collapsed,)
    for side in sides:
        window = grid.flank(side, 10, thorax.cage, -60, thorax.domes[side] + 30)
        x, y = grid.part(window)
        u = x * side
        above = dome(thorax, x, side) - y
        crowd = patient.uniform(0.1, 0.3) * np.exp(-np.square(np.maximum(above, 0) / 26)) * grid.smooth(u - 20, 20)
        for _ in range(int(patient.integers(1, 4))):
            height, start = patient.uniform(9, 46), patient.uniform(24, 55)
            length, thick = patient.uniform(48, 82), patient.uniform(2.6, 4.6)
            peak = patient.uniform(0.3, 0.6)
            slope = patient.uniform(-0.25, 0.25) + visit.normal(0, 0.02)
            level = thorax.domes[side] - height + slope * (u - 70) + 0.0016 * np.square(u - 70)
            band = np.exp(-np.square((y - level) / max(thick, 0.55 * grid.pixel)))
            band *= (
                min(thick / (0.55 * grid.pixel), 1) * grid.smooth(u - start, 26) * grid.smooth(start + length - u, 34)
            )
            crowd = np.maximum(crowd, peak * band)
        fill(scene, crowd.astype(np.float32), window)
    return 0.0


def draw_lung_lesion(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Change:
    """Draw a round mass, or a few nodules."""
    grid = scene.grid
    count = (1, 1, 1, 3, 6)[int(patient.integers(5))]
    added = np.zeros_like(scene.lung)
    for _ in range(count):
        side = -1 if patient.random() < 0.5 else 1
        x0, y0 = place(scene, side, patient.uniform(0.1, 0.85), patient.uniform(0.2, 0.85))
        radius = (patient.uniform(14, 32) if count == 1 else patient.uniform(9, 17)) * visit.uniform(0.92, 1.1)
        reach = 1.5 * radius
        window = grid.window(x0 - reach, x0 + reach, y0 - reach, y0 + reach)
        x, y = grid.part(window)
        angle = np.arctan2(y - y0, x - x0)
        lobed = 1 + 0.07 * np.cos(3 * angle + patient.uniform(0, 6)) + 0.05 * np.cos(5 * angle + patient.uniform(0, 6))
        mass = 0.17 * radius * chord(1 - (np.square(x - x0) + np.square(y - y0)) / np.square(radius * lobed))
        scene.tissue[window] += mass.astype(np.float32)
        added[window] += ATTENUATION * mass.astype(np.float32)
    return added


def _patch(
    scene: Scene,
    rng: np.random.Generator,
    centre: tuple[float, float],
    radii: tuple[float, float],
    peak: float,
    softness: float,
    grain: float,
) -> None:
    """Fill an irregular cloud: an ellipse whose edge and density a random texture disturbs."""
    grid: Grid = scene.grid
    reach = 1.7
    window = grid.window(
        centre[0] - reach * radii[0],
        centre[0] + reach * radii[0],
        centre[1] - reach * radii[1],
        centre[1] + reach * radii[1],
    )
    x, y = grid.part(window)
    if not x.size:
        return
    body = ellipse(x, y, centre, radii) + np.float32(0.35) * grid.texture(rng, grain, window)
    t = np.clip(body * np.float32(0.5 / softness) + np.float32(0.5), 0, 1)
    fill(scene, np.float32(peak) * t * t * (3 - 2 * t), window)


def _bronchogram(grid: Grid, rng: np.random.Generator, root: tuple[float, float], side: int, middle: float) -> Field:
    """Branching airways (0–1) that run from the hilum into a lobe, `middle` degrees below the horizontal."""
    strands = []
    for angle in np.radians(middle + np.array([-34.0, -12.0, 12.0, 34.0])) + rng.normal(0, 0.08, 4):
        x, y, turn, length = *root, angle, rng.uniform(34, 46)
        for width in (2.6, 1.9):
            u, v = x + side * np.cos(turn) * length, y + np.sin(turn) * length
            fork = turn - 0.6
            strands.append((x, y, u, v, width))
            strands.append((u, v, u + side * np.cos(fork) * length * 0.7, v + np.sin(fork) * length * 0.7, width * 0.8))
            x, y, turn, length = u, v, turn + rng.uniform(0.1, 0.4), length * 0.8
    return np.minimum(gaussian_filter(splat(grid, *_strands(grid, strands)), 1.2 / grid.pixel) * 3.5, 1)


def _strands(grid: Grid, strands: list[tuple]) -> np.ndarray:
    """Sample straight strands (x, y, x, y, width) at [3, n] points (x, y, thickness of a round strand there)."""
    x0, y0, x1, y1, width = np.array(strands, np.float64).T
    length = np.hypot(x1 - x0, y1 - y0)
    count = max(int(np.ceil(length.max() / (0.6 * grid.pixel))), 2)
    t = (np.arange(count)[:, None] + 0.5) / count
    amount = 0.3 * width * width * length / count / grid.pixel**2 + 0 * t
    return np.stack([x0 + t * (x1 - x0), y0 + t * (y1 - y0), amount]).reshape(3, -1)
