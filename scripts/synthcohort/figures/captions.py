"""Title, caption and alternative text of each figure: what is shown, how sure it is, and what it is not."""

from typing import NamedTuple

import pandas as pd

from synthcohort.figures.axes import axis_table
from synthcohort.figures.bars import Averaged, finding_table
from synthcohort.figures.numbers import NOT_TRAINED, POOLED, level_text
from synthcohort.figures.style import ordered_sources
from synthcohort.measures.distances import COPY_ALARM

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
    means = table[(table["finding"] == "mean") & (table["replicate"] == POOLED)]
    title = AXIS_TITLES.get(axis, f"AUROC against {axis}")
    return Words(title, _join(sentences), f"Line chart of mean AUROC against {axis}. {values_text(means, axis)}")


def values_text(means: pd.DataFrame, axis: str) -> str:
    """Write the values of each cohort and source at every level, for those who cannot see them."""
    lines = []
    for (cohort, source), rows in means.dropna(subset="value").groupby(["cohort", "source"], sort=False):
        points = [
            f"{value:.2f} at {level_text(axis, position)}"
            for position, value in sorted(zip(rows["position"], rows["value"], strict=True))
        ]
        lines.append(f"{cohort}, {source}: {', '.join(points)}")
    return "; ".join(lines) + "."


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


ROWS_OF_SAMPLES = (
    "Each row: what the generator (its averaged weights) draws after so many thousand real images shown, for the most "
    "frequent label combinations, two images each."
)
WALKS = (
    "Below, the state that was kept: from one noise vector to another under one label combination, and from one label "
    "combination to the next under one noise vector."
)


def samples_words(cohort: str, experiment: str, family: str, simulated: bool, grows: bool, copies: bool) -> Words:
    """Describe the figure of `draw_samples_figure`.

    Parameters
    ----------
    cohort, experiment, family : str
    simulated : bool
        Whether the cohort's patients are.
    grows : bool
        Whether the family went through several resolutions.
    copies : bool
        Whether the memorisation alarm was raised at any time.
    """
    noise = (
        "as long as the resolution stays: a new one begins with other noise. Of each resolution the last state and "
        "some before it are shown, enlarged to the last resolution."
    )
    sentences = [
        ROWS_OF_SAMPLES,
        f"Images in a column come from the same noise {noise if grows else 'throughout.'}",
        WALKS,
        "Drawn with a fixed seed, chosen neither by looks nor by the guide.",
        "All images are synthetic" + ("; the patients behind them are simulated." if simulated else "."),
    ]
    if copies:
        sentences.append("The memorisation alarm was raised in this training: some images may copy training images.")
    alt = f"Contact sheet of {family} samples for {cohort}, a row per state of the training, and two interpolations."
    return Words(f"Samples over training: {cohort}, {experiment}, {family}", _join(sentences), alt)


def training_words(cohort: str, axis: str) -> Words:
    """Describe the figure of `draw_training_figure`."""
    caption = (
        "Against thousand real images shown, of a growing generator over all its stages (dotted: a new resolution). "
        "First row: what means the same in every family, namely distance to real images (KID or Fréchet distance, "
        "lower is better; its features differ between levels, so compare families at one level only), estimated share "
        "of samples that copy a training image, and how often images are augmented. Other rows: each family’s own "
        "losses, which say nothing about another family. Points are evaluations, made every few ticks. Not smoothed."
    )
    alt = f"Line charts of the training histories of {cohort} along the {axis} axis, a row of panels per family."
    return Words(f"Training: {cohort}, {axis}", caption, alt)


GENERATOR_NOTE = (
    "Copies: estimated share of the kept state’s samples that copy a training image; from "
    f"{COPY_ALARM:.0%} on the memorisation alarm is raised. Kept is the state with the lowest distance to real images "
    "in the features named, or the last one. kimg: thousand real images shown, in a growing generator over all its "
    "stages. Training time: wall time of each job’s last run as Snakemake measured it; of all stages of a growing "
    "generator, also those trained for a lower level, so levels do not add up; and with the training of the guide (the "
    "classifier of real images) where a generator learns from it or its samples are chosen by it. Where only the stop "
    "rule looks at the guide’s features, its time is not counted."
)


def alarm_sentences(copiers: list[tuple[str, str, str, float]]) -> tuple[str, str]:
    """Say that generators copy training images: a sentence for the answer, and one for the limits.

    Parameters
    ----------
    copiers : list of tuple
        Cohort, experiment, family, and share of the kept state's samples that copy a training image.
    """
    names = [f"{family} on {cohort}, {experiment}" for cohort, experiment, family, _ in copiers]
    shares = [f"{name} (about {share:.0%})" for name, (*_, share) in zip(names, copiers, strict=True)]
    answer = (
        f"Samples of {'; '.join(shares)} copy training images, so that a classifier trained on them may have learnt "
        "from copies."
    )
    limit = (
        f"The memorisation alarm was raised for {'; '.join(names)}: what was drawn there may show training patients "
        "and must not be shared."
    )
    return answer, limit


def interval_sentence(metrics: pd.DataFrame, confidence: float) -> str:
    """Say what the intervals are over."""
    names = set(metrics.loc[metrics["metric"] == "auroc", "replicate"])
    own = names - {POOLED}
    level = f"{confidence:.0%} bootstrap intervals"
    if POOLED in names:
        count = len(own)
        return (
            f"Values are means of {count} replicates (dots: each); {level} over test patients and replicates, whose "
            f"part in them is too narrow with few of them (by a factor of about {((count - 1) / count) ** 0.5:.2f})."
        )
    if len(own) > 1:
        return (
            f"Values are means of {len(own)} replicates (dots: each); intervals reach from the lowest to the highest "
            f"end of the replicates' {level} over test patients."
        )
    return (
        f"{level} over test patients only: with a single replicate they do not show how another training would differ."
    )


def count_sentence(table: pd.DataFrame) -> str:
    """Say how many test patients stand behind the numbers."""
    counts = table.loc[table["value"].notna(), "n"]
    if counts.empty:
        return ""
    low, high = int(counts.min()), int(counts.max())
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
