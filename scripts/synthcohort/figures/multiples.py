"""Small multiples: each family's value of a metric at every level of an axis, beside its controls."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from synthcohort.figures.numbers import AXIS_LABELS, KEYS, POOLED, level_text, pool, spaced
from synthcohort.figures.style import GREY, MM, TWO_COLUMNS, look, ordered_sources, save_figure

NOT_MEASURED = "Not measured: no experiment of this axis has enough images."
REACH = 0.4
"""How far a control's line reaches to both sides of its level; levels are 1 apart."""
DODGE = 0.17
"""Most distance of two families' marks at one level."""
FAR = 1.5
"""A control farther from all values than so many times their range is named at the panel's edge, not drawn."""
MARGIN = 0.08
CHARACTERS = 15
"""Characters of level labels that fit under a panel."""
MANY = 4
"""Levels from which on marks are small and use all the room at their level."""
TABLE = [
    "cohort", "axis", "level", "source", "metric", "role", "parameter", "replicate", "value", "ci_low", "ci_high", "n",
    "replicates", "simulated",
]  # fmt: skip


class Panel(NamedTuple):
    """One metric: its title, whether lower or higher is better, its limits and the controls beside it."""

    title: str
    better: str
    low: float | None
    high: float | None
    controls: tuple[str, ...]
    chance: float | None = None


class Control(NamedTuple):
    """What was done on purpose, and the broken line that shows it."""

    name: str
    dash: tuple[int, tuple[float, ...]]


class Multiples(NamedTuple):
    """Panels by metric, the controls by parameter, and what the grey band is."""

    panels: Mapping[str, Panel]
    controls: Mapping[str, Control]
    floor: str
    rows: int


def panel_rows(rows: pd.DataFrame, metric: str, role: str, finding: str = "") -> pd.DataFrame:
    """Take rows of metrics.parquet as a role that panels draw.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of metrics.parquet, at most one for each experiment, source and replicate.
    metric : str
        Name of the panel.
    role : {"value", "floor", "ceiling"}
        A family's mark (of which each replicate is shown, too), a grey band, or a broken line.
    finding : str
        The finding that the rows are of.
    """
    return rows[rows["finding"] == finding].assign(metric=metric, role=role)


def order_rows(parts: Iterable[pd.DataFrame], panels: Mapping[str, Panel]) -> pd.DataFrame:
    """Pool the replicates of what `panel_rows` gave, in the order of cohorts, panels and levels."""
    rows, keys = pd.concat(parts), [*KEYS, "role", "parameter"]
    pooled = pool(rows, keys).assign(replicate=POOLED)
    several = set(pooled.loc[(pooled["replicates"] > 1) & (pooled["role"] == "value"), "metric"])
    single = rows[rows["metric"].isin(several) & (rows["role"] == "value") & (rows["replicate"] != POOLED)]
    each = pool(single, [*keys, "replicate"]).assign(ci_low=np.nan, ci_high=np.nan)
    table = pd.concat([pooled, each]) if len(each) else pooled
    table["rank"] = table["metric"].map({name: number for number, name in enumerate(panels)})
    return table.sort_values(
        ["cohort", "rank", "position", "role", "parameter", "source", "replicate"], ignore_index=True
    )


