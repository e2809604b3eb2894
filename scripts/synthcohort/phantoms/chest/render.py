"""Draw planned images."""

import numpy as np
import pandas as pd

from synthcohort.phantoms.chest.anatomy import draw_anatomy
from synthcohort.phantoms.chest.findings import draw_findings, shape_thorax
from synthcohort.phantoms.chest.grid import Grid
from synthcohort.phantoms.chest.imaging import expose, present
from synthcohort.phantoms.chest.labels import FINDINGS
from synthcohort.phantoms.chest.thorax import Thorax
from synthcohort.phantoms.chest.vessels import draw_vessels
from synthcohort.phantoms.drawing import Drawing

PERSON, POSE, SIGNS, NOISE = range(4)  # streams of randomness


def draw_images(rows: pd.DataFrame, side: int, seed: int) -> Drawing:
    """Draw frontal chest radiographs of simulated patients.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `plan_images`.
    side : int
        Side of the images in pixels. The scene is the same at every side; only noise differs.
    seed : int
        The plan's seed. An image depends on its row and the seed alone, not on the other rows.

    Returns
    -------
    Drawing
        Images 0–1, 1 = white = dense, the patient's left at the image's right. Masks: bit k where finding k visibly
        alters the image (see `findings`); ``no_finding`` has none. Every other positive label has some pixels.
    """
    images = np.zeros((len(rows), side, side), np.float32)
    masks = np.zeros((len(rows), side, side), np.uint16)
    records = rows.to_dict("records")
    for k, row in enumerate(records):
        images[k], masks[k] = _draw_image(row, side, seed)
    spacing = rows["field_mm"].to_numpy(np.float64) / side
    return Drawing(images, masks, spacing.astype(np.float32))


def _draw_image(row: dict, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask of one row."""

    def stream(purpose: int, *numbers: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64([seed, purpose, row["patient"], *numbers]))

    def patient(name: str) -> np.random.Generator:
        return stream(SIGNS, bit[name])

    def visit(name: str) -> np.random.Generator:
        return stream(SIGNS, bit[name], row["study"])

    image = (row["study"], row["instance"])
    bit = {finding.name: k for k, finding in enumerate(FINDINGS)}
    names = [name for name in bit if row[name]]
    person, pose = stream(PERSON), stream(POSE, *image)
    thorax, scale, bend = _thorax(row, person, pose)
    shape_thorax(thorax, names, patient, visit)
    scene = draw_anatomy(_grid(row, side, scale, bend, pose), thorax)
    scene.vessels += draw_vessels(scene, person, 0.8 * row["edema"])
    grain = scene.grid.texture(person, 40)
    scene.tissue *= 1 + np.float32(0.018) * grain
    scene.lung *= 1 - np.float32(0.045) * grain
    masks = draw_findings(scene, names, patient, visit)
    return present(scene, expose(scene, pose, stream(NOISE, *image)), pose), masks


def _grid(row: dict, side: int, scale: float, bend: float, pose: np.random.Generator) -> Grid:
    """Place the patient on the detector."""
    pixel = row["field_mm"] / side / scale
    loose = 1.0 if row["view"] == "PA" else 1.8
    centre = (loose * pose.normal(0, 3.5), -4 + loose * pose.normal(0, 5))
    tilt = float(np.clip(loose * pose.normal(0, 0.018), -0.08, 0.08))
    return Grid(side, pixel, centre, tilt, bend)


def _thorax(row: dict, person: np.random.Generator, pose: np.random.Generator) -> tuple[Thorax, float, float]:
    """Measures of a patient (kept from study to study) at one exposure, size (1 = reference) and bend of the spine."""
    male, old, habitus = row["sex"] == "M", np.clip((row["age"] - 40) / 45, 0, 1), row["habitus"]
    frontal = row["view"] == "AP"
    scale = (1.0 if male else 0.92) * float(np.clip(person.normal(1, 0.03), 0.93, 1.07))
    cage = float(np.clip(person.normal(137, 5), 126, 149))
    breath = pose.normal(-9, 9) if frontal else pose.normal(3, 6)
    dome = 97 + float(np.clip(breath, -30, 14))
    gap = person.uniform(5, 14)
    supine = bool(frontal and pose.random() < 0.6)
    ratio = person.uniform(0.40, 0.475) * (1.035 if frontal else 1.0) - 0.0006 * (dome - 97)
    thorax = Thorax(
        cage=cage,
        wall=float(24 + 9 * habitus + person.uniform(0, 6)),
        depth=float((22.0 if male else 20.5) + 2.0 * habitus),
        armpit=float(pose.uniform(-75, -15)),
        breast=0.0 if male else float(person.uniform(2.0, 5.0) + 0.5 * habitus),
        bone=float((1.0 if male else 0.88) * (1.1 - 0.3 * old) * person.uniform(0.9, 1.1)),
        aorta=float(old * person.uniform(0.5, 1.3)),
        heart_ratio=float(min(ratio, 0.49)),
        heart_turn=float(person.uniform(0.3, 0.68)),
        stomach=float(pose.uniform(0.65, 1.2)),
        waist=float(person.normal(0, 5) + 4 * habitus),
        supine=supine,
        scapula=float(pose.uniform(82, 96) if frontal else pose.uniform(108, 122)),
        clavicle=float(pose.uniform(-112, -98) if frontal else pose.uniform(-104, -92)),
        rib_tilt=float(person.uniform(52, 70)),
        mediastinum=float(person.uniform(0.88, 1.14)),
        rotation=float(pose.normal(0, 4.5 if frontal else 2.0)),
        calcified=bool(old > 0.55 and person.random() < 0.5),
    )
    thorax.domes = {-1: dome, 1: dome + gap}
    return thorax, scale, float(np.clip(person.normal(0, 3 + 4 * old), -12, 12))
