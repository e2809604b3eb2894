"""The answer first: what training on synthetic images costs, per cohort and family, in numbers and in words."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from synthcohort.figures.numbers import TOO_FEW, level_text, summarise

AXIS_PREFERENCE = ["resolution", "samples", "classes", "amount"]
UNDECIDED = "nothing can be said"


@dataclass(frozen=True)
class Answer:
    """One cohort's real classifier against one family."""

    cohort: str
    simulated: bool
    level: str
    source: str
    verdict: str
    """Why there is no answer; empty where there is one."""
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


def best_sources(metrics: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Find the source with the smallest utility gap in each cohort's headline: (cohort, experiment, source)."""
    table = headline(metrics)
    synthetic = table[table["source"] != "real"].sort_values("utility_gap", kind="stable").drop_duplicates("cohort")
    return set(zip(synthetic["cohort"], synthetic["experiment"], synthetic["source"], strict=True))


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
    found = row["verdict"] if TOO_FEW in (row["verdict"], real["verdict"]) or not real["verdict"] else UNDECIDED
    kept = 0.0 if found or pd.isna(row["retention"]) else float(row["retention"])
    has_interval = not pd.isna(row["retention_low"])
    return Answer(
        cohort=cohort,
        simulated=bool(row["simulated"]),
        level=f"{row['axis']} {level_text(row['axis'], row['position'])}",
        source=row["source"],
        verdict=found,
        gap=f"{row['utility_gap']:.3f}",
        gap_interval=_range(row, "utility_gap"),
        retention=f"{kept:.0%}",
        retention_interval=f"{row['retention_low']:.0%} to {row['retention_high']:.0%}" if has_interval else "",
        kept=min(max(kept, 0.0), 1.0),
        sentence=_sentence(row, real, confidence),
    )


def _sentence(row: dict[Any, Any], real: dict[Any, Any], confidence: float) -> str:
    if TOO_FEW in (row["verdict"], real["verdict"]):
        return "No finding has enough positive and negative test patients for a mean; the findings are shown singly."
    if real["verdict"]:
        return (
            f"Trained on real images the classifier does not beat chance itself (mean AUROC {real['auroc']:.3f}, "
            f"{_range(real, 'auroc')}), so nothing can be said about {row['source']}."
        )
    if row["verdict"]:
        return (
            f"{row['source']} was not trained long enough: the mean AUROC of {row['auroc']:.3f} "
            f"({_range(row, 'auroc')}) does not lie above chance, so it says nothing about what sharing would cost."
        )
    text = (
        f"Trained on {row['source']} images instead of real ones, the classifier reaches a mean AUROC of "
        f"{row['auroc']:.3f} instead of {real['auroc']:.3f} on the same held-out patients: a loss of "
        f"{row['utility_gap']:.3f} ({confidence:.0%} interval {_range(row, 'utility_gap')}), which keeps "
        f"{row['retention']:.0%} of what real images teach above chance."
    )
    return text + (" The interval includes no loss at all." if row["utility_gap_low"] <= 0 else "")


def _range(row: dict[Any, Any], metric: str) -> str:
    return f"{row[f'{metric}_low']:.3f} to {row[f'{metric}_high']:.3f}"


def lead_sentence(found: list[Answer]) -> str:
    """Answer the study's question in one sentence."""
    trained = [answer for answer in found if not answer.verdict]
    if found and all(answer.verdict == TOO_FEW for answer in found):
        return "There are too few test patients to say what sharing synthetic images instead of real ones would cost."
    if found and all(answer.verdict == UNDECIDED for answer in found):
        return "The classifier does not even beat chance with real images, so this study cannot say what sharing costs."
    if not trained:
        return "No family was trained long enough to say what sharing synthetic images instead of real ones would cost."
    parts = []
    for cohort in dict.fromkeys(answer.cohort for answer in trained):
        rivals = [answer for answer in trained if answer.cohort == cohort]
        best = min(rivals, key=lambda answer: float(answer.gap))
        choice = f", best of {len(rivals)} trained families" if len(rivals) > 1 else ""
        parts.append(f"{best.gap} AUROC on {cohort} ({best.source}{choice}, {best.level})")
    costs = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"Training on synthetic images instead of the patients’ own costs {costs}."
