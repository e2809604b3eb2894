"""How well readers tell synthetic images from real ones, beside a machine: accuracy against resolution, and ROC."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from synthcohort.figures.captions import Words
from synthcohort.figures.numbers import AXIS_LABELS, level_text, select
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
)
from synthcohort.readers.vocabulary import ALL, AXIS, THRESHOLDS

READERS, MACHINE = "all readers", "machine"
NOBODY = "Nobody has answered yet."
SIMULATED_NOTE = (
    "Simulated readers are programs whose ability was set by hand; they answered through the same pages’ interface as "
    "people do. Their answers say nothing about the images. People’s answers replace theirs as soon as there are any "
    "(docs/reader-study.md)."
)
COLUMNS = ["cohort", "family", "level", "reader", "value", "ci_low", "ci_high", "n", "margin", "simulated"]
SPREAD = 0.28
"""Width that the dots of single readers take, to the left of the mark of all; levels are 1 apart."""
ASIDE = 0.16
"""Distance of the machine's mark to the right."""
MACHINE_MARK = "D"


def reader_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """Tabulate what the figure shows: a row per cohort, family and level for each reader, for all, and for the machine.

    ``simulated`` says that the readers are; of the machine, that the patients are. Empty where nobody has answered.
    """
    keys = ["cohort", "source", "level"]
    cells = metrics[~(metrics[keys] == ALL).any(axis=1)]
    answers = cells[cells["metric"] == "reader_accuracy"]
    if answers.empty:
        return pd.DataFrame(columns=COLUMNS)
    people = answers.assign(reader=answers["parameter"].where(answers["parameter"] != "", READERS))
    machine = select(metrics[metrics["axis"] == AXIS], "machine_accuracy", [""]).assign(reader=MACHINE)
    machine = machine.merge(answers[keys].drop_duplicates(), on=keys)
    table = pd.concat([people, machine], ignore_index=True).assign(margin=equivalence_margin(metrics))
    rank = table["reader"].map({READERS: 0, MACHINE: 2}).fillna(1)
    table = table.assign(rank=rank, family=table["source"])
    return table.sort_values(["cohort", "family", "level", "rank", "reader"], ignore_index=True)[COLUMNS]


def equivalence_margin(metrics: pd.DataFrame) -> float:
    """Distance from 0.5 that counts as chance in this study."""
    return float(metrics.loc[metrics["metric"] == "reader_equivalence_p", "parameter"].iloc[0])


@styled
def draw_reader_figure(metrics: pd.DataFrame, stem: str | Path) -> pd.DataFrame:
    """Draw accuracy against resolution, a panel per cohort and family, and save it under `stem`.

    A mark with an interval is all readers, dots are single readers, hollow marks the machine; broken: chance, with the
    margin that counts as chance shaded.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet, with the readers' rows and ``machine_accuracy``.
    stem : str or Path
        Path without suffix.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV.
    """
    table = reader_table(metrics)
    if table.empty:
        return _save_nothing(table, stem)
    cohorts, families = sorted(set(table["cohort"])), ordered_sources(table["family"])
    figure = Figure((TWO_COLUMNS, (46 * len(cohorts) + 14) * MM), layout="constrained")
    panels = figure.subplots(len(cohorts), len(families), sharey=True, squeeze=False)
    for line, cohort in zip(panels, cohorts, strict=True):
        levels = sorted(set(table.loc[table["cohort"] == cohort, "level"]))
        for panel, family in zip(line, families, strict=True):
            rows = table[(table["cohort"] == cohort) & (table["family"] == family)]
            _draw_panel(panel, rows, family, levels)
            panel.set_title(f"{cohort}, {family}", fontsize=7)
        line[0].set_ylabel("Accuracy, real or synthetic")
    drawn = [*table["value"], *table.loc[table["reader"].isin([READERS, MACHINE]), "ci_low"], CHANCE]
    panels[0, 0].set_ylim(max(-0.03, float(np.nanmin(drawn)) - 0.05), 1.03)
    _draw_legend(figure, table)
    figure.supxlabel(AXIS_LABELS[AXIS], fontsize=7)
    save_figure(figure, table, stem)
    return table