def draw_multiples(table: pd.DataFrame, axis: str, design: Multiples) -> Figure:
    """Draw a block of panels for each cohort, the last place of each being the legend's.

    Levels stand side by side and are not joined. At each level a grey line and band are the floor, broken lines
    the controls.

    Parameters
    ----------
    table : pandas.DataFrame
        What `order_rows` gives.
    axis : str
        For example ``"resolution"``.
    design : Multiples
        The panels.
    """
    cohorts = list(dict.fromkeys(table["cohort"]))
    families = ordered_sources(table.loc[table["role"] == "value", "source"])
    figure = Figure((TWO_COLUMNS, (39 * design.rows * len(cohorts) + 4) * MM), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr, call-arg]
    blocks = figure.subfigures(len(cohorts), 1, squeeze=False, hspace=0.04)[:, 0]
    columns = -(-(len(design.panels) + 1) // design.rows)
    for block, cohort in zip(blocks, cohorts, strict=True):
        rows = table[table["cohort"] == cohort]
        note = " (simulated patients)" if rows["simulated"].any() else ""
        block.suptitle(f"{cohort}{note}", x=0.01, ha="left", fontsize=7.5, fontweight="bold")
        panels = block.subplots(design.rows, columns, squeeze=False).ravel()
        levels = sorted(set(rows["position"]))
        for panel, metric in zip(panels, design.panels, strict=False):
            _draw_panel(panel, rows[rows["metric"] == metric], design.panels[metric], axis, levels, families)
            _draw_controls(panel, rows[(rows["metric"] == metric) & (rows["role"] == "ceiling")], levels, design)
        _draw_legend(panels[-1], families, design)
    figure.supxlabel(AXIS_LABELS.get(axis, axis), fontsize=7)
    return figure


def save_multiples(table: pd.DataFrame, axis: str, design: Multiples, stem: str | Path) -> pd.DataFrame:
    """Draw, or say that there is nothing to draw, save under `stem`, and give what is drawn, as in the CSV."""
    if table.empty:
        figure = Figure((TWO_COLUMNS, 14 * MM))
        figure.text(0.5, 0.5, NOT_MEASURED, ha="center", va="center")
    else:
        figure = draw_multiples(table, axis, design)
    save_figure(figure, table[TABLE], stem)
    return table[TABLE]


def _draw_panel(
    panel: Axes, rows: pd.DataFrame, design: Panel, axis: str, levels: list[int], families: list[str]
) -> None:
    panel.set_title(f"{design.title} {design.better}", fontweight="normal", fontsize=7, pad=4)
    if design.chance is not None:
        panel.axhline(design.chance, color=GREY, linestyle=(0, (2, 2)), linewidth=0.7)
    many = len(levels) >= MANY
    step = 2 * REACH / max(1, len(families))
    step = step if many else min(DODGE, step)
    own = rows["source"].isin(families)
    shifts = {name: step * (i - (len(families) - 1) / 2) for i, name in enumerate(families)}
    rows = rows.assign(
        x=np.searchsorted(levels, rows["position"]) + [shifts.get(source, 0.0) for source in rows["source"]],
        reach=np.where(own, 0.45 * step, REACH),  # a family's own floor stands under its mark
    )
    for family in families:
        style, values = look(family), rows[(rows["source"] == family) & (rows["role"] == "value")]
        is_pooled = values["replicate"] == POOLED
        pooled, single = values[is_pooled], values[~is_pooled]
        panel.plot(single["x"], single["value"], ".", color=style.color, alpha=0.5, markersize=2)
        panel.vlines(pooled["x"], pooled["ci_low"], pooled["ci_high"], style.color, linewidth=0.9)
        size = 2.2 if many else 3.5
        panel.plot(pooled["x"], pooled["value"], style.marker, color=style.color, markersize=size)
    floor = rows[rows["role"] == "floor"]
    height = floor["ci_high"] - floor["ci_low"]
    panel.bar(floor["x"], height, 2 * floor["reach"], floor["ci_low"], color=GREY, alpha=0.25, linewidth=0)
    panel.hlines(floor["value"], floor["x"] - floor["reach"], floor["x"] + floor["reach"], GREY, linewidth=1.2)
    _limit(panel, rows, design)
    texts = [level_text(axis, level) for level in levels]
    every = -(-len(levels) * max(len(text) for text in texts) // CHARACTERS)
    shown = [text if (len(levels) - 1 - number) % every == 0 else "" for number, text in enumerate(texts)]
    panel.set_xticks(range(len(levels)), shown)
    panel.set_xlim(-0.6, len(levels) - 0.4)


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


def _draw_controls(panel: Axes, rows: pd.DataFrame, levels: list[int], design: Multiples) -> None:
    """Draw a broken line for each control at each level, and name those beyond the panel at its edge."""
    low, high = panel.get_ylim()
    beyond = []
    for name, part in rows.dropna(subset="value").groupby("parameter"):
        inside = part[part["value"].between(low, high)]
        places = np.array([levels.index(position) for position in inside["position"]], float)
        panel.hlines(
            inside["value"], places - REACH, places + REACH, "black", design.controls[str(name)].dash, linewidth=0.8
        )
        outside = part.loc[~part["value"].between(low, high), "value"]
        if len(outside):
            ends = dict.fromkeys(_plain(value) for value in (outside.min(), outside.max()))
            arrow = "↑" if outside.min() > high else "↓"
            beyond.append(f"{arrow} {design.controls[str(name)].name} {'–'.join(ends)}")
    if beyond:
        panel.set_ylim(low, high + 0.11 * len(beyond) * (high - low))
        panel.annotate("\n".join(beyond), (0.02, 0.99), xycoords="axes fraction", va="top", fontsize=5.5)


def _draw_legend(panel: Axes, families: list[str], design: Multiples) -> None:
    panel.set_axis_off()
    handles: list[Line2D | Patch | tuple[Patch, Line2D]] = []
    for family in families:
        style = look(family)
        handles.append(Line2D([], [], color=style.color, marker=style.marker, linestyle="", markersize=3.5))
    handles.append((Patch(color=GREY, alpha=0.25, linewidth=0), Line2D([], [], color=GREY, linewidth=1.2)))
    handles += [
        Line2D([], [], color="black", linestyle=control.dash, linewidth=0.8) for control in design.controls.values()
    ]
    names = [*families, design.floor, *(control.name for control in design.controls.values())]
    panel.legend(handles, names, loc="center left", bbox_to_anchor=(-0.12, 0.5), handlelength=3.2, borderaxespad=0)


def _plain(value: float) -> str:
    """Two digits that count, without an exponent: ``0.26``, ``730``, ``14 000``."""
    return spaced(f"{float(f'{value:.2g}'):,.12g}")
