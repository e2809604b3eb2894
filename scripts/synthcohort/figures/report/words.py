"""A verdict in words: title, levels, limits."""

from synthcohort.figures.limits import (
    COPIES,
    DIVERSITY,
    FEW_SAMPLES,
    LABEL_FIDELITY,
    TRAINING,
    Comparison,
    Interval,
    Limit,
)
from synthcohort.figures.numbers import AXIS_LABELS, level_text
from synthcohort.figures.verdict import FAILS, HOLDS, JUDGED, NONE_FOUND, NONE_NEEDED, OUTCOMES, UNDECIDED, Verdict

TITLES = {
    HOLDS: "Holds: loses at most {margin:g} AUROC",
    UNDECIDED: "Undecided: may lose less or more than {margin:g} AUROC",
    FAILS: "Does not hold: loses more than {margin:g} AUROC",
}
LIMIT_SENTENCES = {
    TRAINING: "It was too short; no other limit is named before a family beats chance.",
    COPIES: "The memorisation alarm was raised: about {share} of its samples copy training images.",
    LABEL_FIDELITY: "The images do not show the findings that they were drawn for as clearly as real ones: {evidence}.",
    DIVERSITY: "The images vary less than real ones: {evidence}.",
    FEW_SAMPLES: "It loses more with few images: it keeps {evidence} training images per label combination.",
}
MEASURES = {
    "label_fidelity": "the judge’s AUROC",
    "recall": "recall",
    "coverage": "coverage",
    "diversity": "similarity of image pairs",
}
MISSING = {COPIES: "copies of training images", FEW_SAMPLES: "training with fewer images"}
LOSSLESS = "The interval includes no loss; seen all the same:"
UNEXPLAINED = "Nothing that was measured here explains the loss."
NOT_NEEDED = "None was found, and none is needed: the interval includes no loss."


def title(verdict: Verdict) -> str:
    """Say in a few words what came out at the headline."""
    outcome = verdict.headline.outcome
    return TITLES.get(outcome, outcome.capitalize()).format(margin=verdict.margin)


def level_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """Say of each axis, by its name, at which levels the verdict holds, and what it is at the others."""
    lines = []
    for axis in dict.fromkeys(level.axis for level in verdict.levels):
        levels = [level for level in verdict.levels if level.axis == axis]
        names = [level_text(axis, level.position) for level in levels]
        places = {
            outcome: [place for place, level in enumerate(levels) if level.outcome == outcome] for outcome in OUTCOMES
        }
        held = places.pop(HOLDS)
        others = "; ".join(f"{outcome} at {_places(found, names)}" for outcome, found in places.items() if found)
        text = (_places(held, names) if held else "nowhere") + (f" ({others})" if others else "")
        lines.append((AXIS_LABELS.get(axis, axis), text))
    return lines


def _places(places: list[int], names: list[str]) -> str:
    """Write ``16²``, ``16² and 32²``, or, of more than two levels side by side, ``16² to 128²``."""
    *others, last = (names[place] for place in places)
    if len(others) > 1 and places[-1] - places[0] == len(others):
        return f"{others[0]} to {last}"
    return f"{', '.join(others)} and {last}" if others else last


def limit_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """Say what limits a family: name and sentence of each limit, and sentences without a name about the rest."""
    lines = [(limit.name.capitalize(), _limit_sentence(limit)) for limit in verdict.limits]
    if lines and verdict.headline.outcome in JUDGED and verdict.headline.gap.low <= 0:
        lines.insert(0, ("", LOSSLESS))
    if verdict.no_limit:
        lines.append(("", {NONE_FOUND: UNEXPLAINED, NONE_NEEDED: NOT_NEEDED}[verdict.no_limit]))
    if verdict.classes:
        way = "grows" if verdict.classes.own.value > verdict.classes.other.value else "shrinks"
        lines.append(("", f"The loss {way} with fewer label combinations: {_between_levels(verdict.classes)}."))
    if verdict.unmeasured:
        names = ", ".join(MISSING.get(name, name) for name in verdict.unmeasured)
        lines.append(("", f"Not measured, so left open: {names}."))
    return lines


def _limit_sentence(limit: Limit) -> str:
    first = limit.evidence[0]
    if first.levels:
        evidence = _between_levels(first, percent=True)
    else:
        evidence = "; ".join(
            f"{MEASURES.get(item.metric, item.metric)} {_with_interval(item.own)}, real images "
            f"{_with_interval(item.other)}"
            for item in limit.evidence
        )
    return LIMIT_SENTENCES[limit.name].format(evidence=evidence, share=f"{max(0.0, first.own.value):.0%}")


def _between_levels(found: Comparison, percent: bool = False) -> str:
    """Only samples and combinations are compared so, and both are counts."""
    low, high = (
        f"{_with_interval(interval, percent)} with {level_text('', level)}"
        for interval, level in zip((found.own, found.other), found.levels, strict=True)
    )
    return f"{low}, {high}"


def number(value: float, percent: bool = False) -> str:
    """Write a number with three digits, or in percent; never a negative zero."""
    return format(value, "z.0%" if percent else "z.3f").replace("-", "−")


def interval_text(interval: Interval, percent: bool = False) -> str:
    """Write ``0.069 to 0.109``."""
    return f"{number(interval.low, percent)} to {number(interval.high, percent)}"


def _with_interval(interval: Interval, percent: bool = False) -> str:
    return f"{number(interval.value, percent)} ({interval_text(interval, percent)})"
