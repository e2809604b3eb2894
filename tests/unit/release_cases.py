"""A synthetic cohort to release, and figures of a privacy audit: all made up."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.audit.privacy_vocabulary import (
    CALIBRATED,
    CLOSEST_RECORD,
    DENSITY_RATIO,
    DISCRIMINATOR,
    HALVES,
    IMAGE,
    PATIENT,
    THIRD_GROUP,
    attack_parameter,
)
from synthcohort.audit.utility import METRIC_TYPES
from synthcohort.core.atomic import write_json
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.config import Statistics
from synthcohort.core.release_config import Release
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.release.subject import SourceCohort, Subject

SEED = 7
JUDGE, PIXELS = "judge (plain)", "pixels"
ATTACKS = [(attack, space) for attack in (CLOSEST_RECORD, CALIBRATED) for space in (JUDGE, PIXELS)]
ATTACKS.append((DENSITY_RATIO, JUDGE))
FINDINGS = {"bleed": "Bleed", "fracture": "Fracture", "no_finding": "No finding"}
BRAIN, BONE, LUNG = (0.0, 80.0), (-800.0, 2000.0), (-1350.0, 150.0)
INGESTS: dict[str, dict[str, Any]] = {
    "CT": {"modalities": ["CT"]},
    "DX": {"modalities": ["CR", "DX"]},
    "CR": {"modalities": ["CR"]},
}
WEIGHTS = hashlib.sha256(b"weights of generator").hexdigest()
KEYS = {"study": "test", "cohort": "clinic", "experiment": "resolution-016", "axis": "resolution", "level": "016"}
GENERATOR = {
    "family": "r3-gan", "architecture": {"channels": 1}, "findings": [], "resolution": 16, "channels": 1, "kimg": 2.5,
    "training_images": 80, "copied": 0.004, "seed": 1, "stop_features": "PLANTED", "params": {"lr": "PLANTED"},
}  # fmt: skip


def synthetic_store(
    folder: Path,
    modality: str,
    side: int,
    count: int,
    first: int,
    windows: tuple[tuple[float, float], ...] = (BRAIN,),
    like: StoreInfo | None = None,
) -> ImageStore:
    """Noise of all 256 grey values with made-up labels, as `sample_to_store` writes a store; `like` a real one's."""
    rng = np.random.default_rng(first)
    channels = len(windows) if modality == "CT" else 1
    policy = {"generated_by": "r3-gan", "generator": WEIGHTS, "kimg": 2.5, "seed": 1, "candidates": 1}
    info = StoreInfo(
        cohort="clinic",
        findings=[Finding(name=name, display=display) for name, display in FINDINGS.items()],
        units="HU" if modality == "CT" else "presentation",
        windows=list(windows) if modality == "CT" else [],
        resolution=side,
        channels=channels,
        images=0,
        simulated=False,
        policy=policy,
    )
    if like is not None:
        info = like.model_copy(update={"cohort": "clinic", "policy": policy})
    names = info.finding_names
    records = pd.DataFrame(np.eye(len(names))[rng.integers(0, len(names), count)], columns=names)
    numbers = range(first, first + count)
    records.insert(0, "image_id", [f"S{number:06d}" for number in numbers])
    records.insert(1, "patient_id", [f"synthetic-{number:06d}" for number in numbers])
    images = rng.integers(0, 256, (count, channels, side, side)).astype(np.uint8)
    images[:, :, 0, :2] = 0, 255
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def figure(metric: str, value: float, low: float, high: float, **keys: Any) -> dict[str, Any]:
    """One row of metrics.parquet."""
    rest = {"source": "r3-gan", "replicate": "r0", "finding": "", "role": "value", "features": "", "parameter": ""}
    return {**KEYS, **rest, "value": value, "ci_low": low, "ci_high": high, "n": 1200, "simulated": False} | {
        "metric": metric,
        **keys,
    }


def attack(name: str, unit: str, features: str, replayed: bool = True) -> list[dict[str, Any]]:
    """An attack that finds nothing, with controls in order, as `privacy_audit` writes it."""
    known, silent = {"features": features}, {"features": features, "role": "negative_control"}
    shared = {"source": "real"}  # what replays real images belongs to no family
    rows = [
        figure("attack_auroc", 0.51, 0.47, 0.55, parameter=attack_parameter(name, unit), **known),
        figure("attack_tpr", 0.012, 0.006, 0.02, parameter=attack_parameter(name, unit, rate=0.01), **known),
        figure("attack_tpr", 0.11, 0.08, 0.14, parameter=attack_parameter(name, unit, rate=0.1), **known),
        figure("attack_tpr", np.nan, np.nan, np.nan, parameter=attack_parameter(name, unit, rate=0.001), **known),
        figure("attack_auroc", 0.5, 0.46, 0.54, parameter=attack_parameter(name, unit, HALVES), **silent),
    ]
    if replayed:
        # The density ratio sees regions that are drawn too often, not copies.
        area = 0.6 if name == DENSITY_RATIO else 0.99
        parameter, caught = attack_parameter(name, unit), {"role": "positive_control", **known, **shared}
        rows += [
            figure("attack_auroc", area, area - 0.01, area + 0.01, parameter=parameter, **caught),
            figure("attack_tpr", 0.9, 0.8, 1.0, parameter=attack_parameter(name, unit, rate=0.01), **caught),
            figure(
                "attack_auroc",
                0.52,
                0.48,
                0.56,
                parameter=attack_parameter(name, unit, THIRD_GROUP),
                **silent,
                **shared,
            ),
        ]
    return rows


