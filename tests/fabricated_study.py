"""A fabricated study for tests of figures and report: every number here is made up, none was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.audit.gallery import make_cohort_sheet, make_gallery
from synthcohort.core.atomic import write_arrays, write_json
from synthcohort.core.config import Study
from synthcohort.core.files import Files
from synthcohort.core.plan import Plan
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.figures.axes import draw_axis_figure
from synthcohort.figures.bars import averaged_findings, draw_finding_figure
from synthcohort.figures.curves import draw_training_figure
from synthcohort.figures.gallery import draw_cohort_figure, draw_gallery_figure
from synthcohort.figures.paper import draw_paper_figure
from synthcohort.figures.report import CohortInputs, ReportInputs, read_benchmarks
from synthcohort.figures.report.generators import GeneratorRun
from synthcohort.figures.samples import draw_samples_figure

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
FAMILIES = ["prog-gan", "cpd-gan", "r3-gan"]
RUN = "{cohort}/{experiment}/{source}/{replicate}"
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
        "axes": [
            {
                "axis": axis,
                "levels": [int(level) for level in levels],
                "families": FAMILIES if axis == "resolution" else FAMILIES[-1:],
            }
            for axis, levels in LEVELS.items()
        ],
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


def history(
    family: str = "r3-gan", sides: tuple[int, ...] = (32,), ticks: int = 40, copied: float = 0.0
) -> pd.DataFrame:
    """A generator's history.csv; every fourth tick is evaluated, and half-way on a share `copied` copies."""
    rng = np.random.default_rng(sum(sides) + len(family))
    kimg = np.arange(1, ticks + 1) * 2.0
    falling = np.exp(-kimg / 30)
    evaluated = np.arange(ticks) % 4 == 3
    table = pd.DataFrame(
        {
            "tick": np.arange(1, ticks + 1),
            "kimg": kimg,
            "loss_discriminator": 0.6 - 0.2 * falling + rng.normal(0, 0.05, ticks),
            "score_real": rng.normal(1, 0.1, ticks),
            "score_fake": rng.normal(-1, 0.1, ticks),
            "penalty": falling + rng.gamma(2, 0.02, ticks),
        }
    )
    if family == "prog-gan":
        stage = np.arange(ticks) * len(sides) // ticks
        table["label_loss_real"] = table["label_loss_fake"] = 1 + falling + rng.normal(0, 0.05, ticks)
        table["fade"] = np.minimum(1, rng.random(ticks) + 0.5)
        table["stage"] = np.array(sides)[stage]
    table["augmentation"] = 0.1 * (1 - falling)
    table["overfitting"] = rng.normal(0, 0.1, ticks)
    table["copied"] = np.where(evaluated, np.where(kimg > ticks, copied, 0.0), np.nan)
    table["kid"] = np.where(evaluated, falling * (1.2 - SKILL[family]), np.nan)
    return table


def samples(sides: tuple[int, ...] = (32,), findings: dict[str, str] = HEAD) -> dict[str, np.ndarray]:
    """A generator's samples.npz: three states of each resolution, four combinations, two images each."""
    table = records(findings, count=10)
    grids = []
    for number, side in enumerate(side for side in sides for _ in range(3)):
        scale = sides[-1] // side
        images = pictures(table, findings, side, number)[:8].repeat(scale, -1).repeat(scale, -2)
        grids.append(images.reshape(4, 2, *images.shape[1:]))
    walk = pictures(table, findings, sides[-1], 1)[:9]
    names = ["no_finding", *list(findings)[:2], "+".join(list(findings)[:3])]
    kimg = 80.0 * np.arange(1, len(grids) + 1) / len(grids)
    return {
        "kimg": kimg,
        "grids": np.stack(grids),
        "combinations": np.array(names),
        "noise_walk": walk,
        "label_walk": walk[::-1],
    }


def card(family: str = "r3-gan", sides: tuple[int, ...] = (32,), **changes: Any) -> dict[str, Any]:
    """A generator's generator.json, as far as the report reads it."""
    given = {
        "family": family,
        "resolution": sides[-1],
        "kimg": 72.0,
        "trained_kimg": 80.0,
        "stopped_early": family == "cpd-gan",
        "stop_metric": "kid",
        "stop_features": "guide (small)",
        "copied": 0.0,
        "guided": family == "r3-gan",
    }
    return given | ({"stages": list(sides)} if family == "prog-gan" else {}) | changes


