"""Support devices: tubes, lines, pacemakers, electrodes."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from synthcohort.phantoms.chest.grid import Field, Strand, strokes
from synthcohort.phantoms.chest.thorax import Scene, cage_width

Path = NDArray[np.float64]


def draw_devices(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> Field:
    """Draw one to four devices: the bedridden carry tubes and electrodes, the upright pacemakers and ports."""
    lying = scene.thorax.supine
    weights = {
        _electrodes: 0.75 if lying else 0.3,
        _central_line: 0.6 if lying else 0.35,
        _endotracheal_tube: 0.5 if lying else 0.05,
        _gastric_tube: 0.5 if lying else 0.12,
        _pacemaker: 0.15 if lying else 0.35,
        _port: 0.08 if lying else 0.25,
        _chest_tube: 0.18 if lying else 0.1,
        _sternal_wires: 0.25,
    }
    chosen = [device for device, share in weights.items() if patient.random() < share]
    if not chosen:
        chosen = [_central_line if lying else _pacemaker]
    before = scene.metal.copy()
    strands = [strand for device in chosen[:4] for strand in device(scene, patient, visit)]
    scene.metal += strokes(scene.grid, strands)
    added = scene.metal - before
    reach = max(round(3 / scene.grid.pixel), 1)
    return maximum_filter(added, reach) if reach > 1 else added


def _electrodes(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """ECG electrodes with their wires."""
    grid, thorax = scene.grid, scene.thorax
    strands: list[Strand] = []
    sites = [(-95, -88), (95, -88), (88, 75), (-85, 85), (20, 10)]
    for x0, y0 in sites[: int(patient.integers(3, 6))]:
        x1, y1 = x0 * thorax.cage / 137 + visit.normal(0, 9), y0 + visit.normal(0, 9)
        window = grid.window(x1 - 12, x1 + 12, y1 - 12, y1 + 12)
        x, y = grid.part(window)
        radius = np.sqrt(np.square(x - x1) + np.square(y - y1))
        scene.metal[window] += 0.9 * grid.smooth(5 - radius, 1.5) + 0.25 * grid.smooth(9 - radius, 1.5)
        end = (np.sign(x0) * patient.uniform(30, 170), 200.0 if y0 > 0 or patient.random() < 0.5 else -200.0)
        bow = ((x1 + end[0]) / 2 + visit.normal(0, 30), (y1 + end[1]) / 2)
        strands.append((_bezier((x1, y1), bow, end), 1.8, 0.5))
    return strands


def _endotracheal_tube(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """Tube in the windpipe, its tip above the carina, with a radio-opaque stripe."""
    strands: list[Strand] = []
    tip = visit.uniform(-78, -48)
    lean = scene.thorax.shift
    for offset, strength in ((-4.5, 0.25), (4.5, 0.25), (2.0, 0.6)):
        path = np.array([(offset + 1, -210.0), (offset + 3, -120.0), (offset + 2 + lean, tip)])
        strands.append((path, 1.5, strength))
    return strands


def _gastric_tube(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """Tube down the gullet into the stomach."""
    dome = scene.thorax.domes[1]
    path = _spline(
        [(3, -210), (4, -100), (7, 0), (12, 70), (22, dome + 12), (48, dome + 42), (80, dome + 58)], visit, 2
    )
    return [(path, 2.6, 0.55)]


def _central_line(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """Catheter from a neck, collar-bone or arm vein to the superior vena cava."""
    routes = [
        [(-46, -210), (-34, -150), (-26, -100), (-24, -50), (-20, -10)],
        [(-150, -86), (-100, -112), (-55, -108), (-28, -80), (-22, -20)],
        [(190, -40), (140, -100), (80, -112), (30, -92), (-15, -70), (-21, -15)],
        [(50, -210), (36, -150), (24, -98), (-12, -72), (-21, -15)],
    ]
    path = _spline(routes[int(patient.integers(len(routes)))], visit, 3)
    return [(path, 2.2, 0.55)]


def _pacemaker(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """Draw a generator below the collar-bone with leads to right atrium and ventricle."""
    grid = scene.grid
    side = 1 if patient.random() < 0.85 else -1
    x0, y0 = side * patient.uniform(84, 100), patient.uniform(-80, -62)
    half = patient.uniform(19, 25)
    window = grid.window(x0 - 40, x0 + 40, y0 - 40, y0 + 40)
    x, y = grid.part(window)
    u, v = np.abs(x - x0) / half, np.abs(y - y0) / (half * 0.85)
    inside = (1 - np.sqrt(np.sqrt(u**4 + v**4))) * half
    scene.metal[window] += (2.0 * grid.smooth(inside, 2) + 0.9 * grid.smooth(inside - 6, 4)).astype(np.float32)
    vein = [(x0, y0 - half * 0.8), (side * 62, -108), (side * 26, -94), (-16, -66), (-23, -15)]
    heart = scene.thorax.heart_ratio / 0.44
    leads: list[Strand] = [(_spline([*vein, (-24, 40), (5, 84), (46 * heart, 92)], visit, 2), 2.2, 0.7)]
    if patient.random() < 0.7:
        leads.append((_spline([*vein, (-22, 45), (-38 * heart, 48), (-34, 28)], visit, 2), 2.2, 0.7))
    return leads


def _port(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """Chamber under the skin with a catheter to the superior vena cava."""
    grid = scene.grid
    x0, y0 = -patient.uniform(72, 92), patient.uniform(-72, -50)
    window = grid.window(x0 - 22, x0 + 22, y0 - 22, y0 + 22)
    x, y = grid.part(window)
    radius = np.sqrt(np.square(x - x0) + np.square(y - y0))
    scene.metal[window] += 0.7 * grid.smooth(14 - radius, 2) + 0.8 * grid.line(radius - 8, 2.5)
    path = _spline([(x0, y0 - 10), (-66, -112), (-34, -112), (-25, -60), (-21, -8)], visit, 2)
    return [(path, 2.2, 0.6)]


def _chest_tube(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """Drain through the side of the chest to the apex."""
    thorax = scene.thorax
    side = thorax.free_air or (-1 if patient.random() < 0.5 else 1)
    y0 = patient.uniform(30, 80)
    wall = float(cage_width(thorax, y0))
    points = [
        (side * (wall + 60), y0 + 30),
        (side * (wall - 2), y0),
        (side * 100, -20),
        (side * 66, -70),
        (side * 46, -102),
    ]
    path = _spline(points, visit, 3)
    walls = ((-3.5, 0.35), (3.5, 0.35), (1.0, 0.5))
    return [(path + np.array([offset, 0.0]), 1.6, strength) for offset, strength in walls]


def _sternal_wires(scene: Scene, patient: np.random.Generator, visit: np.random.Generator) -> list[Strand]:
    """Wire loops that closed the breastbone after heart surgery."""
    turn = np.linspace(0, 2 * np.pi, 24)
    shift = 1.3 * scene.thorax.rotation
    strands: list[Strand] = []
    for y0 in np.linspace(-72, 52, int(patient.integers(5, 7))):
        radii = patient.uniform(5.5, 8), patient.uniform(3.5, 5)
        loop = np.stack(
            [shift + patient.normal(0, 1.5) + radii[0] * np.cos(turn), y0 + radii[1] * np.sin(turn)], axis=1
        )
        strands.append((loop, 1.6, 0.9))
    return strands


def _bezier(start: tuple, middle: tuple, end: tuple) -> Path:
    """Quadratic Bézier curve as a polyline."""
    t = np.linspace(0, 1, 24)[:, None]
    return (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(middle) + t**2 * np.array(end)


def _spline(points: list, rng: np.random.Generator, jitter: float) -> Path:
    """Smooth curve (Catmull–Rom) near the given points, as a polyline."""
    knots = np.array(points, np.float64) + rng.normal(0, jitter, (len(points), 2))
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    a, b, c, d = (padded[k : len(padded) - 3 + k, None] for k in range(4))
    t = np.linspace(0, 1, 10)[:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.reshape(-1, 2)