def metrics() -> pd.DataFrame:
    """Figures that pass the gate."""
    rows = [row for name, space in ATTACKS for unit in (IMAGE, PATIENT) for row in attack(name, unit, space)]
    rows += [row for unit in (IMAGE, PATIENT) for row in attack(DISCRIMINATOR, unit, DISCRIMINATOR, replayed=False)]
    rows += [
        figure("authenticity", 0.93, 0.9, 0.96, features=PIXELS),
        figure(
            "authenticity",
            0.99,
            0.97,
            1.0,
            features=PIXELS,
            source="real",
            role="negative_control",
            parameter=THIRD_GROUP,
        ),
        figure("frechet_distance", 12.5, 11.0, 14.0, features=JUDGE),
        figure("frechet_distance", 4.25, 4.0, 4.5, features=JUDGE, source="real", role="floor"),
        figure("label_fidelity", 0.831, 0.8, 0.86, features=JUDGE, finding="mean"),
    ]
    for source, area in (("real", 0.9), ("r3-gan", 0.8)):
        for name in ("mean", "bleed"):
            rows.append(figure("auroc", area, area - 0.02, area + 0.02, source=source, finding=name))
    rows += [
        figure("utility_gap", 0.1, 0.07, 0.13, finding="mean"),
        figure("retention", 0.75, 0.7, 0.8, finding="mean"),
        figure("utility_gap", 0.99, 0.9, 1.0, finding="mean", replicate="r1"),
        figure("utility_gap", 0.98, 0.9, 1.0, finding="mean", parameter="delong"),
    ]
    return pd.DataFrame(rows).astype(METRIC_TYPES)


def rows_of(table: pd.DataFrame, parameter: str, role: str = "value", features: str = PIXELS) -> "pd.Series[bool]":
    """Find the one row of an attack's figure."""
    rows = (table["parameter"] == parameter) & (table["role"] == role) & (table["features"] == features)
    assert rows.sum() == 1
    return rows


def change(table: pd.DataFrame, parameter: str, role: str = "value", features: str = PIXELS, **values: float):
    """Set columns of the row of one figure of an attack."""
    changed = table.copy()
    rows = rows_of(table, parameter, role, features)
    changed.loc[rows, list(values)] = list(values.values())
    return changed


def release(**changes: Any) -> Release:
    """What is released, and on which terms."""
    terms = {"license": "CC-BY-4.0", "creator": "Test clinic", "url": "https://example.org/x"}
    run = {"cohort": "clinic", "experiment": "resolution-016", "source": "r3-gan"}
    return Release.model_validate({**run, **terms, "published": "2026-01-02", **changes})


def subject(
    folder: Path,
    modality: str = "CT",
    side: int = 16,
    windows: tuple[tuple[float, float], ...] = (BRAIN,),
    figures: pd.DataFrame | None = None,
    simulated: bool = False,
    counts: tuple[int, int] = (9, 3),
    statistics: Statistics = Statistics(bootstrap=1000),  # noqa: B008 - frozen
    copied_labels: bool = False,
    combination_patients: int = 5,
    shadows: int = 0,
    **changes: Any,
) -> Subject:
    """A cohort to release: noise, named and labelled like a sample."""
    train = synthetic_store(folder / "train", modality, side, counts[0], 1, windows)
    valid = synthetic_store(folder / "valid", modality, side, counts[1], 1 + counts[0], windows)
    policy = {"version": 1, "windows": [list(window) for window in train.info.windows], "square": "padded"}
    info = train.info.model_copy(update={"policy": policy, "images": 100, "simulated": simulated})
    ingest = {**INGESTS[modality]}
    if modality == "CT":
        ingest["windows"] = [{"center": (low + high) / 2, "width": high - low} for low, high in windows]
    sizes = {"train": (80, 40), "valid": (10, 5), "test": (10, 6)}
    source = SourceCohort(Ingest.model_validate(ingest), {"protocol": "corrected"}, info, sizes, combination_patients)
    table = metrics() if figures is None else figures
    parts = {"train": train, "valid": valid}
    return Subject(release(**changes), source, parts, GENERATOR, table, statistics, copied_labels, shadows)


def generator_folder(folder: Path) -> Path:
    """A run's folder, with what may be released and what may not."""
    folder.mkdir(parents=True)
    write_json(folder / "generator.json", GENERATOR)
    (folder / "internal").mkdir()
    for name in ("generator", "discriminator", "unaveraged", "internal/gallery"):
        (folder / f"{name}.safetensors").write_bytes(f"weights of {name}".encode())
    return folder