def _draw_panel(panel: Axes, rows: pd.DataFrame, family: str, levels: list[str]) -> None:
    style = look(family)
    margin = rows["margin"].max()
    panel.axhspan(CHANCE - margin, CHANCE + margin, color=GREY, alpha=0.12, linewidth=0)
    panel.axhline(CHANCE, color=GREY, linewidth=0.8, dashes=(4, 3), zorder=1)
    places = rows["level"].map({level: place for place, level in enumerate(levels)}).astype(float)
    together, machine = rows["reader"] == READERS, rows["reader"] == MACHINE
    for level, own in rows[~together & ~machine].groupby("level"):
        aside = np.linspace(-SPREAD, 0, len(own) + 1)[:-1] - 0.05
        panel.plot(levels.index(str(level)) + aside, own["value"], ".", color=style.color, alpha=0.5, markersize=3)
    own = rows[together]
    panel.plot(places[together], own["value"], style.marker + "-", color=style.color, markersize=3.5, linewidth=0.8)
    panel.vlines(places[together], own["ci_low"], own["ci_high"], style.color, linewidth=1.1)
    own = rows[machine]
    panel.vlines(places[machine] + ASIDE, own["ci_low"], own["ci_high"], "black", linewidth=0.7)
    panel.plot(places[machine] + ASIDE, own["value"], MACHINE_MARK, color="black", mfc="white", markersize=3)
    panel.set_xticks(range(len(levels)), [level_text(AXIS, int(level)) for level in levels])
    panel.set_xlim(-0.6, len(levels) - 0.4)


