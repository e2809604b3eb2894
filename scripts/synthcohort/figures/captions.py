"""Title, caption and alternative text of each figure: what is shown, how sure it is, and what it is not."""

from typing import NamedTuple

import pandas as pd

from synthcohort.figures.axes import axis_table
from synthcohort.figures.bars import Averaged, finding_table
from synthcohort.figures.numbers import NOT_TRAINED, POOLED, level_text
from synthcohort.figures.style import ordered_sources

AXIS_TITLES = {
    "resolution": "AUROC against resolution",
    "classes": "AUROC against the number of label combinations",
    "samples": "AUROC against the number of training images",
    "amount": "AUROC against the amount of synthetic images",
}


class Words(NamedTuple):
    """What stands beside a figure."""

    title: str
    caption: str
    alt: str


def axis_words(metrics: pd.DataFrame, axis: str, confidence: float) -> Words:
    """Describe the figure of `draw_axis_figure`."""
    table = axis_table(metrics, axis)
    sentences = [
        "Classifiers trained on real images and on each family's synthetic ones, tested on the same held-out patients.",
        interval_sentence(metrics[metrics["axis"] == axis], confidence),
        count_sentence(table),
        "Dashed: chance.",
    ]
    untrained = sorted(set(table.loc[(table["verdict"] == NOT_TRAINED) & (table["source"] != "real"), "source"]))
    if untrained:
        sentences.append(
            f"Hollow marks: not trained long enough, the interval reaches chance ({', '.join(untrained)})."
        )
    sentences.append(simulated_sentence(table))
    means = table[table["finding"] == "mean"].dropna(subset="value")
    lines = []
    for (cohort, source), rows in means.groupby(["cohort", "source"], sort=False):
        points = [
            f"{value:.2f} at {level_text(axis, position)}"
            for position, value in sorted(zip(rows["position"], rows["value"], strict=True))
        ]
        lines.append(f"{cohort}, {source}: {', '.join(points)}")
    title = AXIS_TITLES.get(axis, f"AUROC against {axis}")
    return Words(title, _join(sentences), f"Line chart of mean AUROC against {axis}. {'; '.join(lines)}.")


def finding_words(metrics: pd.DataFrame, experiment: str, confidence: float, averaged: Averaged) -> Words:
    """Describe the figure of `draw_finding_figure`."""
    table = finding_table(metrics, experiment, averaged)
    axis, _, level = experiment.rpartition("-")
    sentences = [
        "Findings in the order of the classifier trained on real images.",
        "Bars start at chance (0.5).",
        interval_sentence(metrics[metrics["experiment"] == experiment], confidence),
        count_sentence(table),
    ]
    if not table["averaged"].all():
        sentences.append("† and pale: too few positive or negative test patients; shown, but not part of the mean.")
    if (table["verdict"] == NOT_TRAINED).any():
        sentences.append("Hollow bars: the interval reaches chance.")
    sentences.append(simulated_sentence(table))
    sources = ", ".join(ordered_sources(table["source"]))
    counts = table[table["finding"] != "mean"].groupby("cohort", sort=False)["finding"].nunique()
    cohorts = ", ".join(f"{cohort} ({count} findings)" for cohort, count in counts.items())
    alt = f"Bar chart of AUROC per finding for {sources}, one panel per cohort: {cohorts}. Its CSV holds the numbers."
    return Words(f"AUROC per finding, {axis} {level_text(axis, int(level))}", _join(sentences), alt)


def gallery_words(cohort: str, experiment: str, source: str, simulated: bool) -> Words:
    """Describe the figure of `draw_gallery_figure`."""
    own = "the cohort's own images (simulated patients)" if simulated else "real patients' images"
    caption = (
        f"Left: {own}; right: {source} images with the same labels. Each row is a label combination, the most frequent "
        "first. Chosen by chance with a fixed seed, not by looks."
    )
    alt = f"Contact sheet of {cohort}: real images beside {source} images, a row per label combination."
    return Words(f"Real beside synthetic: {cohort}, {experiment}, {source}", caption, alt)


def cohort_words(cohort: str, simulated: bool) -> Words:
    """Describe the figure of `draw_cohort_figure`."""
    whose = "Simulated patients, drawn by this project." if simulated else "Real patients."
    caption = f"Each finding alone, or with as few others as there are, after normal images. {whose} Chosen by chance."
    return Words(
        f"The cohort: {cohort}", caption, f"Contact sheet of {cohort}: normal images, then each finding alone."
    )


def training_words(subject: str) -> Words:
    """Describe the figure of `draw_training_figure`."""
    caption = "Every quantity that the training recorded, per tick, against thousand real images shown. Not smoothed."
    return Words(f"Training: {subject}", caption, f"Line charts of the training history of {subject}.")


def interval_sentence(metrics: pd.DataFrame, confidence: float) -> str:
    """Say what the intervals are over."""
    names = set(metrics["replicate"])
    own = names - {POOLED}
    level = f"{confidence:.0%} bootstrap intervals"
    if POOLED in names:
        return f"{level} over test patients and {len(own) or 'several'} replicates."
    if len(own) > 1:
        return (
            f"Values are means of {len(own)} replicates; intervals reach from the lowest to the highest end of the "
            f"replicates' {level} over test patients."
        )
    return (
        f"{level} over test patients only: with a single replicate they do not show how another training would differ."
    )


def count_sentence(table: pd.DataFrame) -> str:
    """Say how many test patients stand behind the numbers."""
    if table.empty:
        return ""
    low, high = int(table["n"].min()), int(table["n"].max())
    return f"n = {low} test patients." if low == high else f"n = {low} to {high} test patients."


def simulated_sentence(table: pd.DataFrame) -> str:
    """Name the simulated cohorts, if any."""
    simulated = sorted(set(table.loc[table["simulated"], "cohort"]))
    if not simulated:
        return ""
    return (
        "All patients are simulated."
        if len(simulated) == table["cohort"].nunique()
        else (f"The patients of {', '.join(simulated)} are simulated.")
    )


def _join(sentences: list[str]) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
