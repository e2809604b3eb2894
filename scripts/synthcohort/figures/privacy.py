"""What synthetic cohorts give away against an axis: attacks and copies, beside their controls."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from synthcohort.audit.privacy_vocabulary import (
    CALIBRATED,
    CLOSEST_RECORD,
    DENSITY_RATIO,
    DISCRIMINATOR,
    HALVES,
    PATIENT,
    THIRD_GROUP,
    attack_parameter,
)
from synthcohort.figures.captions import Words, simulated_sentence
from synthcohort.figures.multiples import (
    NOT_MEASURED,
    Control,
    Multiples,
    Panel,
    order_rows,
    panel_rows,
    save_multiples,
)
from synthcohort.figures.numbers import POOLED, level_text, one_axis
from synthcohort.figures.style import CHANCE, styled

REPLAYED = "replayed"
ATTACKS = {CLOSEST_RECORD: "pixels", CALIBRATED: "pixels", DENSITY_RATIO: "judge", DISCRIMINATOR: DISCRIMINATOR}
"""Attacks with a panel, and the features that they look at there; tables/privacy.csv has all."""
COPIES = {"authenticity": "pixels", "alpha_precision": "judge", "beta_recall": "judge"}
"""The same of the measures of whole samples."""
PANELS = {
    CLOSEST_RECORD: Panel("Closest record", "↓", 0.4, 1, (REPLAYED,), CHANCE),
    CALIBRATED: Panel("Calibrated distance", "↓", 0.4, 1, (REPLAYED,), CHANCE),
    DENSITY_RATIO: Panel("Density ratio", "↓", 0.4, 1, (REPLAYED,), CHANCE),
    DISCRIMINATOR: Panel("Discriminator", "↓", 0.4, 1, (), CHANCE),
    "authenticity": Panel("Authenticity", "↑", 0, 1, (REPLAYED,)),
    "alpha_precision": Panel("α-precision", "↑", 0, 1, (REPLAYED,)),
    "beta_recall": Panel("β-recall", "↑", 0, 1, (REPLAYED,)),
}
DESIGN = Multiples(
    PANELS, {REPLAYED: Control("training images replayed", (0, (4, 1.5)))}, "nothing to find", 2
)  # fmt: skip


def privacy_rows(metrics: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Tabulate what the figure of an axis shows; empty where nothing could be attacked."""
    return order_rows(_parts(one_axis(metrics, axis)), PANELS)


def _parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    spaces = rows["features"].str.partition(" ")[0]
    for attack, space in ATTACKS.items():
        own = rows[(rows["metric"] == "attack_auroc") & (spaces == space)]
        plain, third, halves = (attack_parameter(attack, PATIENT, control) for control in ("", THIRD_GROUP, HALVES))
        # Nobody can replay images to a discriminator: there one half of the non-members stands for members.
        floor = halves if attack == DISCRIMINATOR else third
        yield panel_rows(own[(own["role"] == "value") & (own["parameter"] == plain)], attack, "value")
        yield panel_rows(own[own["parameter"] == floor], attack, "floor")
        replayed = own[(own["role"] == "positive_control") & (own["parameter"] == plain)]
        yield panel_rows(replayed.assign(parameter=REPLAYED), attack, "ceiling")
    roles = {"value": "value", "floor": "negative_control", "ceiling": "positive_control"}
    for metric, space in COPIES.items():
        own = rows[(rows["metric"] == metric) & (spaces == space)]
        for shown, role in roles.items():
            parameter = REPLAYED if shown == "ceiling" else ""
            yield panel_rows(own[own["role"] == role].assign(parameter=parameter), metric, shown)


@styled
def draw_privacy_figure(metrics: pd.DataFrame, axis: str, stem: str | Path) -> pd.DataFrame:
    """Draw how well attacks work and how many samples are no copies, and save it under `stem` (.pdf, .svg, .png, .csv).

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    axis : str
        For example ``"samples"``.
    stem : str or Path
        Path without suffix.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV.
    """
    return save_multiples(privacy_rows(metrics, axis), axis, DESIGN, stem)


ATTACKS_SENTENCE = (
    "AUROC of telling the patients that a generator was trained on from as many others with the same findings, by what "
    "somebody may hold who has one of their images: the distance to the closest synthetic image, in pixels; the same "
    "less that to the closest real image of other patients; the density of synthetic images there over that of real "
    "ones, in the judge’s features; the discriminator’s score. Dotted: chance."
)
COPIES_SENTENCE = (
    "Authenticity: share of samples that are farther from the closest training image than that is from the next one. "
    "α-precision and β-recall: whether samples keep to the region of the training images, and cover it; copies do both."
)
CONTROLS_SENTENCE = (
    "Grey: where there is nothing to find, patients replayed whom nobody attacks (discriminator: half of the others "
    "against the other half; tables/privacy.csv has both). Broken line: training images replayed with noise and moved "
    "by a pixel, which must be found, but for the density ratio, which sees regions drawn too often."
)


def privacy_words(metrics: pd.DataFrame, axis: str, confidence: float) -> Words:
    """Describe the figure of `draw_privacy_figure`."""
    table = privacy_rows(metrics, axis)
    title = f"Privacy against {axis}"
    if table.empty:
        return Words(title, NOT_MEASURED, NOT_MEASURED)
    values = table[(table["role"] == "value") & (table["replicate"] == POOLED)]
    attacked = values.loc[values["metric"].isin(list(ATTACKS)), "n"]
    replicates = int(values["replicates"].max())
    how_often = (
        f"Means of {replicates} replicates (dots: each), from the lowest to the highest end of their intervals."
        if replicates > 1
        else "One training each: the intervals do not show how another would differ."
    )
    counted = (
        f"n = {attacked.min()} to {attacked.max()} patients who are no members; {confidence:.0%} bootstrap intervals "
        "over patients (whole samples: images)."
    )
    doubt = "An attack that finds nothing is no proof that there is nothing to find."
    words = [ATTACKS_SENTENCE, COPIES_SENTENCE, CONTROLS_SENTENCE, counted, how_often, doubt, simulated_sentence(table)]
    lines = [
        f"{cohort}, {source}: "
        + ", ".join(
            f"{value:.2f} at {level_text(axis, position)}"
            for position, value in zip(part["position"], part["value"], strict=True)
        )
        for (cohort, source), part in values[values["metric"] == CLOSEST_RECORD].groupby(
            ["cohort", "source"], sort=False
        )
    ]
    alt = (
        f"Panels of four attacks, authenticity, α-precision and β-recall against {axis}. AUROC by the closest record: "
        f"{'; '.join(lines)}."
    )
    return Words(title, " ".join(filter(None, words)), alt)
