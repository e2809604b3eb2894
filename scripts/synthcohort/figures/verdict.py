"""The verdict per cohort and source: at which levels it holds, and what limits it (docs/protocol.md, *The verdict*)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from synthcohort.core.experiment import REAL
from synthcohort.figures.limits import (
    LIMITS,
    TRAINING,
    Comparison,
    Copying,
    Fidelity,
    Interval,
    Limit,
    fidelity_intervals,
    find_limits,
)
from synthcohort.figures.numbers import NOT_TRAINED, TOO_FEW, summarise
from synthcohort.figures.style import CHANCE, LINES

AXIS_PREFERENCE = ["resolution", "samples", "classes", "amount"]
HOLDS, UNDECIDED, FAILS, NO_REFERENCE = "holds", "undecided", "does not hold", "nothing can be said"
JUDGED = (HOLDS, UNDECIDED, FAILS)
OUTCOMES = (*JUDGED, NOT_TRAINED, NO_REFERENCE, TOO_FEW)
NONE_FOUND, NONE_NEEDED = "none found", "none needed"
TABLE = [
    "cohort", "source", "axis", "level", "gap", "ci_low", "ci_high", "margin", "outcome", "replicates", "simulated",
    "limits", "not_measured",
]  # fmt: skip

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Level:
    """What a source reached at one level of an axis.

    Attributes
    ----------
    axis, level, experiment : str
        The level as in the path.
    position : int
        The level as a number.
    replicates : int
    outcome : str
        One of `OUTCOMES`.
    auroc, real, gap, retention : Interval
        Of the source, of the classifier trained on real images, and what follows from both.
    real_lowest : float
        Lower end of the real classifier's AUROC as it is, which under `protocol.flip_auroc` may lie below `real`'s.
    """

    axis: str
    level: str
    experiment: str
    position: int
    replicates: int
    outcome: str
    auroc: Interval
    real: Interval
    gap: Interval
    retention: Interval
    real_lowest: float


@dataclass(frozen=True)
class Verdict:
    """One source of one cohort.

    Attributes
    ----------
    cohort, source : str
    simulated : bool
        Whether the cohort's patients are.
    margin : float
        Loss of AUROC that is accepted.
    headline : Level
        The highest level of the first of its axes, in the order of `AXIS_PREFERENCE`.
    levels : tuple of Level
        In the order of axes, ascending.
    limits : tuple of Limit
        What limits the source at the headline; nothing for mixtures.
    unmeasured : tuple of str
        The limits that nothing was measured for.
    classes : Comparison or None
        The gap with the fewest and with the most label combinations, where their intervals do not meet.
    """

    cohort: str
    source: str
    simulated: bool
    margin: float
    headline: Level
    levels: tuple[Level, ...]
    limits: tuple[Limit, ...] = ()
    unmeasured: tuple[str, ...] = ()
    classes: Comparison | None = None

    @property
    def no_limit(self) -> str:
        """Where no limit was found: `NONE_FOUND` where there is a loss, `NONE_NEEDED` where none was shown.

        Empty where a limit was found, or where none was looked for.
        """
        if self.limits or is_mixture(self.source) or self.headline.outcome not in JUDGED:
            return ""
        if not self.headline.gap.low > 0:
            return NONE_NEEDED
        return NONE_FOUND if {TRAINING, *self.unmeasured} != set(LIMITS) else ""


def is_mixture(source: str) -> bool:
    """Tell ``mix-FAMILY`` and ``pre-FAMILY``, which have real images in them, from a family."""
    return source.partition("-")[0] in LINES


def verdicts(
    metrics: pd.DataFrame, margin: float, copying: Mapping[tuple[str, str, str], Copying] | None = None
) -> list[Verdict]:
    """Judge every source of every cohort by the rules of docs/protocol.md.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    margin : float
        Loss of mean AUROC that is accepted (`statistics.non_inferiority_margin`).
    copying : mapping of (cohort, experiment, family) to Copying, optional
        What was seen of each generator; of one that is left out it is not known.

    Returns
    -------
    list of Verdict
        In the order of cohorts and sources.
    """
    table, fidelity = summarise(metrics), fidelity_intervals(metrics)
    found = []
    for (cohort, source), rows in table[table["source"] != REAL].groupby(["cohort", "source"], sort=False):
        beside = table[(table["cohort"] == cohort) & (table["source"] == REAL)].to_dict("records")
        real = {row["experiment"]: row for row in beside}
        pairs = [(row, real[row["experiment"]]) for row in rows.to_dict("records") if row["experiment"] in real]
        if pairs:
            levels = tuple(sorted((_level(*pair, margin) for pair in pairs), key=_axis_order))
            keys = str(cohort), str(source), bool(rows["simulated"].any()), margin
            found.append(_with_limits(Verdict(*keys, _headline(levels), levels), fidelity, copying or {}))
    return found


def verdict_table(found: list[Verdict]) -> pd.DataFrame:
    """Tabulate verdicts: a row per cohort, source and level.

    Returns
    -------
    pandas.DataFrame
        The columns `TABLE`. ``limits`` and ``not_measured`` (names joined by ``;``) stand in the headline's row alone.
    """
    rows = []
    for verdict in found:
        keys = {key: getattr(verdict, key) for key in ("cohort", "source", "margin", "simulated")}
        for level in verdict.levels:
            top = level == verdict.headline
            row = {**keys, **{key: getattr(level, key) for key in ("axis", "level", "outcome", "replicates")}}
            row |= dict(zip(("gap", "ci_low", "ci_high"), level.gap, strict=True))
            row["limits"] = (";".join(limit.name for limit in verdict.limits) or verdict.no_limit) if top else ""
            row["not_measured"] = ";".join(verdict.unmeasured) if top else ""
            rows.append(row)
    return pd.DataFrame(rows, columns=TABLE)


def _axis_order(level: Level) -> tuple[int, str, int]:
    known = level.axis in AXIS_PREFERENCE
    return AXIS_PREFERENCE.index(level.axis) if known else len(AXIS_PREFERENCE), level.axis, level.position


def _level(row: Row, real: Row, margin: float) -> Level:
    gap, reference = _interval(row, "utility_gap"), _interval(real, "auroc")
    return Level(
        **{key: row[key] for key in ("axis", "level", "experiment", "position", "replicates")},
        outcome=_outcome(row["verdict"], real["verdict"], gap, real["lowest"], margin),
        auroc=_interval(row, "auroc"),
        real=reference,
        gap=gap,
        retention=_interval(row, "retention"),
        real_lowest=float(real["lowest"]),
    )


def _interval(row: Row, metric: str) -> Interval:
    return Interval(float(row[metric]), float(row[f"{metric}_low"]), float(row[f"{metric}_high"]))


def _outcome(own: str, reference: str, gap: Interval, lowest: float, margin: float) -> str:
    if TOO_FEW in (own, reference):
        return TOO_FEW
    if reference:
        return NO_REFERENCE
    if own:
        return NOT_TRAINED
    if gap.high <= margin:
        # Where real images teach no more than the margin, losing no more than it shows nothing.
        return HOLDS if lowest > CHANCE + margin else NO_REFERENCE
    return FAILS if gap.low > margin else UNDECIDED


def _headline(levels: tuple[Level, ...]) -> Level:
    return [level for level in levels if level.axis == levels[0].axis][-1]


def _with_limits(verdict: Verdict, fidelity: Fidelity, copying: Mapping[tuple[str, str, str], Copying]) -> Verdict:
    """Add what limits a family."""
    top, levels = verdict.headline, verdict.levels
    if is_mixture(verdict.source):
        return verdict
    limits: tuple[Limit, ...] = ()
    unmeasured: tuple[str, ...] = ()
    if top.outcome == NOT_TRAINED:
        limits = (Limit(TRAINING, (Comparison("auroc", top.auroc, Interval(CHANCE)),)),)
    elif top.outcome in JUDGED:
        # The levels of the amount axis share one generator, which belongs to the lowest.
        home = levels[0] if top.axis == "amount" else top
        seen = copying.get((verdict.cohort, home.experiment, verdict.source))
        generator = verdict.cohort, top.experiment, verdict.source
        limits, unmeasured = find_limits(generator, fidelity, seen, _ends(levels, "samples", "retention"))
    classes = _ends(levels, "classes", "gap")
    if classes and not (classes.own.below(classes.other) or classes.other.below(classes.own)):
        classes = None
    return replace(verdict, limits=limits, unmeasured=unmeasured, classes=classes)


def _ends(levels: tuple[Level, ...], axis: str, metric: str) -> Comparison | None:
    """Compare the lowest with the highest of those levels of an axis that could be judged."""
    judged = [level for level in levels if level.axis == axis and level.outcome in JUDGED]
    if len(judged) < 2:
        return None
    own, other = getattr(judged[0], metric), getattr(judged[-1], metric)
    found = Comparison(metric, own, other, (judged[0].position, judged[-1].position))
    return found if own.known and other.known else None
