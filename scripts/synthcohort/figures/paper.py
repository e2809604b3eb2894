"""The benchmarks in the way of the paper: bars of each family under the line of the classifier of real images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from synthcohort.core.experiment import REAL
from synthcohort.figures.captions import (
    AXIS_TITLES,
    Words,
    count_sentence,
    interval_sentence,
    simulated_sentence,
    values_text,
)
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

PUBLISHED = pd.read_csv(Path(__file__).with_name("published.csv"))
"""Mean AUROC digitised from the teaser figure of DuMont Schütte et al. 2021, ± 0.003; real patients, 32²."""
CREDIT = "published by DuMont Schütte et al. 2021, digitised (± 0.003); real patients, 32²"
HATCHES = {"cpd-gan": "////", "prog-gan": "....", "dp-gan": "xxxx"}
PREFIX_HATCHES = {"mix": "|||", "pre": "\\\\\\"}
"""A mixture has its family's colour: told apart by the hatch alone."""
GROUP = 0.8
"""Width of the bars of one level; levels are 1 apart."""
WIDEST = 0.3
"""Widest bar, where a level has one or two."""
PANEL_HEIGHT = 50 * MM
COLUMNS = [
    "cohort", "axis", "level", "source", "replicate", "value", "ci_low", "ci_high", "n", "replicates", "simulated",
    "published", "verdict",
]  # fmt: skip


def paper_table(metrics: pd.DataFrame, axis: str, published: Mapping[str, str]) -> pd.DataFrame:
    """Tabulate what the figure shows: a row per cohort, level, source and replicate, and one per published value.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    axis : str
        For example ``"classes"``.
    published : mapping
        Cohort → ``chest`` or ``head``: whose published values are laid over, at the levels that both have.

    Raises
    ------
    UserError
        When the metrics hold nothing for the axis.
    """
    rows = with_replicates(one_axis(metrics, axis), "auroc", ["mean"])
    rows = rows.assign(published=False, verdict=verdict(rows).where(rows["replicate"] == POOLED, ""))
    parts = [rows]
    for cohort, kind in published.items():
        here = rows[(rows["cohort"] == cohort) & (rows["replicate"] == POOLED)]
        levels = here.drop_duplicates("position").set_index("position")["level"]
        values = PUBLISHED[(PUBLISHED["cohort_kind"] == kind) & (PUBLISHED["axis"] == axis)]
        values = values[values["level"].isin(levels.index) & values["source"].isin(here["source"])]
        keys: dict[str, Any] = {
            "cohort": cohort,
            "axis": axis,
            "replicate": "",
            "published": True,
            "simulated": False,
            "verdict": "",
        }
        position = values["level"]
        parts.append(values[["source", "value"]].assign(**keys, position=position, level=position.map(levels)))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table["rank"] = table["source"].map({name: place for place, name in enumerate(ordered_sources(table["source"]))})
    return table.sort_values(["cohort", "position", "rank", "published", "replicate"], ignore_index=True)


@styled
def draw_paper_figure(
    metrics: pd.DataFrame, axis: str, stem: str | Path, width: str, published: Mapping[str, str]
) -> pd.DataFrame:
    """Draw AUROC against an axis as bars and save it under `stem` (.pdf, .svg, .png, .csv).

    One panel per cohort, levels ascending. Bars start at chance and are each family's, hollow where the interval
    reaches chance; the black line above is the classifier trained on real images. Dots are single replicates, where
    there are several; open diamonds are published values.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    axis : str
        For example ``"classes"``.
    stem : str or Path
        Path without suffix.
    width : str
        ``"one_column"`` (88 mm, panels stacked) or ``"two_columns"`` (180 mm, side by side).
    published : mapping
        As in `paper_table`.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV.

    Raises
    ------
    UserError
        When the metrics hold nothing for the axis.
    """
    table = paper_table(metrics, axis, published)
    cohorts = list(dict.fromkeys(table["cohort"]))
    stacked = width == "one_column"
    shape = (len(cohorts), 1) if stacked else (1, len(cohorts))
    inches = ONE_COLUMN if stacked else TWO_COLUMNS
    figure = Figure((inches, PANEL_HEIGHT * shape[0] + 12 * MM), layout="constrained")
    panels = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
    for panel, cohort in zip(panels, cohorts, strict=True):
        rows = table[table["cohort"] == cohort]
        draw_paper_panel(panel, rows, axis)
        title_panel(panel, cohort, bool(rows["simulated"].any()))
        if stacked or panel is panels[0]:
            panel.set_ylabel("Mean AUROC\non held-out patients")
        if not stacked or panel is panels[-1]:
            panel.set_xlabel(AXIS_LABELS.get(axis, axis))
    low = float(np.nanmin([*table["ci_low"], *table["value"], CHANCE]))
    panels[0].set_ylim(low - 0.02 if low < CHANCE else CHANCE, 1.0)
    figure.legend(handles=legend_handles(table), loc="outside upper left", ncols=2 if stacked else 5)
    if table["published"].any():
        diamond = Line2D([], [], color="black", marker="D", mfc="white", markersize=3, linestyle="", label=CREDIT)
        figure.legend(handles=[diamond], loc="outside lower left", fontsize=5.5)
    save_figure(figure, table[COLUMNS], stem)
    return table[COLUMNS]


