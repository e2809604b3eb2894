"""How real each family's images look against an axis, between what real images and spoilt ones reach."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from synthcohort.audit.vocabulary import BLURRED, NOISE, NOISY, REPEATED, SHUFFLED
from synthcohort.figures.captions import Words, simulated_sentence
from synthcohort.figures.numbers import AXIS_LABELS, POOLED, level_text, one_axis, with_replicates
from synthcohort.figures.style import GREY, MM, TWO_COLUMNS, look, ordered_sources, save_figure, styled


class Panel(NamedTuple):
    """One metric: its title, whether lower or higher is better, its limits and the controls beside it."""

    title: str
    better: str
    low: float | None
    high: float | None
    controls: tuple[str, ...]


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
COLUMNS = 5
DASHES = {BLURRED: (0, (4, 1.5)), NOISY: (0, (1, 1)), REPEATED: (0, (6, 1.5, 1, 1.5)), SHUFFLED: (0, (8, 3))}
CONTROL_NAMES = {BLURRED: "blurred", NOISY: "with noise", REPEATED: "one image repeated", SHUFFLED: "labels shuffled"}
FLOOR_NAME = "real images"
REACH = 0.4
"""How far a control's line reaches to both sides of its level; levels are 1 apart."""
DODGE = 0.17
"""Most distance of two families' marks at one level."""
FAR = 1.5
"""A control farther from all values than so many times their range is named at the panel's edge, not drawn."""
MARGIN = 0.08
NOT_MEASURED = "Not measured: no experiment of this axis has enough images."
CHARACTERS = 15
"""Characters of level labels that fit under a panel."""
MANY = 4
"""Levels from which on marks are small and use all the room at their level."""
TABLE = [
    "cohort", "axis", "level", "source", "metric", "role", "parameter", "replicate", "value", "ci_low", "ci_high", "n",
    "replicates", "simulated",
]  # fmt: skip


