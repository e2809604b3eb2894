"""Training curves: whatever the histories hold, against thousand real images shown."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from synthcohort.core.errors import UserError
from synthcohort.figures.style import MM, TWO_COLUMNS, display_name, save_figure, styled

X = "kimg"
NOT_CURVES = {X, "tick", "seconds", "learning_rate"}
"""Columns that say where a training is, not how well it goes."""
COLUMNS = 3
FEW = 10
"""Fewer points than this are marked: a single one would not show as a line."""
DASHES = ("-", "--", ":", "-.")


def training_table(histories: Mapping[str, str | Path]) -> pd.DataFrame:
    """Tabulate what the figure shows: one row per label, quantity and kimg with a finite value.

    Raises
    ------
    UserError
        When a history lacks the column ``kimg``, or when no history holds anything to draw.
    """
    parts = []
    for label, path in histories.items():
        history = pd.read_csv(path)
        if X not in history:
            raise UserError(f"the training history of {label} lacks the column '{X}'; train it again.")
        numeric = history.select_dtypes("number")
        names = [name for name in numeric if name not in NOT_CURVES]
        parts.append(numeric.melt(X, names, "quantity", "value").assign(label=label))
    table = pd.concat(parts) if parts else pd.DataFrame(columns=["label", "quantity", X, "value"])
    table = table[np.isfinite(table["value"].astype(float))]
    if table.empty:
        raise UserError("no training history holds a quantity to draw; train at least one tick.")
    return table[["label", "quantity", X, "value"]].reset_index(drop=True)


@styled
def draw_training_figure(histories: Mapping[str, str | Path], stem: str | Path) -> pd.DataFrame:
    """Draw every numeric column of the histories in a panel of its own, one line per history, and save it under `stem`.

    Parameters
    ----------
    histories : mapping
        Label → history.csv of a generator or classifier, with a column ``kimg``.
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
    quantities, labels = list(dict.fromkeys(table["quantity"])), list(dict.fromkeys(table["label"]))
    columns = min(COLUMNS, len(quantities))
    rows = -(-len(quantities) // columns)
    legend_rows = -(-len(labels) // COLUMNS)
    figure = Figure((TWO_COLUMNS, (rows * 38 + legend_rows * 4.5 + 6) * MM), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    colors = colormaps["viridis"](np.linspace(0, 0.85, len(labels))) if len(labels) > 7 else [f"C{i}" for i in range(7)]
    for panel, quantity in zip(panels, quantities, strict=False):
        for number, label in enumerate(labels):
            part = table[(table["quantity"] == quantity) & (table["label"] == label)]
            style = {"color": colors[number], "linestyle": DASHES[number % len(DASHES)], "linewidth": 0.9}
            panel.plot(part[X], part["value"], marker="." if len(part) < FEW else "", label=label, **style)
        panel.set_title(display_name(quantity), fontweight="normal")
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(5))
    for panel in panels[len(quantities) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(quantities) - columns) : len(quantities)]:
        panel.tick_params(labelbottom=True)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=COLUMNS)
    figure.supxlabel("Thousand real images shown (kimg)", fontsize=7)
    save_figure(figure, table, stem)
    return table
