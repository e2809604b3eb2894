"""How real each family's images look against an axis, between what real images and spoilt ones reach."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.vocabulary import BLURRED, NOISE, NOISY, REPEATED, SHUFFLED
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
from synthcohort.figures.style import styled

SPOILT = (BLURRED, NOISY)
PANELS = {
    "frechet_distance": Panel("Fréchet distance", "↓", 0, None, SPOILT),
    "kid": Panel("KID", "↓", None, None, SPOILT),
    "sliced_wasserstein": Panel("Sliced Wasserstein", "↓", 0, None, SPOILT),
    "label_fidelity": Panel("Label fidelity", "↑", None, 1, (SHUFFLED,)),
    "diversity": Panel("Similarity", "≈", None, 1, (REPEATED,)),
    "precision": Panel("Precision", "↑", 0, 1, SPOILT),
    "density": Panel("Density", "↑", 0, None, SPOILT),
    "recall": Panel("Recall", "↑", 0, 1, (*SPOILT, REPEATED)),
    "coverage": Panel("Coverage", "↑", 0, 1, (*SPOILT, REPEATED)),
}
"""In the order of the panels: two rows of five for each cohort, the legend being the tenth."""
CONTROLS = {
    BLURRED: Control("blurred", (0, (4, 1.5))),
    NOISY: Control("with noise", (0, (1, 1))),
    REPEATED: Control("one image repeated", (0, (6, 1.5, 1, 1.5))),
    SHUFFLED: Control("labels shuffled", (0, (8, 3))),
}


def fidelity_table(metrics: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Tabulate what the figure of an axis shows: a row per cohort, level, metric, and family or control.

    Empty where fidelity could not be measured, as no experiment of the axis has enough images.
    """
    rows = one_axis(metrics, axis)
    parts = []
    for metric, panel in PANELS.items():
        own = rows[rows["metric"] == metric]
        finding = "mean" if metric == "label_fidelity" else ""
        # The parameter of values names diversity's measure; that of controls says which one it is.
        parts += [panel_rows(own[own["role"] == role], metric, role, finding) for role in ("value", "floor")]
        parts += [
            panel_rows(own[(own["role"] == "ceiling") & (own["parameter"] == name)], metric, "ceiling", finding)
            for name in panel.controls
        ]
    return order_rows(parts, PANELS)


@styled
def draw_fidelity_figure(metrics: pd.DataFrame, axis: str, stem: str | Path) -> pd.DataFrame:
    """Draw every metric of fidelity against an axis and save it under `stem` (.pdf, .svg, .png, .csv).

    Small multiples, two rows of panels for each cohort. Levels stand side by side and are not joined: each
    resolution has a judge of its own, so distances in its features can be compared at one resolution only. At each
    level a grey line and band are what real images reach, broken lines what spoilt ones do.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    axis : str
        For example ``"resolution"``.
    stem : str or Path
        Path without suffix.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV.
    """
    table = fidelity_table(metrics, axis)
    measures = table.loc[(table["metric"] == "diversity") & (table["role"] == "value"), "parameter"]
    measure = " / ".join(sorted(set(measures.str.upper()), reverse=True))
    panels = PANELS | {"diversity": PANELS["diversity"]._replace(title=f"{PANELS['diversity'].title}, {measure}")}
    return save_multiples(table, axis, Multiples(panels, CONTROLS, "real images", 2), stem)


SETS_SENTENCE = (
    "Synthetic images beside held-out real ones, in the features and predictions of the judge, a classifier of real "
    "images that no generator learns from; sliced Wasserstein distance and similarity in pixels. Label fidelity: the "
    "judge’s AUROC for the labels that images were drawn for."
)
DIRECTION_SENTENCE = (
    "Similarity is of pairs of images with the same labels: higher means less varied, and it should be that of real "
    "images (≈); elsewhere ↓ lower, ↑ higher is better."
)
CONTROLS_SENTENCE = (
    "Grey: what as many training images of other real patients reach, which the judge was trained on (label fidelity: "
    "held-out images). Broken lines: real images spoilt on purpose, blurred (to half the side) or with noise "
    f"(σ = {NOISE:.0f} of 255), one image repeated, labels shuffled; where one lies beyond a panel, its value is there."
)


def fidelity_words(metrics: pd.DataFrame, axis: str, confidence: float) -> Words:
    """Describe the figure of `draw_fidelity_figure`."""
    table = fidelity_table(metrics, axis)
    if table.empty:
        return Words(f"Fidelity against {axis}", NOT_MEASURED, NOT_MEASURED)
    values = table[(table["role"] == "value") & (table["replicate"] == POOLED)]
    sizes = values.loc[values["metric"] != "label_fidelity", "n"]
    low, high = int(sizes.min()), int(sizes.max())
    count = f"{low}" if low == high else f"{low} to {high}"
    rows = one_axis(metrics, axis)
    replicates = len(set(rows.loc[rows["metric"].isin(PANELS), "replicate"]) - {POOLED})
    interval = f"{confidence:.0%} jackknife intervals over ten groups of patients (synthetic: of images)"
    sentences = [
        SETS_SENTENCE,
        DIRECTION_SENTENCE,
        CONTROLS_SENTENCE,
        f"{interval}; with a single replicate they do not show how another training would differ."
        if replicates < 2
        else f"Means of {replicates} replicates (dots: each), from the lowest to the highest end of their {interval}.",
        f"n = {count} images of each set (label fidelity: all there are).",
        "Each resolution has a judge of its own: compare Fréchet distance and KID at one level only."
        if axis == "resolution"
        else "",
        simulated_sentence(table),
    ]
    distances = values[values["metric"] == "frechet_distance"]
    lines = [
        f"{cohort}, {source}: "
        + ", ".join(
            f"{value:.3g} at {level_text(axis, position)}"
            for position, value in zip(part["position"], part["value"], strict=True)
        )
        for (cohort, source), part in distances.groupby(["cohort", "source"], sort=False)
    ]
    alt = f"Panels of nine fidelity metrics against {axis}, per cohort. Fréchet distance: {'; '.join(lines)}."
    return Words(f"Fidelity against {axis}", " ".join(filter(None, sentences)), alt)
