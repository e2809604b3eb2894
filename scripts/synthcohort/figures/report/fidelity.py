"""The report's tables of what a machine can tell apart, and of nearest neighbours: values beside their controls."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from synthcohort.figures.report.table import Table

KEYS = ["cohort", "experiment", "source", "replicate"]
DETECTION_NOTE = (
    "A small network learns to tell held-out real images from synthetic ones with the same labels, and is tested on "
    "patients and images that it has not seen. AUROC 0.5: it cannot; 1: always. Controls: held-out against training "
    "images, both real, and the same with noise (σ = 25 of 255). It says what a machine finds, not what a reader would."
)
NEIGHBOUR_NOTE = (
    "Median over synthetic images (5000 at most) of the distance to the nearest training image, divided by that to the "
    "nearest held-out one (as many of both). 1: no nearer to training patients than to others. Real: test images in "
    "their place. Copies: training images with noise. A median does not see a few copies; this describes, and proves "
    "nothing."
)

ATTRIBUTION_NOTE = (
    "Agreement: mean rank correlation of a map with that of the real-trained classifier, on the same real test image. "
    "Overlap: AUROC of the map’s magnitude at the drawn lesion against the rest of the image (simulated patients). "
    "Another image: the source’s map of another patient’s image with the same finding in place of its own, which shows "
    "how much is due to where findings lie in general. Untrained: a network that has learnt nothing."
)
METHODS = {"occlusion": "Occlusion", "integrated_gradients": "Integrated Gradients", "grad_cam": "Grad-CAM"}


def attribution_tables(metrics: pd.DataFrame) -> list[Table]:
    """Tabulate how alike attribution maps are, and how far they lie on lesions; empty where that was not measured."""
    rows = metrics[metrics["metric"].str.startswith("attribution_") & (metrics["finding"] == "mean")]
    rows = rows.assign(
        metric=rows["metric"] + rows["parameter"], source=rows["source"].mask(rows["role"] == "floor", "untrained")
    ).replace({"role": {"floor": "value"}})
    captions = {
        "attribution_agreement": "Do classifiers look at the same places?",
        "attribution_overlap": "Do they look at the lesions?",
    }
    tables = []
    for metric, caption in captions.items():
        columns = {
            f"{name}{note}": (metric + method, role)
            for method, name in METHODS.items()
            for role, note in {"value": "", "negative_control": ", another image"}.items()
        }
        tables.append(_table(rows, caption, columns))
    return [table for table in tables if table is not None]


def detection_table(metrics: pd.DataFrame) -> Table | None:
    """Tabulate whether a machine tells synthetic images from real ones; None where that was not measured."""
    columns = {
        "AUROC": ("machine_auroc", "value"),
        "Accuracy": ("machine_accuracy", "value"),
        "Real against real": ("machine_auroc", "negative_control"),
        "Real against noised": ("machine_auroc", "positive_control"),
    }
    rows = metrics[metrics["metric"].isin({metric for metric, _ in columns.values()})]
    families, controls = rows[rows["role"] == "value"], rows[rows["role"] != "value"]
    beside = controls.drop(columns="source").merge(families[KEYS].drop_duplicates())
    return _table(pd.concat([families, beside]), "Can a machine tell?", columns)


def neighbour_table(metrics: pd.DataFrame) -> Table | None:
    """Tabulate how near synthetic images are to training patients; None where that was not measured."""
    rows = metrics[metrics["metric"] == "nearest_ratio"]
    spaces = ["pixels" if features == "pixels" else "judge" for features in rows["features"]]
    columns = {
        f"{name}, {space}": (space, role)
        for space in sorted(set(spaces))
        for name, role in {"Synthetic": "value", "Real": "negative_control", "Copies": "positive_control"}.items()
    }
    return _table(rows.assign(metric=spaces), "Nearest neighbours: training against held-out patients", columns)


def _table(metrics: pd.DataFrame, caption: str, columns: dict[str, tuple[str, str]]) -> Table | None:
    """Lay out one row per run, and per column the value and interval of one metric and role."""
    rows = metrics[metrics["metric"].isin({metric for metric, _ in columns.values()})]
    if rows.empty:
        return None
    cells = {(*(row[key] for key in KEYS), row["metric"], row["role"]): _cell(row) for row in rows.to_dict("records")}
    several = rows["replicate"].nunique() > 1
    runs = sorted(set(rows[KEYS].itertuples(index=False, name=None)))
    shown = [[*run[:3], *([run[3]] if several else [])] for run in runs]
    values = [[cells.get((*run, *column), "–") for column in columns.values()] for run in runs]
    heads = ["Cohort", "Experiment", "Family", *(["Replicate"] if several else [])]
    body = [[*names, *numbers] for names, numbers in zip(shown, values, strict=True)]
    return Table(caption, [*heads, *columns], body, words=len(heads))


def _cell(row: Mapping[Any, Any]) -> str:
    low, high = row["ci_low"], row["ci_high"]
    return f"{row['value']:.2f}" + ("" if pd.isna(low) else f" ({low:.2f} to {high:.2f})")
