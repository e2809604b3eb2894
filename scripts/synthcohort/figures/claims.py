"""Whether a study shows what the paper claims: each claim a comparison of two numbers, decided by their intervals."""

from typing import Any, NamedTuple

import pandas as pd

from synthcohort.figures.numbers import select, verdict
from synthcohort.readers.vocabulary import ALL

CEILING = 0.99
"""Machine AUROC from which on, at both levels, nothing can rise any more."""
SHOWS, OPPOSITE, UNCLEAR = "shows", "the opposite shows", "does not show"
TRIVIAL_TELL = "in part by a trivial tell: real background is exactly 0, synthetic background has faint noise"
"""Note on machine detection, whatever its outcome: so it is on the embedded cohorts, see docs/protocol.md."""
COLUMNS = [
    "claim", "cohort", "source", "metric", "smaller", "smaller_value", "smaller_low", "smaller_high", "larger",
    "larger_value", "larger_low", "larger_high", "replicates", "simulated", "outcome",
    "note",
]  # fmt: skip


class Trend(NamedTuple):
    """A claim about a metric at the lowest and at the highest level of an axis."""

    text: str
    axis: str
    metric: str
    rises: bool
    """Whether the metric is claimed to be larger at the highest level, or at the lowest."""


TRENDS = [
    Trend("the gap shrinks with fewer label combinations", "classes", "utility_gap", True),
    Trend("the gap grows with fewer training images", "samples", "utility_gap", False),
    Trend("machine detection rises with resolution", "resolution", "machine_auroc", True),
    Trend("readers get better with resolution", "resolution", "reader_accuracy", True),
]
AHEAD = "cpd-gan is ahead of prog-gan"


def claims(metrics: pd.DataFrame) -> pd.DataFrame:
    """Compare, for each claim of the paper, the two numbers that it is about.

    A claim *shows* where the number that is claimed to be larger is so and their intervals are disjoint; *the opposite
    shows* where they are disjoint the other way round; it *does not show* where they overlap, which is no proof against
    it. It is *not testable* where a classifier is not above chance (for the claim about two families: neither of them),
    where there is no mean, where machine detection is at its ceiling at both levels, or where readers are simulated.
    Disjoint intervals are a strict test: the two numbers share their test patients.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.

    Returns
    -------
    pandas.DataFrame
        One row per claim, cohort and family (for the claim about two families: per level), with `COLUMNS`; empty where
        the study has no axis that a claim is about.
    """
    rows = [row for trend in TRENDS for row in _trend(metrics, trend)] + _ahead(metrics)
    return pd.DataFrame(rows, columns=COLUMNS)


def _trend(metrics: pd.DataFrame, trend: Trend) -> list[dict[str, Any]]:
    on_axis = metrics[(metrics["axis"] == trend.axis) & ~metrics["source"].str.match("mix-|pre-")]
    on_axis = on_axis[~(on_axis[["cohort", "source", "level"]] == ALL).any(axis=1)]
    values = select(on_axis, trend.metric, ["mean", ""])
    unjudged = _unjudged(on_axis) if trend.metric == "utility_gap" else {}
    found = []
    for _, levels in values.sort_values("position").groupby(["cohort", "source"]):
        records = levels.to_dict("records")
        low, high = records[0], records[-1]
        if low is high:
            continue
        reasons = [unjudged.get((end["cohort"], end["experiment"], end["source"]), "") for end in (low, high)]
        if trend.metric == "machine_auroc" and min(low["value"], high["value"]) >= CEILING:
            reasons.append(f"{CEILING} and more at both levels")
        if trend.metric == "reader_accuracy" and low["simulated"]:
            reasons.append("the readers are simulated")
        smaller, larger = (low, high) if trend.rises else (high, low)
        found.append(_row(trend.text, smaller, larger, "experiment", reasons))
    return found


def _ahead(metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare the gaps of the paper's two families at every level that has both."""
    gaps = select(metrics, "utility_gap", ["mean"])
    unjudged = _unjudged(metrics)
    found = []
    for _, rows in gaps.groupby(["cohort", "experiment"], sort=False):
        by_source = {row["source"]: row for row in rows.to_dict("records")}
        if not {"cpd-gan", "prog-gan"} <= set(by_source):
            continue
        pair = by_source["cpd-gan"], by_source["prog-gan"]
        reasons = [unjudged[end["cohort"], end["experiment"], end["source"]] for end in pair]
        row = _row(AHEAD, *pair, "source", reasons if all(reasons) else [])
        found.append(row | {"claim": f"{AHEAD} at {pair[0]['experiment']}"})
    return found


def _unjudged(metrics: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Say why a source of an experiment cannot be judged: (cohort, experiment, source) → reason, empty where it can."""
    auroc = select(metrics, "auroc", ["mean"])
    keys = list(zip(auroc["cohort"], auroc["experiment"], auroc["source"], strict=True))
    reasons = dict(zip(keys, verdict(auroc), strict=True))
    return {(*of, source): reason or reasons.get((*of, "real"), "") for (*of, source), reason in reasons.items()}


def _row(claim: str, smaller: dict[Any, Any], larger: dict[Any, Any], name: str, reasons: list[str]) -> dict[str, Any]:
    """Compare two numbers of which the second is claimed to be larger."""
    reason = next(filter(None, reasons), "")
    if reason:
        outcome = f"not testable: {reason}"
    elif larger["ci_low"] > smaller["ci_high"]:
        outcome = SHOWS
    else:
        outcome = OPPOSITE if smaller["ci_low"] > larger["ci_high"] else UNCLEAR
    row = {
        "claim": claim,
        "cohort": smaller["cohort"],
        "source": smaller["source"],
        "metric": smaller["metric"],
        "replicates": int(min(smaller["replicates"], larger["replicates"])),
        "simulated": bool(smaller["simulated"]),
        "outcome": outcome,
        "note": TRIVIAL_TELL if smaller["metric"] == "machine_auroc" and smaller["simulated"] else "",
    }
    for side, end in (("smaller", smaller), ("larger", larger)):
        row |= {side: end[name], f"{side}_value": end["value"]}
        row |= {f"{side}_low": end["ci_low"], f"{side}_high": end["ci_high"]}
    return row
