"""The answer first: what training on synthetic images costs, per cohort and family, in numbers and in words."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from synthcohort.figures.numbers import level_text, summarise

AXIS_PREFERENCE = ["resolution", "samples", "classes", "amount"]


@dataclass(frozen=True)
class Answer:
    """One cohort's real classifier against one family."""

    cohort: str
    simulated: bool
    level: str
    source: str
    trained: bool
    gap: str
    gap_interval: str
    retention: str
    retention_interval: str
    kept: float
    """Retention cut to 0–1, for the bar."""
    sentence: str


def headline(metrics: pd.DataFrame) -> pd.DataFrame:
    """Keep, per cohort, the highest level of the resolution axis (or of the first axis that there is)."""
    table = summarise(metrics)
    kept = []
    for _, rows in table.groupby("cohort", sort=False):
        axes = set(rows["axis"])
        axis = next((name for name in AXIS_PREFERENCE if name in axes), min(axes))
        rows = rows[rows["axis"] == axis]
        kept.append(rows[rows["position"] == rows["position"].max()])
    return pd.concat(kept, ignore_index=True)


def answers(metrics: pd.DataFrame, confidence: float) -> list[Answer]:
    """Answer for each cohort and family, in the order of cohorts and families."""
    table = headline(metrics)
    found = []
    for cohort, rows in table.groupby("cohort", sort=False):
        real = next((row for row in rows.to_dict("records") if row["source"] == "real"), None)
        if real is None:
            continue
        for row in rows[rows["source"] != "real"].to_dict("records"):
            found.append(_answer(str(cohort), row, real, confidence))
    return found


def _answer(cohort: str, row: dict[Any, Any], real: dict[Any, Any], confidence: float) -> Answer:
    trained = bool(row["beats_chance"])
    defined = bool(real["beats_chance"]) and not pd.isna(row["retention"])
    has_interval = defined and not pd.isna(row["retention_low"])
    return Answer(
        cohort=cohort,
        simulated=bool(row["simulated"]),
        level=f"{row['axis']} {level_text(row['axis'], row['position'])}",
        source=row["source"],
        trained=trained and bool(real["beats_chance"]),
        gap=f"{row['utility_gap']:.3f}",
        gap_interval=f"{row['utility_gap_low']:.3f} to {row['utility_gap_high']:.3f}",
        retention=f"{row['retention']:.0%}" if defined else "not defined",
        retention_interval=f"{row['retention_low']:.0%} to {row['retention_high']:.0%}" if has_interval else "",
        kept=min(max(float(row["retention"]), 0.0), 1.0) if defined else 0.0,
        sentence=_sentence(row, real, trained, confidence),
    )


def _sentence(row: dict[Any, Any], real: dict[Any, Any], trained: bool, confidence: float) -> str:
    if not real["beats_chance"]:
        return (
            f"Trained on real images the classifier does not beat chance itself (mean AUROC {real['auroc']:.3f}, "
            f"{_range(real, 'auroc')}), so nothing can be said about {row['source']}."
        )
    if not trained:
        return (
            f"{row['source']} was not trained long enough: the mean AUROC of {row['auroc']:.3f} ({_range(row, 'auroc')}) does "
            "not lie above chance, so it says nothing about what sharing would cost."
        )
    text = (
        f"Trained on {row['source']} images instead of real ones, the classifier reaches a mean AUROC of "
        f"{row['auroc']:.3f} instead of {real['auroc']:.3f} on the same held-out patients: a loss of "
        f"{row['utility_gap']:.3f} ({confidence:.0%} interval {_range(row, 'utility_gap')})"
    )
    if not pd.isna(row["retention"]):
        text += f", which keeps {row['retention']:.0%} of what real images teach above chance"
    if row["utility_gap_low"] <= 0:
        text += ". The interval includes no loss at all"
    return text + "."


def _range(row: dict[Any, Any], metric: str) -> str:
    return f"{row[f'{metric}_low']:.3f} to {row[f'{metric}_high']:.3f}"


def lead_sentence(found: list[Answer]) -> str:
    """Answer the study's question in one sentence."""
    best: dict[str, Answer] = {}
    for answer in found:
        if answer.trained and (answer.cohort not in best or float(answer.gap) < float(best[answer.cohort].gap)):
            best[answer.cohort] = answer
    if not best:
        return "No family was trained long enough to say what sharing synthetic images instead of real ones would cost."
    parts = [f"{item.gap} AUROC on {item.cohort} ({item.source}, {item.level})" for item in best.values()]
    costs = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"Training on synthetic images instead of the patients’ own costs {costs}."
