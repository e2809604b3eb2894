"""A synthetic cohort to release, and figures of a privacy audit: all made up."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.audit.utility import METRIC_TYPES
from synthcohort.core.atomic import write_json
from synthcohort.core.cohort_config import Cohort
from synthcohort.core.protocol import Protocol
from synthcohort.core.release_config import Release
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.release.subject import SourceCohort, Subject

SEED = 7
FINDINGS = {"bleed": "Bleed", "fracture": "Fracture", "no_finding": "No finding"}
BRAIN, BONE = (0.0, 80.0), (-800.0, 2000.0)
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
    folder: Path, modality: str, side: int, count: int, first: int, windows: tuple[tuple[float, float], ...] = (BRAIN,)
) -> ImageStore:
    """Noise of all 256 grey values with made-up labels, as `sample_to_store` writes a store."""
    rng = np.random.default_rng(first)
    channels = len(windows) if modality == "CT" else 1
    info = StoreInfo(
        cohort="clinic",
        findings=[Finding(name=name, display=display) for name, display in FINDINGS.items()],
        units="HU" if modality == "CT" else "presentation",
        windows=list(windows) if modality == "CT" else [],
        resolution=side,
        channels=channels,
        images=0,
        simulated=False,
        policy={"generated_by": "r3-gan", "generator": WEIGHTS, "kimg": 2.5, "seed": 1, "candidates": 1},
    )
    labels = np.eye(3)[rng.integers(0, 3, count)]
    records = pd.DataFrame(labels, columns=list(FINDINGS))
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


def attack(name: str, unit: str, features: str) -> list[dict[str, Any]]:
    """An attack that finds nothing, with controls in order."""
    known, silent = {"features": features}, {"features": features, "role": "negative_control"}
    return [
        figure("attack_auroc", 0.51, 0.47, 0.55, parameter=f"{name}/{unit}", **known),
        figure("attack_tpr", 0.012, 0.006, 0.02, parameter=f"{name}/{unit}/0.01", **known),
        figure("attack_tpr", 0.11, 0.08, 0.14, parameter=f"{name}/{unit}/0.1", **known),
        figure("attack_tpr", np.nan, np.nan, np.nan, parameter=f"{name}/{unit}/0.001", **known),
        figure("attack_auroc", 0.99, 0.98, 1.0, parameter=f"{name}/{unit}", role="positive_control", **known),
        figure("attack_tpr", 0.9, 0.8, 1.0, parameter=f"{name}/{unit}/0.01", role="positive_control", **known),
        figure("attack_auroc", 0.5, 0.46, 0.54, parameter=f"{name}/{unit}/third_group", **silent),
        figure("attack_auroc", 0.5, 0.46, 0.54, parameter=f"{name}/{unit}/halves", **silent),
    ]


def metrics() -> pd.DataFrame:
    """Figures that pass the gate."""
    rows = [
        row
        for name in ("closest_record", "density_ratio")
        for unit in ("image", "patient")
        for row in attack(name, unit, "judge")
    ]
    rows += [
        figure("attack_auroc", 0.53, 0.49, 0.57, parameter="discriminator/patient", features="discriminator"),
        figure("attack_tpr", 0.0, 0.0, 0.003, parameter="discriminator/patient/0.01", features="discriminator"),
        figure("authenticity", 0.93, 0.9, 0.96, features="judge"),
        figure("frechet_distance", 12.5, 11.0, 14.0, features="judge"),
        figure("frechet_distance", 4.25, 4.0, 4.5, features="judge", source="real", role="floor"),
        figure("label_fidelity", 0.831, 0.8, 0.86, features="judge", finding="mean"),
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


def change(table: pd.DataFrame, parameter: str, role: str = "value", **values: float) -> pd.DataFrame:
    """Set columns of the rows of one figure; there must be some."""
    changed = table.copy()
    rows = (changed["parameter"] == parameter) & (changed["role"] == role) & changed["metric"].str.startswith("attack")
    assert rows.any()
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
    data = {"folder": "/PLANTED/folder", "labels": "PLANTED.csv"}
    config = Cohort.model_validate({"name": "clinic", "data": data, "ingest": ingest})
    source = SourceCohort(config, Protocol(), info, {"train": (80, 40), "valid": (10, 5), "test": (10, 6)})
    table = metrics() if figures is None else figures
    return Subject(release(**changes), source, {"train": train, "valid": valid}, GENERATOR, table)


def generator_folder(folder: Path) -> Path:
    """A run's folder, with what may be released and what may not."""
    folder.mkdir(parents=True)
    write_json(folder / "generator.json", GENERATOR)
    (folder / "internal").mkdir()
    for name in ("generator", "discriminator", "unaveraged", "internal/gallery"):
        (folder / f"{name}.safetensors").write_bytes(f"weights of {name}".encode())
    return folder
