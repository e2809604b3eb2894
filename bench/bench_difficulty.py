"""How hard the embedded cohorts are: AUROC per finding of a classifier trained on real (that is, drawn) images.

Draws 20 000 images of each cohort with the default study's prevalence, splits them by patient (5 000 images for
testing), and trains the default study's classifier at 16², 32² and 64². Writes docs/evidence/difficulty-*.csv.
About 15 minutes per cohort on one core.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from synthcohort.classify.predict import predict
from synthcohort.classify.trainer import train_classifier
from synthcohort.core.config import Classifier
from synthcohort.core.progress import configure_logging, track
from synthcohort.core.store import ImageStore, StoreInfo, write_store
from synthcohort.measures.auroc import auroc
from synthcohort.phantoms import chest, head

COHORTS = {"head-phantom": (head, (0.0, 80.0), 3700), "chest-phantom": (chest, (0.0, 1.0), 10_000)}
IMAGES, TEST, VALID = 20_000, 5_000, 1_500
SIDE, SIZES = 128, (16, 32, 64)
SEED, PREVALENCE, BLOCK = 7, 0.05, 100


def draw_stores(name: str, folder: Path) -> pd.DataFrame:
    """Draw a cohort straight into one store per size; the window is the default study's."""
    anatomy, (low, high), patients = COHORTS[name]
    plan = anatomy.plan_images(patients, SEED, PREVALENCE).iloc[:IMAGES].reset_index(drop=True)
    assert len(plan) == IMAGES, f"more patients are needed: {len(plan)} images"
    images = np.empty((IMAGES, SIDE, SIDE), np.uint8)
    for first in track(range(0, IMAGES, BLOCK), f"{name}: drawing", unit="blocks"):
        drawn = anatomy.draw_images(plan.iloc[first : first + BLOCK], SIDE, SEED).images
        images[first : first + BLOCK] = np.clip((drawn - low) / (high - low) * 255 + 0.5, 0, 255)
    findings = [finding.name for finding in anatomy.FINDINGS]
    records = (
        plan[findings].astype(float).assign(image_id=plan.index.astype(str), patient_id=plan["patient"].astype(str))
    )
    for size in SIZES:
        step = SIDE // size
        small = images.reshape(IMAGES, 1, size, step, size, step).mean((3, 5))
        info = StoreInfo(
            cohort=name, findings=list(anatomy.FINDINGS), units="drawn", windows=[(low, high)], resolution=size,
            channels=1, images=0, simulated=True,
        )  # fmt: skip
        write_store(folder / str(size), [(small + 0.5).astype(np.uint8)], records, info)
    return plan


def measure(name: str, folder: Path) -> pd.DataFrame:
    """AUROC per finding and size."""
    plan = draw_stores(name, folder)
    rows = np.arange(IMAGES)
    # Patients are independent and their rows follow each other: whole patients at either end.
    starts = np.flatnonzero(plan["patient"].diff().ne(0))
    cut, stop = starts[starts >= TEST][0], starts[starts >= TEST + VALID][0]
    table = []
    for size in SIZES:
        store = ImageStore(folder / str(size))
        settings = Classifier(network="small", kimg=120, patience=4)
        train, valid = (store, rows[stop:]), (store, rows[cut:stop])
        device = torch.device("cpu")
        network = train_classifier(train, valid, settings, SEED, folder / f"run{size}", device, name[0] == "h", "")
        scores, labels = predict(network, store, rows[:cut]), store.labels[:cut]
        for column, finding in enumerate(store.info.finding_names):
            positive = labels[:, column] == 1
            table.append(
                {
                    "cohort": name,
                    "finding": finding,
                    "resolution": size,
                    "auroc": round(auroc(labels[:, column], scores[:, column]), 4),
                    "prevalence": round(float(positive.mean()), 4),
                    "test_images": int(cut),
                    "positive_test_patients": plan["patient"][:cut][positive].nunique(),
                }
            )
    return pd.DataFrame(table)


def main() -> None:
    """Measure both cohorts, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohort", choices=list(COHORTS), action="append")
    parser.add_argument("--output", type=Path, default=Path("docs/evidence"))
    arguments = parser.parse_args()
    configure_logging()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.cohort or COHORTS:
        with tempfile.TemporaryDirectory() as folder:
            table = measure(name, Path(folder))
        table.to_csv(arguments.output / f"difficulty-{name}.csv", index=False)
        print(table.pivot_table(index="finding", columns="resolution", values="auroc", sort=False).to_string())
        print("mean", table.groupby("resolution")["auroc"].mean().round(4).to_dict())


if __name__ == "__main__":
    main()