def draw_paper_panel(panel: Axes, rows: pd.DataFrame, axis: str) -> None:
    """Draw one cohort's rows of `paper_table`, without title."""
    levels = sorted(set(rows["position"]))
    families = [source for source in ordered_sources(rows["source"]) if source != REAL]
    step = min(WIDEST, GROUP / max(1, len(families)))
    without = _without_mean(rows)
    for mark in rows.to_dict("records"):
        place = levels.index(mark["position"])
        if mark["source"] == REAL:
            _draw_real(panel, mark, place)
        else:
            shift = step * (families.index(mark["source"]) - (len(families) - 1) / 2)
            _draw_bar(panel, mark, place + shift, 0.88 * step)
            if mark["verdict"] == TOO_FEW and mark["position"] not in without:
                _write_missing(panel, place + shift)
    for level in without:
        _write_missing(panel, levels.index(level))
    panel.axhline(CHANCE, color=GREY, linewidth=0.8, dashes=(4, 3), zorder=1)
    panel.set_xticks(range(len(levels)), [level_text(axis, level) for level in levels])
    panel.tick_params(axis="x", length=0)
    panel.set_xlim(-0.55, len(levels) - 0.45)


def _without_mean(rows: pd.DataFrame) -> list[int]:
    """Find the levels at which nothing has a mean."""
    measured = rows[(rows["replicate"] == POOLED)]
    missing = measured["value"].isna().groupby(measured["position"]).all()
    return [int(level) for level in missing[missing].index]


def _write_missing(panel: Axes, x: float) -> None:
    """Say why there is no bar; upright, as a group may be narrower than the words."""
    panel.text(x, CHANCE + 0.01, TOO_FEW, rotation=90, ha="center", va="bottom", fontsize=5.5, color=GREY)


def _draw_real(panel: Axes, mark: Mapping[Any, Any], place: int) -> None:
    left, right = place - GROUP / 2, place + GROUP / 2
    value = mark["value"]
    if mark["published"]:
        panel.plot(left - 0.02, value, "D", color="black", mfc="white", markersize=3, markeredgewidth=0.7, zorder=5)
    elif mark["replicate"] == POOLED:
        panel.fill_between([left, right], mark["ci_low"], mark["ci_high"], color=GREY, alpha=0.3, linewidth=0, zorder=2)
        panel.hlines(value, left, right, "black", linewidth=1.3, zorder=2)
    else:
        panel.plot(right, value, ".", color="black", alpha=0.6, markersize=2.5)


def _draw_bar(panel: Axes, mark: Mapping[Any, Any], x: float, width: float) -> None:
    source, value = mark["source"], mark["value"]
    color = look(source).color
    if mark["published"]:
        panel.plot(x, value, "D", color=color, mfc="white", markersize=3, markeredgewidth=0.8, zorder=5)
    elif mark["replicate"] != POOLED:
        panel.plot(x + 0.25 * width, value, ".", color="#333333", alpha=0.6, markersize=2.5, zorder=4)
    elif not pd.isna(value):
        _style_bar(panel, x, value, width, source, mark["verdict"] == NOT_TRAINED)
        panel.vlines(x, mark["ci_low"], mark["ci_high"], "#333333", linewidth=0.8, zorder=3)


def _style_bar(panel: Axes, x: float, value: float, width: float, source: str, hollow: bool) -> None:
    color, hatch = look(source).color, "" if hollow else hatch_of(source)
    face = "white" if hollow else color
    (bar,) = panel.bar(x, value - CHANCE, width, CHANCE, facecolor=face, edgecolor=color, linewidth=0.7)
    if hatch:
        bar.set(hatch=hatch, edgecolor="white", linewidth=0)


def hatch_of(source: str) -> str:
    """Give the hatch of a source's bars: its family's, with one more for ``mix-`` and ``pre-``."""
    prefix, _, family = source.partition("-")
    if prefix in PREFIX_HATCHES:
        return PREFIX_HATCHES[prefix] + HATCHES.get(family, "")
    return HATCHES.get(source, "")


def legend_handles(table: pd.DataFrame) -> list[Line2D | Patch]:
    """Name what was measured here.

    Parameters
    ----------
    table : pandas.DataFrame
        What `paper_table` gives.
    """
    handles: list[Line2D | Patch] = [Line2D([], [], color="black", linewidth=1.3, label="trained on real images")]
    for source in ordered_sources(table["source"]):
        if source != REAL:
            hatch = hatch_of(source)
            edge = "white" if hatch else look(source).color
            handles.append(Patch(facecolor=look(source).color, edgecolor=edge, hatch=hatch, label=source, linewidth=0))
    if (table["verdict"] == NOT_TRAINED).any():
        handles.append(Patch(facecolor="white", edgecolor=GREY, linewidth=0.7, label=NOT_TRAINED))
    return handles


def paper_words(metrics: pd.DataFrame, axis: str, confidence: float, published: Mapping[str, str]) -> Words:
    """Describe the figure of `draw_paper_figure`."""
    table = paper_table(metrics, axis, published)
    measured = table[~table["published"].astype(bool)]
    sentences = [
        "Bars: classifiers trained on each family's synthetic images; line and band: on real ones.",
        "All were tested on the same held-out patients.",
        interval_sentence(metrics[metrics["axis"] == axis], confidence),
        count_sentence(measured),
        simulated_sentence(measured),
    ]
    if (measured["verdict"] == NOT_TRAINED).any():
        sentences.append("Hollow bars: not trained long enough, the interval reaches chance.")
    if table["published"].any():
        sentences.append(f"Open diamonds were not measured here: {CREDIT}.")
    title = AXIS_TITLES.get(axis, f"AUROC against {axis}")
    values = values_text(measured[measured["replicate"] == POOLED], axis)
    return Words(title, " ".join(filter(None, sentences)), f"Bar chart of mean AUROC against {axis}. {values}")
