"""Training curves of one axis: what all families record side by side, and what is a family's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from synthcohort.core.errors import UserError
from synthcohort.figures.numbers import level_text
from synthcohort.figures.style import GREY, MM, TWO_COLUMNS, display_name, look, ordered_sources, save_figure, styled
from synthcohort.measures.distances import COPY_ALARM

Histories = Mapping[tuple[str, str, str], str | Path]
"""(experiment, family, replicate) → history.csv."""
X, STAGE = "kimg", "stage"
NOT_CURVES = {X, "tick", "seconds", "learning_rate", STAGE, "fade", "overfitting", "score_real", "score_fake"}
"""Columns without a panel. Time, rate, stage and fade say where a training is, not how well it goes; ``augmentation``
follows from ``overfitting``, and the discriminator's loss is made of the scores' difference."""
COMPARABLE = ["kid", "frechet_distance", "copied", "augmentation"]
"""Columns that mean the same in every family; losses and penalties do not."""
NAMES = {
    "copied": "Copied share",
    "augmentation": "Augmentation, probability",
    "loss_discriminator": "Discriminator loss",
    "label_loss_real": "Label loss, real",
    "label_loss_fake": "Label loss, synthetic",
}
COLUMNS = 4
FEW = 10
"""Fewer points than this are marked."""
DASHES = ("-", "--", ":", "-.")
PALEST = 0.5
"""How much white is mixed into the colour of the lowest level."""
TABLE = ["experiment", "level", "family", "replicate", STAGE, "quantity", X, "value"]


def training_table(histories: Histories) -> pd.DataFrame:
    """Tabulate what the figure shows: a row per run, quantity and kimg with a finite value.

    ``sparse`` marks quantities that the run did not record at every tick.

    Raises
    ------
    UserError
        When a history lacks the column ``kimg``, or when no history holds anything to draw.
    """
    parts = []
    for (experiment, family, replicate), path in histories.items():
        history = pd.read_csv(path)
        if X not in history:
            run = f"{experiment} {family} {replicate}"
            raise UserError(f"the training history of {run} lacks the column '{X}'; train it again.")
        keys = {"experiment": experiment, "family": family, "replicate": replicate}
        if STAGE not in history:
            history[STAGE] = np.nan
        names = [name for name in history.select_dtypes("number") if name not in NOT_CURVES]
        part = history.melt([X, STAGE], names, "quantity", "value").assign(**keys)
        part["sparse"] = part["value"].isna().groupby(part["quantity"]).transform("any")
        parts.append(part.assign(level=int(experiment.rpartition("-")[2])))
    table = pd.concat(parts)[[*TABLE, "sparse"]] if parts else pd.DataFrame(columns=[*TABLE, "sparse"])
    table = table[np.isfinite(table["value"].astype(float))]
    if table.empty:
        raise UserError("no training history holds a quantity to draw; train at least one tick.")
    return table.reset_index(drop=True)


@styled
def draw_training_figure(histories: Histories, axis: str, stem: str | Path) -> pd.DataFrame:
    """Draw the training curves of an axis and save them under `stem` (.pdf, .svg, .png, .csv).

    The first row shows what can be compared between families, each other row a family's own losses and penalties.
    Colours are the families', paler and dashed for lower levels; a vertical line is a change of a growth's stage.

    Parameters
    ----------
    histories : mapping
        (experiment, family, replicate) → history.csv of a generator, with a column ``kimg``.
    axis : str
        For example ``"resolution"``: the experiments are its levels.
    stem : str or Path
        Path without suffix.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV.

    Raises
    ------
    UserError
        When a history lacks the column ``kimg``, or when no history holds anything to draw.
    """
    table = training_table(histories)
    looks = _level_looks(sorted(set(table["level"])))
    rows = _rows(table)
    figure = Figure((TWO_COLUMNS, (len(rows) * 33 + 12) * MM), layout="constrained")
    panels = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for line, (family, quantities) in zip(panels, rows, strict=True):
        for panel, quantity in zip(line, quantities, strict=False):
            part = table[(table["quantity"] == quantity) & (table["family"].eq(family) | (family == ""))]
            _draw_panel(panel, part, looks)
            panel.set_title(NAMES.get(quantity, display_name(quantity)), fontweight="normal", pad=5)
            if quantity == "copied":
                _mark_alarm(panel)
            if family:
                _mark_stages(panel, part)
        for panel in line[len(quantities) :]:
            panel.set_visible(False)
        color = look(family).color if family else "black"
        line[0].set_ylabel(family or "All families", color=color, fontweight="bold")
    families = ordered_sources(table["family"])
    handles = [Line2D([], [], color=look(family).color, label=family) for family in families]
    handles += [
        Line2D([], [], color=_paler(GREY, white), ls=dash, label=f"{axis} {level_text(axis, level)}")
        for level, (white, dash) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=8)
    figure.supxlabel("Thousand real images shown (kimg)", fontsize=7)
    save_figure(figure, table[TABLE], stem)
    return table[TABLE]


def _rows(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Give family ("" for all) and quantities of each row of panels."""
    present = list(dict.fromkeys(table["quantity"]))
    groups = [("", [name for name in COMPARABLE if name in present])]
    for family in ordered_sources(table["family"]):
        own = dict.fromkeys(table.loc[table["family"] == family, "quantity"])
        groups.append((family, [name for name in own if name not in COMPARABLE]))
    return [
        (family, names[start : start + COLUMNS]) for family, names in groups for start in range(0, len(names), COLUMNS)
    ]


