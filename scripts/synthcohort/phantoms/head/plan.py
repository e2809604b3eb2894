"""The plan: one row of numbers and labels per slice, from which each image is drawn."""

import numpy as np
import pandas as pd

from synthcohort.phantoms.head.labels import FINDINGS, LESIONS, MINIMUM_AREA_MM2
from synthcohort.phantoms.head.lesions import Scene
from synthcohort.phantoms.head.patients import MOST_SLICES, NOMINAL_HEIGHT, PATIENT_DRAWS, simulate

FEWEST_SLICES = 3
LOWEST_LEVEL, HIGHEST_LEVEL = 8.0, 124.0
LABEL_SIDE = 64
"""Labels follow from the areas that lesions cover on a grid of this side."""


def plan_images(patients: int, seed: int, minimum_prevalence: float) -> pd.DataFrame:
    """Plan the slices of simulated patients.

    Parameters
    ----------
    patients : int
        Number of simulated patients; each has one study of 3 to 8 slices.
    seed : int
        Another seed gives other patients.
    minimum_prevalence : float
        Lesions that naturally show on a smaller share of the slices are brought to about this share; 0 keeps nature.

    Returns
    -------
    pandas.DataFrame
        One row per image, patients in order: ``patient``, ``study``, ``instance`` (number of the slice in its series),
        ``sex`` (``M`` or ``F``), ``age`` (years), one int8 column of 0 and 1 per finding, ``spacing_mm`` (pixel side
        of a 512² matrix), ``slice_position_mm`` (above the skull base), ``thickness_mm``, and what `draw_images` needs.
        The rows of a patient depend on nothing but `seed`, the patient's number and `minimum_prevalence`.
    """
    draws = [
        np.random.default_rng([seed, patient]).random(PATIENT_DRAWS + 2 * MOST_SLICES) for patient in range(patients)
    ]
    uniform = np.array(draws).reshape(patients, PATIENT_DRAWS + 2 * MOST_SLICES)
    people = pd.DataFrame(simulate(uniform[:, :PATIENT_DRAWS], minimum_prevalence))
    people.insert(0, "patient", np.arange(patients))
    slices = FEWEST_SLICES + np.floor(uniform[:, PATIENT_DRAWS] * (MOST_SLICES - FEWEST_SLICES + 1)).astype(int)
    owner = np.repeat(np.arange(patients), slices)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(slices) - slices, slices)
    rows = people.iloc[owner].reset_index(drop=True)
    jitter = uniform[owner, PATIENT_DRAWS + 1 + number]
    rows["level"] = LOWEST_LEVEL + (HIGHEST_LEVEL - LOWEST_LEVEL) * (number + 0.15 + 0.7 * jitter) / slices[owner]
    rows["slice_position_mm"] = rows["level"] * rows["height"] / NOMINAL_HEIGHT
    # Two slices may lie in one thickness of the series: the upper one then takes the next number.
    spare = (rows["slice_position_mm"] // rows["thickness_mm"]).astype(int) + 1 - number
    rows["instance"] = spare.groupby(rows["patient"]).cummax() + number
    rows["study"] = 1
    rows["sex"] = np.where(rows["male"] > 0, "M", "F")
    rows["spacing_mm"] = rows["field_mm"] / 512
    rows = _mass_effect_here(rows)
    labels = _labels(rows)
    for name in (finding.name for finding in FINDINGS):
        rows[name] = labels[name]
    first = ["patient", "study", "instance", "sex", "age", *labels, "spacing_mm", "slice_position_mm", "thickness_mm"]
    return rows[first + [column for column in rows.columns if column not in first]]


def _mass_effect_here(rows: pd.DataFrame) -> pd.DataFrame:
    """Midline shift fades away from the level of the lesion that causes it; ventricles widen behind a block."""
    away = (rows["level"] - rows["shift_level"]) / 42
    shift = rows["midline_shift"] * np.exp(-away * away)
    blocked = rows["has_intraventricular"] * rows["hydrocephalus"]
    return rows.assign(shift_here=shift, ventricle_size=np.minimum(rows["ventricles"] + blocked, 2.2))


def _area(scene: Scene, name: str) -> float:
    """Visible area of a lesion in mm²."""
    if name not in scene.lesions:
        return 0.0
    return float(scene.lesions[name][scene.visible(name)].sum()) * scene.grid.pixel**2


def _may_show(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Say False where a lesion certainly ends above or below the slice, to spare laying it out."""
    if name == "intraventricular":
        return rows["level"].between(8, 108).to_numpy()
    satellites = 26 if name == "intraparenchymal" else 0
    near = np.abs(rows["level"] - rows[f"{name}_level"]) < rows[f"{name}_reach"] + satellites
    if name == "subarachnoid":
        near = np.where(rows["subarachnoid_basal"] > 0, rows["level"].between(12, 84), near)
    return np.asarray(near)


def _labels(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Label a lesion where it covers enough of the slice."""
    labels = {name: (rows[f"has_{name}"].to_numpy(bool) & _may_show(rows, name)).astype(np.int8) for name in LESIONS}
    candidates = np.flatnonzero(np.any(list(labels.values()), axis=0))
    trial = rows.iloc[candidates].assign(**{name: labels[name][candidates] for name in LESIONS})
    for index, row in zip(candidates, trial.to_dict("records"), strict=True):
        scene = Scene(row, LABEL_SIDE)  # type: ignore[arg-type]
        for name in LESIONS:
            if labels[name][index]:
                labels[name][index] = _area(scene, name) >= MINIMUM_AREA_MM2
    labels["no_finding"] = (~np.any(list(labels.values()), axis=0)).astype(np.int8)
    return labels
