"""The main figure: AUROC on held-out patients against an axis, trained on real and on synthetic images."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from synthcohort.figures.numbers import (
    AXIS_LABELS,
    NOT_TRAINED,
    POOLED,
    TOO_FEW,
    level_text,
    one_axis,
    verdict,
    with_replicates,
)
from synthcohort.figures.style import (
    CHANCE,
    GREY,
    MM,
    ONE_COLUMN,
    TWO_COLUMNS,
    look,
    ordered_sources,
    save_figure,
    styled,
    title_panel,
)

MEANS = {"mean": "Mean AUROC", "mean_common": "Mean AUROC, findings\ncommon to all levels"}
SCALES = {"resolution": 2, "classes": None, "samples": 10, "amount": None}
DODGE, SPREAD = 3.0, 12.0
"""Points between the marks of two sources at one level, so that no interval hides another; and at most in all."""
CHARACTER = 0.027
"""Width of a tick label's character, as a share of the axis."""
LABEL_GAP = 8.0
"""Smallest distance of two direct labels, points."""
PANEL_HEIGHT = 58 * MM
PANEL_SHARE = 0.72
"""About how much of a panel's height its axes take."""
COLUMNS = [
    "cohort", "axis", "level", "source", "finding", "replicate", "value", "ci_low", "ci_high", "n", "replicates",
    "simulated",
]  # fmt: skip