def generator(folder: Path, copied: float = 0.0) -> Path:
    """Write what a generator leaves in ``{cohort}/{experiment}/{family}/{replicate}``, as far as it is shown."""
    cohort, experiment, family, _ = folder.parts[-4:]
    side = int(experiment.rpartition("-")[2]) if experiment.startswith("resolution") else 16
    sides = tuple(stage for stage in (8, 16, 32) if stage <= side) if family == "prog-gan" else (side,)
    folder.mkdir(parents=True)
    write_json(folder / "generator.json", card(family, sides, copied=copied))
    history(family, sides, copied=copied).to_csv(folder / "history.csv", index=False)
    write_arrays(folder / "samples.npz", samples(sides, COHORTS[cohort]))
    return folder


def benchmarks(folder: Path, jobs: Mapping[str, tuple[float, str]]) -> Path:
    """Snakemake's benchmark files: rule/job → seconds and memory in MB (``-`` where a job was too short for it)."""
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
    for name, (seconds, memory) in jobs.items():
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{head}\n{seconds}\t0:00:00\t{memory}\t0\t0\t0\t0\t0\t99.0\t1.0\n")
    return folder


def study_benchmarks(folder: Path, plan: Plan) -> pd.DataFrame:
    """Benchmarks of every training of the study: a guide took 20 s, a stage 100 s, any other generator 300.5 s."""
    jobs: dict[str, tuple[float, str]] = {"split/head-phantom": (0.4, "-")}
    for name in Files(plan).expand("{cohort}-{experiment}-{source}-{replicate}"):
        if "-real-" in name:
            jobs[f"train_classifier/{name}"] = (20.0, "700.1")
        elif "prog-gan" in name:
            jobs |= {f"train_stage/{name}-{side:03d}": (100.0, "900.0") for side in (8, 16, 32)}
        else:
            jobs[f"train_generator/{name}"] = (300.5, "810.2")
    return read_benchmarks(benchmarks(folder, jobs))


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
        draw_paper_figure(table, axis, figures / f"paper-{axis}", "two_columns", {"head-phantom": "head"})
    averaged = averaged_findings({item.info.cohort: item.experiments for item in cohorts}, "resolution-032")
    draw_finding_figure(table, "resolution-032", figures / "findings", averaged, HEAD | CHEST)
    plan = Plan(study())
    run_folders = [
        generator(Path(path), copied=0.25 * path.endswith("chest-phantom/samples-00050/r3-gan/r0"))
        for path in Files(plan).expand_generators(f"{folder}/cohorts/{RUN}")
    ]
    for axis in ("resolution", "samples"):
        of_axis = [path for path in run_folders if path.parts[-4] == "chest-phantom" and axis in path.parts[-3]]
        draw_training_figure(
            {path.parts[-3:]: path / "history.csv" for path in of_axis}, axis, figures / f"training-{axis}"
        )
    samples_figures = {}
    for family in FAMILIES:
        key = ("head-phantom", "resolution-032", family)
        samples_figures[key] = figures / f"samples-{family}"
        run = folder.joinpath("cohorts", *key, "r0", "samples.npz")
        draw_samples_figure(run, samples_figures[key], f"{family} on head-phantom, resolution-032", True)
    measured = study_benchmarks(folder / "benchmarks", plan)
    given: dict[str, Any] = {
        "study": study(),
        "metrics": table,
        "cohorts": cohorts,
        "axis_figures": {axis: figures / axis for axis in LEVELS},
        "paper_figures": {axis: figures / f"paper-{axis}" for axis in LEVELS},
        "published": {"head-phantom": "head"},
        "finding_figures": {"resolution-032": figures / "findings"},
        "training_figures": {
            ("chest-phantom", axis): figures / f"training-{axis}" for axis in ("resolution", "samples")
        },
        "samples_figures": samples_figures,
        "generators": [GeneratorRun.read(path, plan, measured) for path in run_folders],
        "gallery_figures": galleries,
        "cohort_figures": sheets,
        "benchmarks": measured,
        "digests": {f"{cohort} store": "0123456789abcdef" * 4 for cohort in COHORTS},
    }
    return ReportInputs(**(given | changes))
