"""The metrics as CSV and as LaTeX tables."""

from pathlib import Path
from typing import Any

import pandas as pd

from synthcohort.core.atomic import write_csv, write_text
from synthcohort.figures.numbers import AXIS_LABELS, level_text, one_axis, summarise

LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "²": "$^2$", "\u202f": r"\,"}
)
NONE = "--"


def write_tables(metrics: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Write, for each axis, ``{axis}.csv`` (every number, every digit) and ``{axis}.tex`` (means, booktabs).

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    folder : str or Path
        For example ``results/demo/tables``.

    Returns
    -------
    list of Path
        What was written.
    """
    written = []
    for axis in sorted(set(metrics["axis"])):
        rows = one_axis(metrics, axis)
        written += [Path(folder) / f"{axis}.csv", Path(folder) / f"{axis}.tex"]
        write_csv(written[-2], rows)
        write_text(written[-1], latex_table(rows, axis))
    return written


def latex_table(metrics: pd.DataFrame, axis: str) -> str:
    """Write the means of one axis as a booktabs table, intervals in brackets.

    A family whose AUROC interval reaches chance has no gap and no retention, but the words *not trained long enough*.
    """
    columns = ["Cohort", escape(AXIS_LABELS.get(axis, axis)), "Trained on", "AUROC", "Utility gap", r"Retention (\%)"]
    lines = [
        "% Needs \\usepackage{booktabs}.",
        r"\begin{tabular}{llllll}",
        r"\toprule",
        " & ".join(columns) + r" \\",
        r"\midrule",
    ]
    previous: dict[str, Any] = {}
    for row in summarise(metrics).to_dict("records"):
        same_cohort = previous.get("cohort") == row["cohort"]
        if previous and not same_cohort:
            lines.append(r"\addlinespace")
        same_level = same_cohort and previous.get("level") == row["level"]
        cohort = row["cohort"] + (" (simulated)" if row["simulated"] else "")
        level = level_text(axis, row["position"])
        cells = ["" if same_cohort else escape(cohort), "" if same_level else escape(level), escape(row["source"])]
        lines.append(" & ".join([*cells, interval(row, "auroc"), *_costs(row)]) + r" \\")
        previous = {str(key): value for key, value in row.items()}
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _costs(row: dict[Any, Any]) -> list[str]:
    if row["source"] == "real":
        return [NONE, NONE]
    if row["verdict"]:
        return [rf"\multicolumn{{2}}{{l}}{{{row['verdict']}}}"]
    return [interval(row, "utility_gap"), interval(row, "retention", scale=100, digits=0)]


def interval(row: dict[Any, Any], metric: str, scale: float = 1, digits: int = 3) -> str:
    """Write ``0.843 [0.823, 0.863]``, or ``--`` where there is no value."""
    if pd.isna(row[metric]):
        return NONE
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    bracket = "" if pd.isna(low) else f" [{low * scale:.{digits}f}, {high * scale:.{digits}f}]"
    return f"{row[metric] * scale:.{digits}f}{bracket}"


def escape(text: str) -> str:
    """Make text safe for LaTeX."""
    return text.translate(LATEX)
