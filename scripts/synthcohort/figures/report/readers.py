"""The report's section on readers: what they found, in sentences and as a table."""

from typing import NamedTuple

import pandas as pd

from synthcohort.figures.numbers import level_text, select
from synthcohort.figures.readers import SIMULATED_NOTE, equivalence_margin, number_text, pooled
from synthcohort.figures.report.table import Table
from synthcohort.figures.style import CHANCE
from synthcohort.readers.vocabulary import ALL, AXIS, PROFESSIONS

TABLE_NOTE = (
    "Intervals, tests and AUROC are over readers and images, both random, from first exposures only; images of one "
    "patient count together. Readers tell images apart where the test against chance rejects, and are as good as "
    "chance where their accuracy is shown to lie within the margin (two one-sided tests, each at {alpha:.2g}: the same "
    "as a {within:.0%} interval within the margin, so that the wider one shown here may reach beyond it); where "
    "neither holds, the study was too small to tell. None of the tests is adjusted for the number of rows. Where few "
    "readers differ widely and are mostly right, an AUROC’s {confidence:.0%} interval holds the truth less often than "
    "it says (docs/reader-study.md). Machine: accuracy of a small network trained to do the same."
)
EACH_NOTE = (
    "First exposures only; accuracy with its exact binomial interval, AUROC after DeLong. Repeated: share of images "
    "shown twice that got the same answer again. Seconds: median per image by the server’s clock."
)
COLUMNS = [
    "Images of",
    "Outcome",
    "Accuracy",
    "Machine",
    "Against chance, p",
    "As good as chance, p",
    "AUROC",
    "Fleiss’ κ",
    "n",
]
EACH_COLUMNS = ["Reader", "Profession", "Years", "n", "Accuracy", "AUROC", "Repeated", "Seconds"]
APART, REVERSED, AS_CHANCE, OPEN = "told apart", "mistaken for one another", "as good as chance", "cannot be told"
WITHIN = ", by less than the margin"
FACTS = {
    "reader_trend": ("Accuracy changed by {} with every doubling of the resolution.", "+.2f"),
    "reader_learning": ("From the first image to the last it changed by {} (learning).", "+.2f"),
    "reader_repeat_agreement": ("Readers gave repeated images the same answer again in a share of {}.", ".2f"),
    "reader_repeat_kappa": ("Beyond each reader’s own chance that is a Cohen’s κ of {}.", ".2f"),
}
EACH = {"reader_accuracy": ".2f", "reader_auroc": ".2f", "reader_repeat_agreement": ".2f", "reader_seconds": ".0f"}
"""Metrics of single readers, and how they are written."""


class Section(NamedTuple):
    """What the section says beside its figures."""

    sentences: list[str]
    """What was found: all answers together, trend, learning, agreement."""
    simulated: str
    """Note that the readers are simulated, or empty."""
    table: Table
    note: str
    """Under the table."""
    each: Table
    """A row per reader."""
    each_note: str


def reader_section(metrics: pd.DataFrame, confidence: float) -> Section | None:
    """Put the section together.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    confidence : float
        Level of its intervals; tests are at the rest.

    Returns
    -------
    Section or None
        None where nobody has answered.
    """
    whole = pooled(metrics, "reader_accuracy")
    if whole is None:
        return None
    alpha, simulated = 1 - confidence, bool(whole["simulated"])
    answers = metrics[metrics["metric"] == "reader_accuracy"]
    count = answers.loc[answers["parameter"] != "", "parameter"].nunique()
    word = ("simulated reader" if simulated else "reader") + ("" if count == 1 else "s")
    lead = (
        f"{_named(metrics)}{count} {word} told real from synthetic images with an accuracy of {number_text(whole)} "
        f"(chance 0.5; margin {equivalence_margin(metrics):g}): {outcome(metrics, alpha)}."
    )
    found = [(pooled(metrics, name), *form) for name, form in FACTS.items()]
    facts = [text.format(number_text(row, form)) for row, text, form in found if row is not None]
    keys = ["cohort", "source", "level"]
    parts = answers.loc[answers["parameter"] == "", keys].sort_values(keys)
    shared = (parts == ALL).sum(axis=1)
    ordered = [part for count in (3, 2, 0) for part in parts[shared == count].to_dict("records")]
    caption = f"Do {'simulated readers' if simulated else 'readers'} tell synthetic images from real ones?"
    rows = [_row(metrics, alpha, part["cohort"], part["source"], part["level"]) for part in ordered]
    table = Table(caption, COLUMNS, rows, words=2)
    note = TABLE_NOTE.format(alpha=alpha, within=1 - 2 * alpha, confidence=confidence)
    told = [lead, *facts, *_unused(metrics)]
    return Section(told, SIMULATED_NOTE if simulated else "", table, note, _each(metrics, word), EACH_NOTE)


