"""From centimetres of tissue to the picture on the reading screen."""

import numpy as np
from scipy.ndimage import gaussian_filter

from synthcohort.phantoms.chest.grid import Field
from synthcohort.phantoms.chest.thorax import ATTENUATION, LUNG_AIR, Scene


def attenuation(scene: Scene) -> Field:
    """Line integral of the attenuation coefficient (no unit)."""
    aerated = scene.lung * (1 - scene.fill)
    water = scene.tissue - LUNG_AIR * aerated + scene.vessels * (1 - 0.8 * scene.fill)
    return ATTENUATION * (np.maximum(water, 0) + scene.bone) + scene.metal


def expose(scene: Scene, rng: np.random.Generator, noise: np.random.Generator) -> Field:
    """Detector signal of an exposure (Beer–Lambert, scatter, quantum noise, detector blur), relative to no patient."""
    pixel = scene.grid.pixel
    primary = np.exp(-attenuation(scene))
    scatter = scene.grid.haze(primary, 26)
    signal = primary + np.float32(rng.uniform(0.25, 0.6)) * scatter
    photons = 10 ** rng.uniform(4.0, 4.8) * pixel**2
    signal += np.sqrt(signal * np.float32(1 / photons)) * noise.standard_normal(signal.shape, np.float32)
    blur = rng.uniform(0.3, 0.7) / pixel
    return gaussian_filter(signal, blur, truncate=2.5) if blur > 0.3 else signal


def present(scene: Scene, signal: Field, rng: np.random.Generator) -> Field:
    """Presentation values 0–1 (1 white, dense): logarithm, compressed dynamic range, sigmoid display curve."""
    density = -np.log(np.maximum(signal, 2e-4))
    density -= np.float32(rng.uniform(0.4, 0.6)) * scene.grid.haze(density, 22)
    stride = max(round(len(signal) / 64), 1)
    sample = density[::stride, ::stride][(scene.lung[::stride, ::stride] > 1)]
    low, high = np.percentile(sample, (4, 95)) if len(sample) > 20 else (0.5, 2.0)
    middle = low + (high - low) * rng.uniform(0.42, 0.56)
    gain = rng.uniform(2.7, 3.8) / (high - low)
    picture = 1 / (1 + np.exp((density - np.float32(middle)) * np.float32(-gain)))
    return _collimate(scene, picture, rng)


def _collimate(scene: Scene, picture: Field, rng: np.random.Generator) -> Field:
    """Set the side marker beside the patient's left shoulder and black out what lies outside the collimated field."""
    grid, side = scene.grid, scene.grid.side
    if rng.random() < 0.7:
        corner = (0.43 * side * grid.pixel, -0.40 * side * grid.pixel)
        x, y = (grid.columns - corner[0])[None, :] + grid.columns[side // 2], grid.y - grid.y[side // 2] - corner[1]
        upright = (np.abs(x + 3) < 1.3) & (np.abs(y) < 6.5)
        foot = (np.abs(x) < 4.3) & (np.abs(y - 5.2) < 1.3)
        picture[upright | foot] = 0.97
    if rng.random() < 0.35:
        top, bottom, left, right = np.rint(rng.uniform(0, 0.035, 4) * side).astype(int)
        picture[:top], picture[side - bottom :] = 0, 0
        picture[:, :left], picture[:, side - right :] = 0, 0
    return picture
