"""What changes of a generator's settings are worth: utility and diversity of its samples per minute of training.

    make demo
    python bench/screen_generators.py results/demo

Takes real images, guide and judge of a finished study. Every trial trains a generator, draws a synthetic cohort,
trains a classifier on it and tests that on the real test patients. Writes docs/evidence/trials.csv, row by row, and
passes over rows that are there. Two minutes of one core per trial at 16².
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from synthcohort.audit.judge import judge_rows, thin_rows
from synthcohort.classify.networks import load_classifier
from synthcohort.classify.predict import predict
from synthcohort.classify.trainer import train_classifier
from synthcohort.cohort.findings import finding_list
from synthcohort.core.atomic import read_json, write_csv
from synthcohort.core.checkpoint import read_weights, write_weights
from synthcohort.core.config import StopRule, Study
from synthcohort.core.load import read_study
from synthcohort.core.progress import configure_logging, track
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.gan import r3_gan
from synthcohort.gan.family import Batch, Players
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.registry import load_family
from synthcohort.gan.sampler import sample_to_store, wanted_labels
from synthcohort.gan.trainer import Material, train_generator
from synthcohort.measures.auroc import auroc
from synthcohort.measures.bootstrap import retention
from synthcohort.measures.manifold import manifold_measures

CPU = torch.device("cpu")
RULE = StopRule(every=20, patience=0)
LABEL_WEIGHT = 0.1
HEAD, CHEST = "head-phantom", "chest-phantom"


@dataclass(frozen=True)
class Trial:
    """One change of a family's preset.

    Attributes
    ----------
    name : str
        As in the table.
    settings : dict
        Fields of the family's settings that differ.
    guided, label_loss, constant_penalty : bool
        Whether r3-gan has heads on the guide's features; whether the guide also classifies samples, as an auxiliary
        classifier does; whether γ stays.
    truncations : tuple of float
        Samples are drawn with latent vectors scaled by each of these.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    guided: bool = True
    label_loss: bool = False
    constant_penalty: bool = False
    truncations: tuple[float, ...] = (1.0,)


# At 16², in about the same CPU time: kimg makes up for what a step costs.
SCREENED = [
    Trial("none", truncations=(1.0, 0.85, 0.7)),
    Trial("no heads on the guide's features", {"kimg": 38}, guided=False),
    Trial("two blocks per side", {"blocks": 2, "kimg": 19}),
    Trial("the guide classifies samples, weight 0.1", {"kimg": 26}, label_loss=True),
    Trial("augmentation 0.2", {"augmentation": 0.2}),
    Trial("γ × 3", {"penalty": 0.9}),
    Trial("γ / 3", {"penalty": 0.1}),
    Trial("γ constant", constant_penalty=True),
]
FEW_IMAGES = [
    Trial("no augmentation", {"augmentation": 0.0, "kimg": 40}),
    Trial("adaptive augmentation", {"augmentation": None, "kimg": 40}),
]
UNGUIDED = [
    Trial("no heads, no augmentation, long", {"augmentation": 0.0, "kimg": 120}, guided=False),
    Trial("no heads, adaptive augmentation, long", {"augmentation": None, "kimg": 120}, guided=False),
]
PROGRAMME = [
    *(("r3-gan", cohort, "resolution-016", trial, 2) for trial in SCREENED for cohort in (HEAD, CHEST)),
    *(("r3-gan", CHEST, "samples-00040", trial, 3) for trial in UNGUIDED),
    *(("cpd-gan", CHEST, "samples-00040", trial, 3) for trial in FEW_IMAGES),
]


class Experiment:
    """An experiment of a finished study, as its generators see it."""

    def __init__(self, study: Path, config: Study, cohort: str, name: str) -> None:
        home = study / "cohorts" / cohort
        selection = pd.read_parquet(home / name / "selection.parquet")
        self.rows = {side: part["row"].to_numpy() for side, part in selection.groupby("side")}
        self.guide = load_classifier(home / name / "real/r0", CPU)
        self.resolution = read_json(home / name / "real/r0/classifier.json")["resolution"]
        self.store = ImageStore(home / "store" / f"{self.resolution:03d}")
        self.judge = load_classifier(home / "judge" / f"{self.resolution:03d}", CPU)
        self.config = config
        self.cohort = next(one for one in config.cohorts if one.name == cohort)
        table = pd.read_csv(home / "experiments.csv", keep_default_na=False).set_index("experiment")
        averaged = finding_list(table.loc[name, "averaged"])
        self.findings = [self.store.info.finding_names.index(finding) for finding in averaged]
        self.seed = derive_seed(config.seed, "classifier", cohort, name, replicate="r0")
        self.auroc_real = self.test_auroc(self.guide)

    def mean_auroc(self, scores: Any, labels: Any) -> float:
        """Average over the experiment's findings."""
        known = [(labels[:, k], scores[:, k], ~np.isnan(labels[:, k])) for k in self.findings]
        return float(np.mean([auroc(label[there], score[there]) for label, score, there in known]))

    def test_auroc(self, network: Any) -> float:
        """Mean AUROC of a classifier on the real test patients."""
        test = self.rows["test"]
        return self.mean_auroc(predict(network, self.store, test), self.store.labels[test])


def with_label_loss(players: Players, batch: Batch, settings: Any) -> dict[str, torch.Tensor]:
    """r3-gan's gradients, and those of an auxiliary classifier (Odena et al. 2017), here the frozen guide."""
    report = r3_gan.backward(players, batch, settings)
    logits = players.views.guide(players.generator(batch.latents, batch.labels))
    loss = functional.binary_cross_entropy_with_logits(logits.float(), batch.labels)
    (LABEL_WEIGHT * loss).backward()
    return {**report, "label_loss_fake": loss.detach()}