def _draw_legend(figure: Figure, table: pd.DataFrame) -> None:
    word = "simulated readers" if are_simulated(table) else "readers"
    handles = [
        Line2D([], [], color=GREY, marker="o", markersize=3.5, label=f"all {word}, with interval"),
        Line2D([], [], color=GREY, marker=".", linestyle="", label=f"single {word}"),
        Line2D([], [], color="black", marker=MACHINE_MARK, mfc="white", linestyle="", markersize=3, label="machine"),
        Line2D([], [], color=GREY, dashes=(4, 3), linewidth=0.8, label="chance"),
        Patch(color=GREY, alpha=0.12, linewidth=0, label=f"chance ± {table['margin'].iloc[0]:g}"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=5)


@styled
def draw_roc_figure(metrics: pd.DataFrame, stem: str | Path) -> pd.DataFrame:
    """Draw the ROC curve of all readers' answers, by confidence, and save it under `stem`.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    stem : str or Path
        Path without suffix.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: ``threshold`` (score from which on an image counts as called synthetic),
        ``false_positive_rate``, ``true_positive_rate``, ``n`` and ``simulated``.
    """
    table = roc_table(metrics)
    if table.empty:
        return _save_nothing(table, stem)
    figure = Figure((ONE_COLUMN, ONE_COLUMN), layout="constrained")
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, dashes=(4, 3))
    points = table[["false_positive_rate", "true_positive_rate"]].to_numpy()
    panel.plot(*np.vstack([(1, 1), points, (0, 0)]).T, "o-", color="black", markersize=3, linewidth=1)
    for threshold, x, y in table[["threshold", "false_positive_rate", "true_positive_rate"]].to_numpy():
        panel.annotate(
            f"{threshold:+.0f}".replace("-", "−"),
            (x, y),
            (-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=5.5,
            color=GREY,
        )
    area = pooled(metrics, "reader_auroc")
    word = "simulated readers" if table["simulated"].any() else "readers"
    panel.set_title(f"AUROC of {word} {number_text(area)}", fontsize=7)
    panel.set_xlabel("Real images called synthetic")
    panel.set_ylabel("Synthetic images called synthetic")
    panel.set_aspect("equal")
    save_figure(figure, table, stem)
    return table


def roc_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the points of the ROC curve; empty where nobody has answered."""
    columns = {f"reader_{name}": name for name in ("false_positive_rate", "true_positive_rate")}
    rows = metrics[metrics["metric"].isin(list(columns))]
    if rows.empty:
        return pd.DataFrame(columns=["threshold", *columns.values(), "n", "simulated"])
    wide = rows.pivot(index="parameter", columns="metric", values="value").rename(columns=columns)
    table = wide.reindex([f"{threshold:+d}" for threshold in THRESHOLDS]).reset_index(drop=True)
    shown = rows.groupby("metric")["n"].first().sum()
    return table.rename_axis(columns=None).assign(
        threshold=list(THRESHOLDS), n=int(shown), simulated=bool(rows["simulated"].any())
    )[["threshold", *columns.values(), "n", "simulated"]]


def _save_nothing(table: pd.DataFrame, stem: str | Path) -> pd.DataFrame:
    figure = Figure((TWO_COLUMNS, 14 * MM))
    figure.text(0.5, 0.5, NOBODY, ha="center", va="center")
    save_figure(figure, table, stem)
    return table


def are_simulated(table: pd.DataFrame) -> bool:
    """Whether the readers in what `reader_table` gives are simulated."""
    return bool(table.loc[table["reader"] != MACHINE, "simulated"].any())


def pooled(metrics: pd.DataFrame, metric: str, **keys: str) -> pd.Series | None:
    """Find the row of all readers for a part of the answers; None where there is none."""
    keys = {"cohort": ALL, "source": ALL, "level": ALL} | keys
    rows = metrics[metrics["metric"] == metric]
    rows = rows[rows["parameter"].eq("") | (metric == "reader_equivalence_p")]
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    return None if rows.empty else rows.iloc[0]


def number_text(row: pd.Series | None, form: str = ".2f") -> str:
    """Write a value with its interval."""
    if row is None or pd.isna(row["value"]):
        return "–"
    interval = "" if pd.isna(row["ci_low"]) else f" ({row['ci_low']:{form}} to {row['ci_high']:{form}})"
    return f"{row['value']:{form}}{interval}".replace("-", "−")


def reader_words(metrics: pd.DataFrame, confidence: float) -> Words:
    """Describe the figure of `draw_reader_figure`."""
    table = reader_table(metrics)
    title = "Readers’ accuracy against resolution"
    if table.empty:
        return Words(title, NOBODY, NOBODY)
    simulated = are_simulated(table)
    people = table[table["reader"] == READERS]
    word = "simulated readers" if simulated else "readers"
    sentences = [
        f"Accuracy of {word} who tell real from synthetic images of the same labels, one at a time; dots: each reader.",
        f"{confidence:.0%} intervals over readers and images.",
        f"Shaded: within {table['margin'].iloc[0]:g} of chance.",
        f"n = {' to '.join(str(count) for count in sorted({people['n'].min(), people['n'].max()}))} answers to each.",
        SIMULATED_NOTE if simulated else "",
    ]
    if (table["reader"] == MACHINE).any():
        sentences.insert(
            2,
            "Hollow: a small network trained to do the same, on other images of the same kind, with an interval over "
            "patients and synthetic images.",
        )
    lines = [
        f"{row['cohort']}, {row['family']}, {level_text(AXIS, int(row['level']))}: {row['value']:.2f}"
        for row in people.to_dict("records")
    ]
    return Words(title, " ".join(filter(None, sentences)), f"Accuracy of {word} by panel. {'; '.join(lines)}.")


def roc_words(metrics: pd.DataFrame, confidence: float) -> Words:
    """Describe the figure of `draw_roc_figure`."""
    title = "Readers’ confidence as a score: ROC curve"
    table = roc_table(metrics)
    if table.empty:
        return Words(title, NOBODY, NOBODY)
    area = number_text(pooled(metrics, "reader_auroc"))
    caption = (
        "All answers together, from certainly real (−5) to certainly synthetic (+5); numbers: score from which on an "
        f"image counts as called synthetic. The AUROC is the mean of the readers’, with its {confidence:.0%} interval "
        f"over readers and images. n = {table['n'].iloc[0]} answers."
    )
    note = f" {SIMULATED_NOTE}" if table["simulated"].any() else ""
    return Words(title, caption + note, f"ROC curve of readers’ confidence; AUROC {area}.")


class ReaderFigure(NamedTuple):
    """A figure and its words."""

    draw: Callable[[pd.DataFrame, str | Path], pd.DataFrame]
    words: Callable[[pd.DataFrame, float], Words]


READER_FIGURES = {
    "accuracy": ReaderFigure(draw_reader_figure, reader_words),
    "roc": ReaderFigure(draw_roc_figure, roc_words),
}
