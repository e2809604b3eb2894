"""What differential privacy costs: utility of dp-gan's samples at several ε, and without noise as a control.

Draws one radiograph each of 20 000 simulated patients at 16² with five findings, trains dp-gan at each ε, and a
classifier on as many samples as there are training patients. Every classifier is tested on the same real patients.
Writes docs/evidence/dp-gan.csv, row by row, and passes over rows that are there. About 5 minutes of one core per
training.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from synthcohort.classify.predict import predict
from synthcohort.classify.trainer import train_classifier
from synthcohort.core.atomic import read_json, write_csv
from synthcohort.core.config import Classifier, StopRule
from synthcohort.core.progress import configure_logging, track
from synthcohort.core.store import ImageStore, StoreInfo, write_store
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.registry import load_family
from synthcohort.gan.sampler import sample_to_store, wanted_labels
from synthcohort.gan.trainer import Material, train_generator
from synthcohort.measures.auroc import auroc
from synthcohort.phantoms import chest

PATIENTS, SEED, PREVALENCE = 20_000, 7, 0.05
FINDINGS = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural_effusion")
"""Those of the CheXpert competition (Irvin et al. 2019): few, so that no label combination is rare."""
DRAWN, SIDE, BLOCK = 32, 16, 100
TEST, VALID = 2000, 500
NO_NOISE = float("inf")
EPSILONS = (1.0, 3.0, 10.0, NO_NOISE)
CLASSIFIER = Classifier(network="small", kimg=40, patience=4)
RULE = StopRule(samples=500, every=20, patience=0)
SECRET = b"no secret: these patients are simulated"
CPU = torch.device("cpu")


def draw_store(folder: Path) -> ImageStore:
    """Draw the first image of each patient."""
    if (folder / "store.json").is_file():
        return ImageStore(folder)
    plan = chest.plan_images(PATIENTS, SEED, PREVALENCE).drop_duplicates("patient").reset_index(drop=True)
    findings = [finding for finding in chest.FINDINGS if finding.name in FINDINGS]
    images = np.empty((len(plan), 1, SIDE, SIDE), np.uint8)
    step = DRAWN // SIDE
    for first in track(range(0, len(plan), BLOCK), "drawing", unit="blocks"):
        drawn = chest.draw_images(plan.iloc[first : first + BLOCK], DRAWN, SEED).images
        small = drawn.reshape(-1, SIDE, step, SIDE, step).mean((2, 4))
        images[first : first + BLOCK, 0] = np.clip(small * 255 + 0.5, 0, 255)
    records = plan[[finding.name for finding in findings]].astype(float)
    records = records.assign(image_id=plan.index.astype(str), patient_id=plan["patient"].astype(str))
    info = StoreInfo(
        cohort="chest-phantom", findings=findings, units="drawn", windows=[(0.0, 1.0)], resolution=SIDE, channels=1,
        images=0, simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def utility(store: ImageStore, train: tuple[Any, Any], valid: tuple[Any, Any], folder: Path, seed: int) -> float:
    """Mean AUROC over findings, on real test patients, of a classifier trained on images of either kind."""
    network = train_classifier(train, valid, CLASSIFIER, seed, folder, CPU, False, "")
    scores, labels = predict(network, store, np.arange(TEST)), store.labels[:TEST]
    return float(np.mean([auroc(labels[:, k], scores[:, k]) for k in range(labels.shape[1])]))


def train_and_sample(store: ImageStore, folder: Path, epsilon: float, seed: int, changes: dict[str, Any]) -> Any:
    """Train dp-gan, draw a synthetic cohort; return generator.json and the stores of its two parts."""
    family = load_family("dp-gan")
    settings = resolve_settings(
        family.presets, "tiny", SIDE, epsilon=None if epsilon == NO_NOISE else epsilon, **changes
    )
    train, valid = np.arange(TEST + VALID, len(store)), np.arange(TEST, TEST + VALID)
    train_generator(Material(store, train, valid, secret=SECRET), family, settings, RULE, seed, folder, CPU)
    card = read_json(folder / "generator.json")
    parts = []
    for number, (side, rows) in enumerate({"train": train, "valid": valid}.items()):
        labels = {"train": store.labels[train], side: store.labels[rows]}
        wanted = wanted_labels(labels, side, 2 * seed + number, histogram=card["label_histogram"])
        sample_to_store(folder, wanted, folder / side, store.info, 2 * seed + number, CPU)
        parts.append((ImageStore(folder / side), np.arange(len(rows))))
    return card, *parts


def measure(store: ImageStore, folder: Path, epsilon: float, seed: int, real: float, changes: dict[str, Any]) -> Any:
    """One row of the table."""
    card, train, valid = train_and_sample(store, folder, epsilon, seed, changes)
    found = utility(store, train, valid, folder / "classifier", seed)
    told = card["privacy"]
    return {
        "cohort": "chest-phantom", "resolution": SIDE, "patients": told["patients"], "epsilon": epsilon, "seed": seed,
        "delta": told["delta"], "noise_multiplier": round(told["noise_multiplier"], 4), "steps": told["steps"],
        "sample_rate": round(told["sample_rate"], 5), "histogram_noise": round(told["histogram_noise"], 2),
        "auroc_real": round(real, 4), "auroc": round(found, 4), "retention": round((found - 0.5) / (real - 0.5), 3),
    }  # fmt: skip


def main() -> None:
    """Measure what is missing in the table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epsilon", type=float, action="append", help="of the settings; all where left out")
    parser.add_argument("--folder", type=Path, help="keep what is computed here")
    parser.add_argument("--output", type=Path, default=Path("docs/evidence/dp-gan.csv"))
    arguments = parser.parse_args()
    configure_logging()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        store = draw_store(folder / "real")
        train, valid = np.arange(TEST + VALID, len(store)), np.arange(TEST, TEST + VALID)
        real = utility(store, (store, train), (store, valid), folder / "classifier", 0)
        rows = pd.read_csv(arguments.output).to_dict("records") if arguments.output.is_file() else []
        done = {(row["epsilon"], row["seed"]) for row in rows}
        for seed in range(arguments.seeds):
            for epsilon in arguments.epsilon or EPSILONS:
                if (epsilon, seed) not in done:
                    rows.append(measure(store, folder / f"{epsilon:g}-{seed}", epsilon, seed, real, {}))
                    write_csv(arguments.output, pd.DataFrame(rows).sort_values(["epsilon", "seed"]))
    print(
        pd.DataFrame(rows).groupby("epsilon")[["auroc", "retention"]].agg(["mean", "min", "max"]).round(3).to_string()
    )


if __name__ == "__main__":
    main()
