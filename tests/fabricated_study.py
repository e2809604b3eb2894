"""A fabricated study for tests of figures and report: every number here is made up, none was measured."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.audit.gallery import make_cohort_sheet, make_gallery
from synthcohort.core.atomic import write_arrays
from synthcohort.core.config import Study
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.figures.axes import draw_axis_figure
from synthcohort.figures.bars import averaged_findings, draw_finding_figure
from synthcohort.figures.curves import draw_training_figure
from synthcohort.figures.gallery import draw_cohort_figure, draw_gallery_figure
from synthcohort.figures.report import CohortInputs, ReportInputs, read_benchmarks

HEAD = {
    "epidural": "Epidural",
    "intraparenchymal": "Intraparenchymal haemorrhage",
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
            "learning_rate": 0.001,
        }
    )
    table.to_csv(path, index=False)
    return path


def benchmarks(folder: Path) -> Path:
    """Snakemake's benchmark files of a few jobs; one job was too short for its memory to be sampled."""
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
    jobs = {"train_generator/a": (300.5, "810.2"), "train_generator/b": (61.0, "790.0"), "split/a": (0.4, "-")}
    for name, (seconds, memory) in jobs.items():
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{head}\n{seconds}\t0:00:00\t{memory}\t0\t0\t0\t0\t0\t99.0\t1.0\n")
    return folder


def experiments(cohort: str) -> pd.DataFrame:
    """experiments.csv; the chest's fracture has too few test patients to be averaged."""
    findings = list(COHORTS[cohort])
    averaged = [name for name in findings if name != "fracture"]
    rows = [
        {
            "experiment": f"{axis}-{level}",
            "axis": axis,
            "level": int(level),
            "resolution": int(level) if axis == "resolution" else 16,
            "combinations": 6,
            "train_images": 2400,
            "train_patients": 800,
            "valid_images": 300,
            "valid_patients": 100,
            "test_images": 300,
            "test_patients": 118,
            "averaged": ";".join(averaged),
            "common": ";".join(averaged),
        }
        for axis, levels in LEVELS.items()
        for level in levels
    ]
    return pd.DataFrame(rows)


def index() -> pd.DataFrame:
    """index.parquet with a few rejected files."""
    reasons = ["not a DICOM file"] * 3 + ["view not frontal"] * 5 + ["pixel data shorter than the header says"]
    status = ["accepted"] * 300 + ["rejected"] * len(reasons)
    ids = [f"fileid{number:04d}" for number in range(len(status))]
    return pd.DataFrame({"file_id": ids, "status": status, "reason": [None] * 300 + reasons})


def report_inputs(folder: Path, **changes: Any) -> ReportInputs:
    """Draw every figure of the fabricated study below `folder` and gather what the report needs."""
    table = metrics()
    cohorts, galleries, sheets = [], {}, {}
    figures, internal = folder / "figures", folder / "internal"
    for seed, cohort in enumerate(COHORTS):
        real = store(folder / cohort / "real", cohort, seed=seed)
        synthetic = store(folder / cohort / "synthetic", cohort, seed=seed + 10)
        selection = pd.DataFrame({"row": range(len(real)), "patient_id": real.records["patient_id"]})
        cohorts.append(CohortInputs(real.info, index(), real.records, split(real.records), experiments(cohort)))
        write_arrays(folder / "gallery.npz", make_gallery(real, selection, synthetic, seed=1))
        draw_gallery_figure(folder / "gallery.npz", internal / f"gallery-{cohort}", True, "r3-gan")
        galleries[cohort, "resolution-032", "r3-gan"] = internal / f"gallery-{cohort}"
        write_arrays(folder / "sheet.npz", make_cohort_sheet(real, np.arange(len(real)), seed=1))
        draw_cohort_figure(folder / "sheet.npz", internal / f"cohort-{cohort}", True)
        sheets[cohort] = internal / f"cohort-{cohort}"
    for axis in LEVELS:
        draw_axis_figure(table, axis, figures / axis)
    averaged = averaged_findings({item.info.cohort: item.experiments for item in cohorts}, "resolution-032")
    draw_finding_figure(table, "resolution-032", figures / "findings", averaged, HEAD | CHEST)
    histories = {f"head-phantom resolution-0{side}": history(folder / f"{side}.csv", side) for side in (16, 32)}
    draw_training_figure(histories, figures / "training")
    given: dict[str, Any] = {
        "study": study(),
        "metrics": table,
        "cohorts": cohorts,
        "axis_figures": {axis: figures / axis for axis in LEVELS},
        "finding_figures": {"resolution-032": figures / "findings"},
        "training_figures": {"r3-gan": figures / "training"},
        "gallery_figures": galleries,
        "cohort_figures": sheets,
        "benchmarks": read_benchmarks(benchmarks(folder / "benchmarks")),
        "digests": {f"{cohort} store": "0123456789abcdef" * 4 for cohort in COHORTS},
    }
    return ReportInputs(**(given | changes))