def _level_looks(levels: list[int]) -> dict[int, tuple[float, str]]:
    """Share of white and dashes of each level; the highest is full and solid."""
    whites = np.linspace(PALEST if len(levels) > 1 else 0, 0, len(levels))
    return {
        level: (float(white), DASHES[(len(levels) - 1 - place) % len(DASHES)])
        for place, (level, white) in enumerate(zip(levels, whites, strict=True))
    }


def _paler(color: str, white: float) -> tuple[float, float, float]:
    red, green, blue = (part + (1 - part) * white for part in to_rgb(color))
    return red, green, blue


def _draw_panel(panel: Axes, rows: pd.DataFrame, looks: Mapping[int, tuple[float, str]]) -> None:
    """Draw a line per run, lower levels last: they lie on top where stages are shared."""
    for (level, family, _), part in reversed(list(rows.groupby(["level", "family", "replicate"]))):
        white, dash = looks[int(str(level))]
        style: dict[str, Any] = {"color": _paler(look(str(family)).color, white), "linestyle": dash, "linewidth": 0.9}
        marked = len(part) < FEW or part["sparse"].any()
        panel.plot(part[X], part["value"], marker="." if marked else "", markersize=3, **style)
    panel.set_xlim(left=0)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.yaxis.set_major_locator(MaxNLocator(5))


def _mark_alarm(panel: Axes) -> None:
    """Draw the share of copies from which on the memorisation alarm is raised."""
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, -0.01), max(high, 1.25 * COPY_ALARM))
    panel.axhline(COPY_ALARM, color=GREY, linewidth=0.8, dashes=(4, 3), zorder=1)
    place = ((0, COPY_ALARM), (1, 2), panel.get_yaxis_transform())
    panel.annotate("memorisation alarm", place[0], place[1], place[2], "offset points", fontsize=6, color=GREY)


def _mark_stages(panel: Axes, rows: pd.DataFrame) -> None:
    """Draw a line where a growth goes on to the next resolution, up to the highest level's."""
    starts = rows.dropna(subset=STAGE).groupby(STAGE)[X].min()
    for stage, start in list(starts.items())[1:]:
        panel.axvline(start, color=GREY, linewidth=0.5, dashes=(1, 2), zorder=1)
        place = ((start, 1), (1, -1), panel.get_xaxis_transform())
        text = level_text("resolution", int(float(str(stage))))
        panel.annotate(text, place[0], place[1], place[2], "offset points", fontsize=6, color=GREY, va="top")