def fidelity_table(metrics: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Tabulate what the figure of an axis shows: a row per cohort, level, metric, and family or control.

    Empty where fidelity could not be measured, as no experiment of the axis has enough images.
    """
    rows = one_axis(metrics, axis)
    parts = []
    for metric, panel in PANELS.items():
        parts += [_pooled(rows, metric, "value"), _pooled(rows, metric, "floor")]
        parts += [_pooled(rows, metric, "ceiling", control) for control in panel.controls]
    table = pd.concat([part for part in parts if len(part)] or parts)
    rank = {name: number for number, name in enumerate(PANELS)}
    table["rank"] = table["metric"].map(rank)
    return table.sort_values(
        ["cohort", "rank", "position", "role", "parameter", "source", "replicate"], ignore_index=True
    )


def _pooled(rows: pd.DataFrame, metric: str, role: str, parameter: str | None = None) -> pd.DataFrame:
    """Values of one role with replicates pooled; `parameter` None takes any, as that of diversity names its measure."""
    rows = rows[(rows["metric"] == metric) & (rows["role"] == role)]
    if parameter is not None:
        rows = rows[rows["parameter"] == parameter]
    finding = "mean" if metric == "label_fidelity" else ""
    named = rows.groupby("experiment")["parameter"].first()
    plain = rows.assign(role="value", parameter="")
    pooled = with_replicates(plain, metric, [finding])
    if role != "value":
        pooled = pooled[pooled["replicate"] == POOLED]
    return pooled.assign(role=role, parameter=pooled["experiment"].map(named))


@styled
def draw_fidelity_figure(metrics: pd.DataFrame, axis: str, stem: str | Path) -> pd.DataFrame:
    """Draw every metric of fidelity against an axis and save it under `stem` (.pdf, .svg, .png, .csv).

    Small multiples, two rows of panels for each cohort. Levels stand side by side and are not joined: the judge is
    another at each, so distances in its features can be compared at one level only. At each level a grey line and band
    are what real images reach, broken lines what spoilt ones do.

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
    if table.empty:
        figure = Figure((TWO_COLUMNS, 14 * MM))
        figure.text(0.5, 0.5, NOT_MEASURED, ha="center", va="center")
        save_figure(figure, table[TABLE], stem)
        return table[TABLE]
    cohorts = list(dict.fromkeys(table["cohort"]))
    families = ordered_sources(table.loc[table["role"] == "value", "source"])
    figure = Figure((TWO_COLUMNS, (78 * len(cohorts) + 4) * MM), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr, call-arg]
    blocks = figure.subfigures(len(cohorts), 1, squeeze=False, hspace=0.04)[:, 0]
    for block, cohort in zip(blocks, cohorts, strict=True):
        rows = table[table["cohort"] == cohort]
        note = " (simulated patients)" if rows["simulated"].any() else ""
        block.suptitle(f"{cohort}{note}", x=0.01, ha="left", fontsize=7.5, fontweight="bold")
        panels = block.subplots(2, COLUMNS).ravel()
        levels = sorted(set(rows["position"]))
        for panel, metric in zip(panels, PANELS, strict=False):
            _draw_panel(panel, rows[rows["metric"] == metric], metric, axis, levels, families)
        _draw_legend(panels[-1], families)
    figure.supxlabel(AXIS_LABELS.get(axis, axis), fontsize=7)
    save_figure(figure, table[TABLE], stem)
    return table[TABLE]


def _draw_panel(
    panel: Axes, rows: pd.DataFrame, metric: str, axis: str, levels: list[int], families: list[str]
) -> None:
    design = PANELS[metric]
    panel.set_title(f"{_title(rows, metric)} {design.better}", fontweight="normal", fontsize=7, pad=4)
    many = len(levels) >= MANY
    step = 2 * REACH / max(1, len(families))
    step = step if many else min(DODGE, step)
    for place, level in enumerate(levels):
        for mark in rows[rows["position"] == level].to_dict("records"):
            if mark["role"] == "value":
                shift = step * (families.index(mark["source"]) - (len(families) - 1) / 2)
                style = look(mark["source"])
                if mark["replicate"] != POOLED:
                    panel.plot(place + shift, mark["value"], ".", color=style.color, alpha=0.5, markersize=2)
                    continue
                panel.vlines(place + shift, mark["ci_low"], mark["ci_high"], style.color, linewidth=0.9)
                panel.plot(
                    place + shift, mark["value"], style.marker, color=style.color, markersize=2.2 if many else 3.5
                )
            elif mark["role"] == "floor":
                left, right = place - REACH, place + REACH
                panel.fill_between([left, right], mark["ci_low"], mark["ci_high"], color=GREY, alpha=0.25, linewidth=0)
                panel.hlines(mark["value"], left, right, GREY, linewidth=1.2)
    _limit(panel, rows, design)
    _draw_controls(panel, rows[rows["role"] == "ceiling"], levels)
    texts = [level_text(axis, level) for level in levels]
    every = -(-len(levels) * max(len(text) for text in texts) // CHARACTERS)
    shown = [text if (len(levels) - 1 - number) % every == 0 else "" for number, text in enumerate(texts)]
    panel.set_xticks(range(len(levels)), shown)
    panel.set_xlim(-0.6, len(levels) - 0.4)


def _title(rows: pd.DataFrame, metric: str) -> str:
    if metric != "diversity":
        return PANELS[metric].title
    names = sorted(set(rows.loc[rows["role"] == "value", "parameter"].str.upper()), reverse=True)
    return f"{PANELS[metric].title}, {' / '.join(names)}"


def _limit(panel: Axes, rows: pd.DataFrame, design: Panel) -> None:
    """Show values, floors, and those controls that are not too far off."""
    near = rows[rows["role"] != "ceiling"][["value", "ci_low", "ci_high"]].to_numpy()
    near = near[np.isfinite(near)]
    if not near.size:
        return
    low, high = float(near.min()), float(near.max())
    low = low if design.low is None else min(low, design.low)
    reach = FAR * (high - low)
    controls = rows.loc[rows["role"] == "ceiling", "value"]
    shown = [value for value in controls if low - reach <= value <= high + reach]
    low, high = min([low, *shown]), max([high, *shown])
    high = high if design.high is None else max(high, design.high)
    room = MARGIN * ((high - low) or 1.0)
    panel.set_ylim(low - (room if low != design.low else room / 2), high + room)


def _draw_controls(panel: Axes, rows: pd.DataFrame, levels: list[int]) -> None:
    """Draw a broken line for each control at each level, and name those beyond the panel at its edge."""
    low, high = panel.get_ylim()
    beyond = []
    for name, part in rows.dropna(subset="value").groupby("parameter"):
        inside = part[part["value"].between(low, high)]
        places = np.array([levels.index(position) for position in inside["position"]], float)
        panel.hlines(inside["value"], places - REACH, places + REACH, "black", DASHES[str(name)], linewidth=0.8)
        outside = part.loc[~part["value"].between(low, high), "value"]
        if len(outside):
            ends = dict.fromkeys(f"{value:.2g}" for value in (outside.min(), outside.max()))
            arrow = "↑" if outside.min() > high else "↓"
            beyond.append(f"{arrow} {CONTROL_NAMES[str(name)]} {'–'.join(ends)}")
    if beyond:
        panel.set_ylim(low, high + 0.11 * len(beyond) * (high - low))
        panel.annotate("\n".join(beyond), (0.02, 0.99), xycoords="axes fraction", va="top", fontsize=5.5)


def _draw_legend(panel: Axes, families: list[str]) -> None:
    panel.set_axis_off()
    handles: list[Line2D | Patch | tuple[Patch, Line2D]] = []
    for family in families:
        style = look(family)
        handles.append(Line2D([], [], color=style.color, marker=style.marker, linestyle="", markersize=3.5))
    handles.append((Patch(color=GREY, alpha=0.25, linewidth=0), Line2D([], [], color=GREY, linewidth=1.2)))
    handles += [Line2D([], [], color="black", linestyle=dash, linewidth=0.8) for dash in DASHES.values()]
    names = [*families, FLOOR_NAME, *CONTROL_NAMES.values()]
    panel.legend(handles, names, loc="center left", bbox_to_anchor=(-0.12, 0.5), handlelength=3.2, borderaxespad=0)


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
    "Grey: what as many training images of other real patients reach (label fidelity: held-out images). Broken lines: "
    f"real images spoilt on purpose, blurred (to half the side) or with noise (σ = {NOISE:.0f} of 255), one image "
    "repeated, labels shuffled; where one lies beyond a panel, its value is written there."
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
        "The judge differs between levels: compare Fréchet distance and KID at one level only.",
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
