"""AUROC per finding at one experiment: real beside each family."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from synthcohort.cohort.findings import finding_list
from synthcohort.core.errors import UserError
from synthcohort.figures.numbers import NOT_TRAINED, POOLED, TOO_FEW, level_text, verdict, with_replicates
from synthcohort.figures.style import (
    CHANCE,
    GREY,
    MM,
    ONE_COLUMN,
    TWO_COLUMNS,
    display_name,
    look,
    ordered_sources,
    save_figure,
    styled,
    title_panel,
)

COLUMNS = [
    "cohort", "experiment", "finding", "source", "replicate", "value", "ci_low", "ci_high", "n", "replicates",
    "simulated",
]  # fmt: skip
BAR = 2.0 * MM
NOT_AVERAGED = "†"


Averaged = Mapping[str, Collection[str]]
"""Cohort → findings that enter the mean, as experiments.csv has them."""


def finding_table(metrics: pd.DataFrame, experiment: str, averaged: Averaged) -> pd.DataFrame:
    """Tabulate what the figure shows: a row per cohort, finding, source and replicate; mean first, then by real AUROC.

    Raises
    ------
    UserError
        When the metrics hold nothing for the experiment.
    """
    rows = metrics[metrics["experiment"] == experiment]
    if rows.empty:
        known = ", ".join(sorted(set(metrics["experiment"]))) or "none"
        raise UserError(f"metrics.parquet holds nothing for the experiment '{experiment}'; it holds: {known}.")
    rows = with_replicates(rows[rows["finding"] != "mean_common"], "auroc").dropna(subset="value")
    rows["averaged"] = [
        finding == "mean" or finding in averaged.get(cohort, [finding])
        for cohort, finding in zip(rows["cohort"], rows["finding"], strict=True)
    ]
    real = rows[(rows["source"] == "real") & (rows["replicate"] == POOLED)].set_index(["cohort", "finding"])["value"]
    reference = pd.MultiIndex.from_frame(rows[["cohort", "finding"]])
    rows["order"] = np.where(rows["finding"] == "mean", np.inf, real.reindex(reference).to_numpy())
    rows["rank"] = rows["source"].map({name: place for place, name in enumerate(ordered_sources(rows["source"]))})
    keys = {"cohort": True, "order": False, "finding": True, "rank": True, "replicate": True}
    rows = rows.sort_values(list(keys), ascending=list(keys.values()), ignore_index=True)
    return rows[[*COLUMNS, "averaged"]].assign(verdict=verdict(rows).where(rows["replicate"] == POOLED, ""))


@styled
def draw_finding_figure(
    metrics: pd.DataFrame,
    experiment: str,
    stem: str | Path,
    averaged: Averaged | None = None,
    display: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Draw AUROC per finding for real and each family, one panel per cohort, and save it under `stem`.

    Bars start at chance (0.5), not at 0; findings with too few patients for the mean are pale and marked †; a bar whose
    interval reaches chance is hollow.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    experiment : str
        For example ``"resolution-032"``.
    stem : str or Path
        Path without suffix.
    averaged : mapping, optional
        Cohort → findings that enter the mean; a cohort that is not named has all of them averaged.
    display : mapping, optional
        Finding → name for people, as in store.json.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV.

    Raises
    ------
    UserError
        When the metrics hold nothing for the experiment.
    """
    table = finding_table(metrics, experiment, averaged or {})
    measured = metrics[(metrics["experiment"] == experiment) & (metrics["metric"] == "auroc")]
    cohorts = sorted(set(measured["cohort"]))  # other rows pool cohorts, as those of readers do
    sources = ordered_sources(table["source"])
    tallest = max([1, *table.groupby("cohort")["finding"].nunique()])
    height = 18 * MM + tallest * (len(sources) * BAR + 2.2 * MM)
    figure = Figure((ONE_COLUMN if len(cohorts) == 1 else TWO_COLUMNS, height), layout="constrained")
    panels = figure.subplots(1, len(cohorts), squeeze=False)[0]
    for panel, cohort in zip(panels, cohorts, strict=True):
        rows = table[table["cohort"] == cohort]
        _draw_panel(panel, rows, sources, display or {})
        panel.set_xlim(float(np.nanmin([*table["ci_low"], CHANCE])) - 0.03, 1.0)
        title_panel(panel, cohort, bool(rows["simulated"].any()))
    axis, _, level = experiment.rpartition("-")
    figure.supxlabel(f"AUROC on held-out patients, {axis} {level_text(axis, int(level))}", fontsize=7)
    figure.legend(
        handles=[Patch(color=look(source).color, label=source) for source in sources],
        loc="outside upper center",
        ncols=len(sources),
    )
    save_figure(figure, table, stem)
    return table


def _draw_panel(panel: Axes, rows: pd.DataFrame, sources: list[str], display: Mapping[str, str]) -> None:
    """Draw the bars of one cohort, the first finding on top."""
    if rows.empty:
        panel.text(0.5, 0.5, TOO_FEW, transform=panel.transAxes, ha="center", color=GREY)
    findings = list(dict.fromkeys(rows["finding"]))
    step = len(sources) + 1.1
    for bar in rows.to_dict("records"):
        y = -findings.index(bar["finding"]) * step - sources.index(bar["source"])
        color = look(bar["source"]).color
        if bar["replicate"] != POOLED:
            panel.plot(bar["value"], y, ".", color="#333333", markersize=2, alpha=0.6)
            continue
        face = "white" if bar["verdict"] == NOT_TRAINED else color
        alpha = 1.0 if bar["averaged"] else 0.35
        length = bar["value"] - CHANCE
        panel.barh(y, length, 0.82, CHANCE, color=face, edgecolor=color, linewidth=0.7, alpha=alpha)
        panel.hlines(y, bar["ci_low"], bar["ci_high"], "white", linewidth=2.2, alpha=0.7)
        panel.hlines(y, bar["ci_low"], bar["ci_high"], "#333333", linewidth=0.8)
    averaged = rows.groupby("finding")["averaged"].all()
    names = [_name(finding, bool(averaged[finding]), display) for finding in findings]
    panel.set_yticks([-number * step - (len(sources) - 1) / 2 for number in range(len(findings))], names)
    panel.tick_params(axis="y", length=0)
    for label, finding in zip(panel.get_yticklabels(), findings, strict=True):
        label.set_fontweight("bold" if finding == "mean" else "normal")
    panel.grid(axis="y", visible=False)
    panel.grid(axis="x")
    panel.spines["left"].set_visible(False)
    panel.axvline(CHANCE, color=GREY, linewidth=0.8)
    panel.set_ylim(-len(findings) * step + 0.6, 1.1)


def _name(finding: str, averaged: bool, display: Mapping[str, str]) -> str:
    name = "Mean" if finding == "mean" else display.get(finding, display_name(finding))
    return name if averaged else f"{name} {NOT_AVERAGED}"


def averaged_findings(experiments: Mapping[str, pd.DataFrame], experiment: str) -> Averaged:
    """Look up which findings of each cohort enter the mean of an experiment.

    Parameters
    ----------
    experiments : mapping
        Cohort → its experiments.csv.
    experiment : str
        For example ``"resolution-032"``.
    """
    averaged = {}
    for cohort, table in experiments.items():
        row = table.set_index("experiment")["averaged"]
        if experiment in row.index:
            averaged[cohort] = finding_list(row[experiment])
    return averaged
