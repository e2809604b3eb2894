"""A fabricated study for tests of figures and report: every number here is made up, none was measured."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.core.config import Study
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store

HEAD = {
    "epidural": "Epidural",
    "intraparenchymal": "Intraparenchymal",
    "subarachnoid": "Subarachnoid",
    "subdural": "Subdural",
    "no_finding": "No finding",
}
CHEST = {
    "cardiomegaly": "Cardiomegaly",
    "edema": "Edema",
    "pleural_effusion": "Pleural Effusion",
    "pneumothorax": "Pneumothorax",
    "fracture": "Fracture",
    "support_devices": "Support Devices",
    "no_finding": "No Finding",
}
COHORTS = {"head-phantom": HEAD, "chest-phantom": CHEST}
SKILL = {"real": 1.0, "r3-gan": 0.78, "cpd-gan": 0.6, "prog-gan": 0.04}
LEVELS = {"resolution": ["016", "032"], "classes": ["002", "004", "006"], "samples": ["00050", "00200", "00800"]}


def metrics(sources: tuple[str, ...] = tuple(SKILL), replicates: int = 1, simulated: bool = True) -> pd.DataFrame:
    """A tidy table as metrics.parquet; prog-gan never beats chance."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for cohort, findings in COHORTS.items():
        for axis, levels in LEVELS.items():
            for place, level in enumerate(levels):
                base = 0.36 + 0.06 * place / (len(levels) - 1) - 0.03 * (cohort == "chest-phantom")
                for number in range(replicates):
                    noise = {finding: rng.normal(0, 0.02) for finding in ["mean", "mean_common", *findings]}
                    for source in sources:
                        keys = {"cohort": cohort, "experiment": f"{axis}-{level}", "axis": axis, "level": level}
                        keys |= {"source": source, "replicate": f"r{number}"}
                        for finding, error in noise.items():
                            value = 0.5 + SKILL[source] * (base + error)
                            width = 0.02 if "mean" in finding else 0.05
                            rows.append(_row(keys, "auroc", finding, value, width, simulated))
                            if source != "real" and "mean" in finding:
                                gap = (1 - SKILL[source]) * (base + error)
                                rows.append(_row(keys, "utility_gap", finding, gap, 0.02, simulated))
                                rows.append(_row(keys, "retention", finding, SKILL[source], 0.05, simulated))
    return pd.DataFrame(rows)


def _row(keys: dict, metric: str, finding: str, value: float, width: float, simulated: bool) -> dict[str, Any]:
    interval = {"value": value, "ci_low": value - width, "ci_high": value + width}
    rest = {"role": "value", "features": "", "parameter": ""}
    return {**keys, "study": "fabricated", "metric": metric, "finding": finding, **rest, **interval} | {
        "n": 118,
        "simulated": simulated,
    }


def study(**changes: Any) -> Study:
    """A study whose config matches `metrics`."""
    config = {
        "study": "fabricated",
        "cohorts": [
            {"name": "head-phantom", "phantom": {"anatomy": "head"}},
            {"name": "chest-phantom", "phantom": {"anatomy": "chest"}},
        ],
        "axes": [{"axis": axis, "levels": [int(level) for level in levels]} for axis, levels in LEVELS.items()],
    }
    return Study.model_validate(config | changes)


def records(findings: dict[str, str], count: int = 300, seed: int = 0) -> pd.DataFrame:
    """Records of a store: a third normal, each other image with one or two findings, three images per patient."""
    rng = np.random.default_rng(seed)
    names = list(findings)
    labels = np.zeros((count, len(names)))
    for row in range(count):
        chosen = [-1] if row % 3 == 0 else rng.choice(len(names) - 1, rng.integers(1, 3), replace=False)
        labels[row, chosen] = 1
    table = pd.DataFrame(labels, columns=names)
    table.insert(0, "patient_id", [f"pseudonym-{row // 3:04d}" for row in range(count)])
    table.insert(0, "image_id", [f"image-{row:05d}" for row in range(count)])
    return table


def split(table: pd.DataFrame) -> pd.DataFrame:
    """A split of `records`' patients, 80/10/10."""
    patients = sorted(set(table["patient_id"]))
    sides = np.array(["train"] * 8 + ["valid", "test"])[np.arange(len(patients)) % 10]
    return pd.DataFrame({"patient_id": patients, "side": sides})


def pictures(table: pd.DataFrame, findings: dict[str, str], side: int = 32, seed: int = 0) -> np.ndarray:
    """uint8 ``[N, 1, side, side]``: a noisy disc with one bright spot per finding."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    disc = 90.0 * (np.hypot(x, y * 0.85) < 0.4)
    images = np.repeat(disc[None], len(table), 0) + rng.normal(0, 8, (len(table), side, side))
    for number, finding in enumerate(findings):
        angle = 2 * np.pi * number / len(findings)
        spot = 120.0 * (np.hypot(x - 0.25 * np.cos(angle), y - 0.25 * np.sin(angle)) < 0.07)
        images += spot * (table[finding].to_numpy()[:, None, None] == 1) * (finding != "no_finding")
    return np.clip(images, 0, 255).astype(np.uint8)[:, None]


def store(folder: Path, cohort: str = "head-phantom", count: int = 300, seed: int = 0) -> ImageStore:
    """An ImageStore of `pictures`."""
    findings = COHORTS[cohort]
    table = records(findings, count, seed)
    info = StoreInfo(
        cohort=cohort,
        findings=[Finding(name=name, display=display) for name, display in findings.items()],
        units="HU",
        windows=[(0.0, 80.0)],
        resolution=32,
        channels=1,
        images=count,
        simulated=True,
    )
    write_store(folder, [pictures(table, findings, seed=seed)], table, info)
    return ImageStore(folder)


def history(path: Path, seed: int = 0, ticks: int = 40) -> Path:
    """A generator's history.csv."""
    rng = np.random.default_rng(seed)
    kimg = np.arange(1, ticks + 1) * 2.0
    falling = np.exp(-kimg / 30)
    table = pd.DataFrame(
        {
            "tick": np.arange(1, ticks + 1),
            "kimg": kimg,
            "seconds": kimg * 3,
            "generator_loss": 0.7 + falling + rng.normal(0, 0.05, ticks),
            "discriminator_loss": 0.6 - 0.2 * falling + rng.normal(0, 0.05, ticks),
            "r1": falling + rng.gamma(2, 0.02, ticks),
            "r2": falling + rng.gamma(2, 0.02, ticks),
            "kid": np.where(np.arange(ticks) % 4 == 3, falling, np.nan),
            "memory_mb": 800.0,
        }
    )
    table.to_csv(path, index=False)
    return path