def train(trial: Trial, family_name: str, experiment: Experiment, seed: int, folder: Path) -> float:
    """Train the trial's generator; return CPU seconds."""
    family = load_family(family_name)
    if family.guided:
        backward: Callable[..., Any] = with_label_loss if trial.label_loss else family.backward
        family = replace(family, guided=trial.guided, backward=backward)
    flip = experiment.cohort.horizontal_flip
    changes = {"augmentation": None, "horizontal_flip": flip, **trial.settings}
    settings = resolve_settings(family.presets, "tiny", experiment.resolution, **changes)
    rows = experiment.rows
    material = Material(experiment.store, rows["train"], rows["valid"], experiment.guide)
    floor = 1.0 if trial.constant_penalty else r3_gan.PENALTY_FLOOR
    start = time.process_time()
    with mock.patch.object(r3_gan, "PENALTY_FLOOR", floor):
        train_generator(material, family, settings, RULE, seed, folder, CPU, tuple(experiment.cohort.augmentation))
    return time.process_time() - start


def truncate(folder: Path, scale: float, into: Path) -> Path:
    """Copy an r3-gan generator that sees its latent vectors scaled: its first layer's weights are."""
    into.mkdir()
    card = read_json(folder / "generator.json")
    weights = read_weights(folder / "generator.safetensors")
    weights["base.weight"][:, : card["architecture"]["latent"]] *= scale
    write_weights(into / "generator.safetensors", weights)
    (into / "generator.json").write_bytes((folder / "generator.json").read_bytes())
    return into


def measure(experiment: Experiment, folder: Path, seed: int) -> dict[str, Any]:
    """Draw a synthetic cohort, train a classifier on it, and judge it."""
    labels = {side: experiment.store.labels[rows] for side, rows in experiment.rows.items()}
    parts = []
    for number, side in enumerate(("train", "valid")):
        wanted = wanted_labels(labels, side, 2 * seed + number)
        sample_to_store(folder, wanted, folder / side, experiment.store.info, 2 * seed + number, CPU)
        made = ImageStore(folder / side)
        parts.append((made, made.all_rows))
    network = train_classifier(
        *parts, experiment.config.classifier, experiment.seed, folder / "classifier", CPU,
        experiment.cohort.horizontal_flip, "",
    )  # fmt: skip
    found = experiment.test_auroc(network)
    rows = thin_rows(experiment.rows["train"], seed)
    made = parts[0][0]
    judged = judge_rows(experiment.judge, made, thin_rows(made.all_rows, seed))
    same = min(len(rows), len(judged))
    features = judge_rows(experiment.judge, experiment.store, rows[:same]).features
    guided = experiment.mean_auroc(predict(experiment.guide, *parts[0]), made.labels)
    measured = {
        "auroc": found,
        "auroc_real": experiment.auroc_real,
        "retention": float(retention(found, experiment.auroc_real)),
        "guide_label_auroc": guided,
        "judge_label_auroc": experiment.mean_auroc(judged.scores, judged.labels),
        **manifold_measures(features, judged.features[:same]),
    }
    return {name: round(value, 3) for name, value in measured.items()}


def run(study: Path, config: Study, family: str, cohort: str, name: str, trial: Trial, seed: int) -> list[dict]:
    """Rows of one trial: one per truncation."""
    torch.set_num_threads(1)
    experiment = Experiment(study, config, cohort, name)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "whole"
        seconds = train(trial, family, experiment, derive_seed(config.seed, f"trial-{seed}"), folder)
        card = read_json(folder / "generator.json")
        history = pd.read_csv(folder / "history.csv")
        rows = []
        for scale in trial.truncations:
            whole = scale == 1
            from_folder = folder if whole else truncate(folder, scale, Path(temporary) / f"{scale}")
            rows.append(
                {
                    "cohort": cohort,
                    "experiment": name,
                    "family": family,
                    "changes": trial.name if whole else f"latent vectors × {scale}",
                    "seed": seed,
                    "kimg": card["trained_kimg"],
                    "cpu_seconds": round(seconds),
                    **measure(experiment, from_folder, seed),
                    "copied": round(card["copied"], 3),
                    "augmentation_at_end": round(float(history["augmentation"].iloc[-1]), 2),
                }
            )
    return rows


def main() -> None:
    """Run what is missing in the table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="folder of a finished study, such as results/demo")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="that study's config")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("docs/evidence/trials.csv"))
    given = parser.parse_args()
    configure_logging()
    config = read_study(given.config)
    rows = pd.read_csv(given.output).to_dict("records") if given.output.is_file() else []
    done = {(row["family"], row["cohort"], row["experiment"], row["changes"], row["seed"]) for row in rows}
    wanted = [
        (family, cohort, name, trial, seed)
        for family, cohort, name, trial, trainings in PROGRAMME
        for seed in range(trainings)
        if (family, cohort, name, trial.name, seed) not in done
    ]
    with ProcessPoolExecutor(given.cores, get_context("spawn")) as pool:
        trials = [pool.submit(run, given.study, config, *one) for one in wanted]
        for trial in track(as_completed(trials), "trials", len(trials), "trials"):
            rows += trial.result()
            write_csv(given.output, pd.DataFrame(rows).sort_values(["family", "cohort", "changes", "seed"]))
    table = pd.DataFrame(rows).groupby(["family", "cohort", "experiment", "changes"])
    print(table[["cpu_seconds", "retention", "recall", "coverage"]].agg(["mean", "min", "max"]).round(2).to_string())


if __name__ == "__main__":
    main()
