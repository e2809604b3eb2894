"""The answer first: what training on synthetic images costs, per cohort and family, in numbers and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from synthcohort.core.config import Statistics
from synthcohort.figures.numbers import NOT_TRAINED, TOO_FEW, level_text, summarise
from synthcohort.figures.report.generators import GeneratorRun, copying
from synthcohort.figures.report.words import interval_text, level_lines, limit_lines, number, title
from synthcohort.figures.style import CHANCE
from synthcohort.figures.verdict import AXIS_PREFERENCE, JUDGED, NO_REFERENCE, Verdict, is_mixture, verdicts


@dataclass(frozen=True)
class Answer:
    """One cohort's real classifier against one source."""

    cohort: str
    simulated: bool
    level: str
    source: str
    verdict: str
    """Why there is no answer; empty where there is one."""
    title: str
    gap: str
    gap_interval: str
    retention: str
    retention_interval: str
    kept: float
    """Retention cut to 0–1, for the bar."""
    sentence: str
    where: list[tuple[str, str]]
    """Of each axis its name, and at which levels the verdict is what."""
    limits: list[tuple[str, str]]
    """Name and sentence of each limit; sentences without a name say what else is to be known."""


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
    """Find the family with the smallest utility gap in each cohort's headline: (cohort, experiment, source)."""
    table = headline(metrics)
    synthetic = table[(table["source"] != "real") & ~table["source"].map(is_mixture).astype(bool)]
    best = synthetic.sort_values("utility_gap", kind="stable").drop_duplicates("cohort")
    return set(zip(best["cohort"], best["experiment"], best["source"], strict=True))


def answers(metrics: pd.DataFrame, statistics: Statistics, generators: Sequence[GeneratorRun] = ()) -> list[Answer]:
    """Answer for each cohort and source: families before mixtures, the smallest loss first."""
    found = verdicts(metrics, statistics.non_inferiority_margin, copying(generators))
    return [_answer(verdict, statistics.confidence) for verdict in sorted(found, key=_best_first)]


def _best_first(verdict: Verdict) -> tuple[str, bool, bool, int, float]:
    top = verdict.headline
    place = AXIS_PREFERENCE.index(top.axis) if top.axis in AXIS_PREFERENCE else len(AXIS_PREFERENCE)
    gap = top.gap.value if top.outcome in JUDGED else 0.0
    return verdict.cohort, is_mixture(verdict.source), top.outcome not in JUDGED, place, gap


def _answer(verdict: Verdict, confidence: float) -> Answer:
    top = verdict.headline
    judged = top.outcome in JUDGED
    kept = top.retention.value if judged and not pd.isna(top.retention.value) else 0.0
    return Answer(
        cohort=verdict.cohort,
        simulated=verdict.simulated,
        level=f"{top.axis} {level_text(top.axis, top.position)}",
        source=verdict.source,
        verdict="" if judged else top.outcome,
        title=title(verdict),
        gap=number(top.gap.value),
        gap_interval=interval_text(top.gap),
        retention=f"{kept:.0%}",
        retention_interval=interval_text(top.retention, percent=True) if top.retention.known else "",
        kept=min(max(kept, 0.0), 1.0),
        sentence=_sentence(verdict, confidence),
        where=level_lines(verdict),
        limits=limit_lines(verdict),
    )


def _sentence(verdict: Verdict, confidence: float) -> str:
    top, source = verdict.headline, verdict.source
    own, real = (f"{number(part.value)}, {interval_text(part)}" for part in (top.auroc, top.real))
    if top.outcome == TOO_FEW:
        return "No finding has enough positive and negative test patients for a mean; the findings are shown singly."
    if top.outcome == NO_REFERENCE:
        beats = (
            f"may beat chance by no more than {verdict.margin:g}"
            if top.real_lowest > CHANCE
            else "does not beat chance"
        )
        return (
            f"Trained on real images the classifier {beats} itself (mean AUROC {real}), so nothing can be said about "
            f"{source}."
        )
    if top.outcome == NOT_TRAINED:
        return (
            f"{source} was not trained long enough: the mean AUROC ({own}) does not lie above chance"
            f"{', unless it is flipped' if top.auroc.low > CHANCE else ''}, so it says nothing about what sharing "
            "would cost."
        )
    kind, _, family = source.partition("-")
    images = {
        "mix": f"real and {family} images together instead of real ones alone",
        "pre": f"{family} images and then on real ones instead of real ones alone",
    }.get(kind, f"{source} images instead of real ones")
    over = ", over patients only" if top.replicates == 1 else f", {top.replicates} replicates"
    text = (
        f"Trained on {images}, the classifier reaches a mean AUROC of {number(top.auroc.value)} instead of "
        f"{number(top.real.value)} on the same held-out patients: a loss of {number(top.gap.value)} "
        f"({confidence:.0%} interval {interval_text(top.gap)}{over})."
    )
    return text + (" The interval includes no loss at all." if top.gap.low <= 0 else "")


def lead_sentence(found: list[Answer]) -> str:
    """Answer the study's question in one sentence."""
    families = [answer for answer in found if not is_mixture(answer.source)]
    trained = [answer for answer in families if not answer.verdict]
    if families and all(answer.verdict == TOO_FEW for answer in families):
        return "There are too few test patients to say what sharing synthetic images instead of real ones would cost."
    if families and all(answer.verdict == NO_REFERENCE for answer in families):
        return "The classifier does not even beat chance with real images, so this study cannot say what sharing costs."
    if not trained:
        return "No family was trained long enough to say what sharing synthetic images instead of real ones would cost."
    parts = []
    for cohort in dict.fromkeys(answer.cohort for answer in trained):
        best = next(answer for answer in trained if answer.cohort == cohort)
        rivals = [answer for answer in trained if (answer.cohort, answer.level) == (cohort, best.level)]
        choice = f", best of {len(rivals)} trained families" if len(rivals) > 1 else ""
        parts.append(f"{best.gap} AUROC on {cohort} ({best.source}{choice}, {best.level})")
    costs = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"Training on synthetic images instead of the patients’ own costs {costs}."