def axis_table(metrics: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Tabulate what the figure of an axis shows: one row per point (and replicate), with its verdict.

    Raises
    ------
    UserError
        When the metrics hold nothing for the axis.
    """
    rows = with_replicates(one_axis(metrics, axis), "auroc", list(MEANS))
    rows = rows.sort_values(["cohort", "finding", "source", "position", "replicate"], ignore_index=True)
    verdicts = verdict(rows).where(rows["replicate"] == POOLED, "")
    return rows[COLUMNS].assign(verdict=verdicts, position=rows["position"])


@styled
def draw_axis_figure(metrics: pd.DataFrame, axis: str, stem: str | Path) -> pd.DataFrame:
    """Draw AUROC against an axis, one panel per cohort, and save it under `stem` (.pdf, .svg, .png, .csv).

    Where there are several replicates, dots are single ones and marks with intervals are pooled over them. Hollow
    marks: the interval reaches chance, so the family was not trained long enough. Where the metrics hold a mean over
    the findings common to all levels that differs from the plain mean, a second row of panels shows it.

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

    Raises
    ------
    UserError
        When the metrics hold nothing for the axis.
    """
    table = axis_table(metrics, axis)
    cohorts = list(dict.fromkeys(table["cohort"]))
    means = [name for name in MEANS if name in set(table["finding"])]
    if _same_means(table):
        means = means[:1]
        table = table[table["finding"] == means[0]].reset_index(drop=True)
    width = ONE_COLUMN if len(cohorts) == 1 else TWO_COLUMNS
    figure = Figure((width, PANEL_HEIGHT * len(means)), layout="constrained")
    panels = figure.subplots(len(means), len(cohorts), sharex="col", sharey=True, squeeze=False)
    figure.get_layout_engine().set(wspace=0.06)  # type: ignore[union-attr, call-arg]
    low = float(np.nanmin([*table["ci_low"], *table["value"], CHANCE]))
    panels[0, 0].set_ylim(max(0.0, low - 0.03), 1.0)
    for row, mean in enumerate(means):
        for column, cohort in enumerate(cohorts):
            rows = table[(table["finding"] == mean) & (table["cohort"] == cohort)]
            _draw_panel(panels[row, column], rows, axis)
            if row == 0:
                title_panel(panels[row, column], cohort, bool(rows["simulated"].any()))
        panels[row, 0].set_ylabel(MEANS[mean] + ("" if "\n" in MEANS[mean] else "\non held-out patients"))
    figure.supxlabel(AXIS_LABELS.get(axis, axis), fontsize=7)
    save_figure(figure, table.drop(columns="position"), stem)
    return table


def _same_means(table: pd.DataFrame) -> bool:
    """Whether the mean over common findings is absent or equals the plain mean everywhere."""
    table = table[table["replicate"] == POOLED]
    wide = table.pivot_table(index=["cohort", "level", "source"], columns="finding", values="value")
    return "mean_common" not in wide or "mean" not in wide or np.allclose(wide["mean"], wide["mean_common"])


def _draw_panel(panel: Axes, rows: pd.DataFrame, axis: str) -> None:
    sources = ordered_sources(rows.loc[rows["verdict"] != TOO_FEW, "source"])
    if not sources:
        panel.text(0.5, 0.5, f"{TOO_FEW}\nfor a mean", transform=panel.transAxes, ha="center", color=GREY)
    for number, source in enumerate(sources):
        step = min(DODGE, SPREAD / len(sources))
        _draw_source(panel, rows[rows["source"] == source], source, step * (number - (len(sources) - 1) / 2))
    panel.axhline(CHANCE, color=GREY, linewidth=0.8, dashes=(4, 3), zorder=1)
    _scale_x(panel, axis, sorted(set(rows["position"])))
    _label_ends(panel, rows, sources)


def _draw_source(panel: Axes, rows: pd.DataFrame, source: str, dodge: float) -> None:
    style = look(source)
    shift = ScaledTranslation(dodge / 72, 0, panel.figure.dpi_scale_trans)
    transform = panel.transData + shift
    single = rows[rows["replicate"] != POOLED]
    panel.plot(
        single["position"], single["value"], ".", color=style.color, alpha=0.5, markersize=3, transform=transform
    )
    rows = rows[rows["replicate"] == POOLED]
    panel.plot(rows["position"], rows["value"], color=style.color, linestyle=style.line, transform=transform)
    panel.vlines(rows["position"], rows["ci_low"], rows["ci_high"], style.color, linewidth=0.9, transform=transform)
    for found, part in rows.groupby("verdict"):
        face = "white" if found == NOT_TRAINED else style.color
        panel.plot(part["position"], part["value"], style.marker, color=style.color, mfc=face, transform=transform)


def _scale_x(panel: Axes, axis: str, levels: list[int]) -> None:
    """Ticks at the levels and nowhere else, those that would touch left unlabelled."""
    base = SCALES.get(axis)
    if base:
        panel.set_xscale("log", base=base)
    place = np.log(levels) if base else np.asarray(levels, float)
    span = float(np.ptp(place)) or 1.0
    room = span * 0.11
    low, high = float(place[0]) - room, float(place[-1]) + room
    panel.set_xlim(*(np.exp([low, high]) if base else (low, high)))
    texts: list[str] = []
    last = np.inf
    for level, here in zip(reversed(levels), reversed(place), strict=True):
        text = level_text(axis, level)
        touches = last - here < (CHARACTER * len(text) + 0.02) * span
        texts.append("" if touches else text)
        last = last if touches else float(here)
    panel.set_xticks(levels, reversed(texts))
    panel.set_xticks([], minor=True)


def _label_ends(panel: Axes, rows: pd.DataFrame, sources: list[str]) -> None:
    """Name each line, and chance, at its right end, pushed apart where two would touch."""
    pooled = rows[rows["replicate"] == POOLED]
    last = pooled.sort_values("position").groupby("source")["value"].last()
    ends = [(float(last[source]), source, look(source).color, "bold") for source in sources]
    ends.append((CHANCE, "chance", GREY, "normal"))
    low, high = panel.get_ylim()
    gap = LABEL_GAP / 72 * (high - low) / (PANEL_HEIGHT * PANEL_SHARE)
    height = -np.inf
    for value, name, color, weight in sorted(ends):
        height = max(value, height + gap)
        panel.annotate(
            name,
            (1, height),
            (3, 0),
            panel.get_yaxis_transform(),
            "offset points",
            annotation_clip=False,
            color=color,
            fontweight=weight,
            fontsize=6.5,
            va="center",
        )