def _named(metrics: pd.DataFrame) -> str:
    own = metrics.loc[metrics["metric"] == "reader_study", "parameter"]
    return f"Reader study {own.iloc[0]}: " if len(own) else ""


def _unused(metrics: pd.DataFrame) -> list[str]:
    """Name earlier reader studies whose answers are not shown."""
    others = metrics[metrics["metric"] == "reader_study_unused"]
    return [
        f"Reader study {row['parameter']} holds {row['n']} answers about another selection of images; they are not in "
        "here."
        for row in others.to_dict("records")
    ]


def _each(metrics: pd.DataFrame, word: str) -> Table:
    """Tabulate each reader's results."""
    whole = metrics[(metrics[["cohort", "source", "level"]] == ALL).all(axis=1)]
    readers = whole[(whole["metric"] == "reader_years")].sort_values("parameter")
    rows = []
    for told in readers.to_dict("records"):
        own = whole[whole["parameter"] == told["parameter"]].set_index("metric")
        found = {name: own.loc[name] if name in own.index else None for name in EACH}
        known = told["features"] in PROFESSIONS
        rows.append(
            [
                told["parameter"],
                PROFESSIONS.get(told["features"], told["features"]),
                f"{told['value']:.0f}" if known else "–",
                f"{told['n']}",
                *(number_text(found[name], form) for name, form in EACH.items()),
            ]
        )
    return Table(f"Each {word.removesuffix('s')}", EACH_COLUMNS, rows, words=2)


def outcome(metrics: pd.DataFrame, alpha: float, **keys: str) -> str:
    """Say what the tests found about a part of the answers."""
    apart, alike = (pooled(metrics, f"reader_{name}_p", **keys) for name in ("chance", "equivalence"))
    if apart is None or alike is None:
        return OPEN
    within = alike["value"] < alpha
    if not apart["value"] < alpha:
        return AS_CHANCE if within else OPEN
    accuracy = pooled(metrics, "reader_accuracy", **keys)
    above = accuracy is not None and accuracy["value"] > CHANCE
    return (APART if above else REVERSED) + (WITHIN if within else "")


def _row(metrics: pd.DataFrame, alpha: float, cohort: str, source: str, level: str) -> list[str]:
    keys = {"cohort": cohort, "source": source, "level": level}
    parts = [cohort, source, ALL if level == ALL else level_text(AXIS, int(level))]
    accuracy = pooled(metrics, "reader_accuracy", **keys)
    return [
        ", ".join(part for part in parts if part != ALL) or ALL,
        outcome(metrics, alpha, **keys),
        number_text(accuracy),
        _machine_text(metrics, **keys),
        *(_p_text(pooled(metrics, f"reader_{name}_p", **keys)) for name in ("chance", "equivalence")),
        number_text(pooled(metrics, "reader_auroc", **keys)),
        number_text(pooled(metrics, "reader_fleiss_kappa", **keys)),
        "" if accuracy is None else f"{accuracy['n']}",
    ]


def _machine_text(metrics: pd.DataFrame, **keys: str) -> str:
    """Write the machine's accuracy, which is measured for a cohort, family and resolution."""
    rows = select(metrics[metrics["axis"] == AXIS], "machine_accuracy", [""])
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    return number_text(None if rows.empty else rows.iloc[0])


def _p_text(row: pd.Series | None) -> str:
    if row is None or pd.isna(row["value"]):
        return "–"
    return "< 0.001" if row["value"] < 0.001 else f"{row['value']:.3f}"
