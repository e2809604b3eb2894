"""The verdict: each rule where it applies and where it just does not, in numbers, in the table and in words."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthcohort.core.config import Statistics
from synthcohort.figures.limits import DIVERSITY_SHARE, LIMITS, Copying
from synthcohort.figures.report.answer import answers, lead_sentence
from synthcohort.figures.style import CHANCE
from synthcohort.figures.verdict import OUTCOMES, Verdict, verdict_table, verdicts
from synthcohort.measures.distances import COPY_ALARM

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
MARGIN = 0.05
FINEST = ("resolution", "032")


def row(metric: str, value: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    """One row of metrics.parquet, of r3-gan at 32² where nothing else is said."""
    axis, level = more.pop("at", FINEST)
    given = {
        "study": "s", "cohort": "c", "experiment": f"{axis}-{level}", "axis": axis, "level": level, "source": "r3-gan",
        "replicate": "r0", "metric": metric, "finding": "mean", "role": "value", "features": "", "parameter": "",
        "value": value, "ci_low": low, "ci_high": high, "n": 100, "simulated": False,
    }  # fmt: skip
    return given | more


def level(
    gap: tuple[float, float, float] = (0.1, 0.08, 0.12),
    retention: tuple[float, float, float] = (0.7, 0.6, 0.8),
    real: tuple[float, float, float] = (0.9, 0.88, 0.92),
    **more: Any,
) -> list[dict[str, Any]]:
    """The real classifier's and a source's rows at one level; the source's AUROC is 0.02 wide to both sides."""
    auroc = real[0] - gap[0]
    return [
        row("auroc", *real, **more | {"source": "real"}),
        row("auroc", auroc, auroc - 0.02, auroc + 0.02, **more),
        row("utility_gap", *gap, **more),
        row("retention", *retention, **more),
    ]


def beside(metric: str, own: tuple[float, float, float], real: tuple[float, float, float]) -> list[dict[str, Any]]:
    """A metric of fidelity and its floor, as the audit writes them."""
    finding = "mean" if metric == "label_fidelity" else ""
    parameter = "ssim" if metric == "diversity" else ""
    words = {"finding": finding, "features": "judge", "parameter": parameter}
    return [row(metric, *own, **words), row(metric, *real, **words, source="real", role="floor")]


def table(*parts: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([item for part in parts for item in part]).drop_duplicates(ignore_index=True)


def judge(*parts: list[dict[str, Any]], copying: Any = None, margin: float = MARGIN) -> Verdict:
    """The verdict on r3-gan."""
    return next(item for item in verdicts(table(*parts), margin, copying) if item.source == "r3-gan")


def names(verdict: Verdict) -> list[str]:
    return [limit.name for limit in verdict.limits]


def lines(*parts: list[dict[str, Any]], generators: Any = ()) -> str:
    """What the report says limits r3-gan."""
    found = next(item for item in answers(table(*parts), Statistics(), generators) if item.source == "r3-gan")
    return " ".join(f"{name}: {text}" if name else text for name, text in found.limits)


# Does it hold?


@pytest.mark.parametrize(
    ("gap", "outcome"),
    [
        ((0.02, -0.01, 0.05), "holds"),  # ends exactly at the margin
        ((0.02, -0.01, 0.0500001), "undecided"),
        ((0.07, 0.05, 0.09), "undecided"),  # begins exactly at the margin
        ((0.07, 0.0500001, 0.09), "does not hold"),
        ((-0.05, -0.09, -0.01), "holds"),
    ],
)
def test_the_gaps_interval_is_held_against_the_margin(gap: tuple[float, float, float], outcome: str) -> None:
    assert judge(level(gap)).headline.outcome == outcome


def test_another_margin_gives_another_outcome() -> None:
    outcomes = [judge(level((0.1, 0.08, 0.12)), margin=margin).headline.outcome for margin in (0.05, 0.1, 0.2)]
    assert outcomes == ["does not hold", "undecided", "holds"]


@pytest.mark.parametrize(
    ("real", "gap", "outcome"),
    [
        ((0.60, 0.49, 0.70), (0.2, 0.1, 0.3), "nothing can be said"),  # real images teach nothing
        (
            (0.60, 0.55, 0.65),
            (0.0, -0.02, 0.02),
            "nothing can be said",
        ),  # no more than the margin, so losing it is easy
        ((0.60, 0.5500001, 0.65), (0.0, -0.02, 0.02), "holds"),
        ((0.60, 0.53, 0.67), (0.04, 0.01, 0.07), "undecided"),
        ((0.60, 0.55, 0.65), (0.09, 0.06, 0.12), "not trained long enough"),
        ((np.nan, np.nan, np.nan), (np.nan, np.nan, np.nan), "too few test patients"),
    ],
)
def test_what_cannot_be_judged_is_not_called_worse(
    real: tuple[float, float, float], gap: tuple[float, float, float], outcome: str
) -> None:
    assert judge(level(gap, real=real)).headline.outcome == outcome


def test_each_level_of_each_axis_has_its_outcome() -> None:
    parts = [
        level((0.01, 0, 0.02), at=("samples", "00800")),
        level((0.2, 0.1, 0.3), at=("samples", "00050")),
        level((0.04, 0.01, 0.06), at=("samples", "00200")),
        level((0.01, 0, 0.02), at=("resolution", "016")),
        level((0.1, 0.08, 0.12), at=("resolution", "032")),
        level((0.1, 0.08, 0.12), at=("classes", "002")),
    ]
    verdict = judge(*parts)
    assert [(item.axis, item.level, item.outcome) for item in verdict.levels] == [
        ("resolution", "016", "holds"),
        ("resolution", "032", "does not hold"),
        ("samples", "00050", "does not hold"),
        ("samples", "00200", "undecided"),
        ("samples", "00800", "holds"),
        ("classes", "002", "does not hold"),
    ]
    assert verdict.headline.level == "032"
    (answer,) = answers(table(*parts), Statistics())
    assert answer.title == "Does not hold: loses more than 0.05 AUROC"
    assert answer.where == [
        ("Resolution (pixels)", "16² (does not hold at 32²)"),
        ("Training images per label combination", "800 (undecided at 200; does not hold at 50)"),
        ("Label combinations", "nowhere (does not hold at 2)"),
    ]


def test_more_than_two_levels_side_by_side_are_a_range() -> None:
    held, lost = (0.01, 0, 0.02), (0.2, 0.1, 0.3)
    outcomes = {"00010": lost, "00020": held, "00030": held, "00040": held, "00050": lost, "00060": lost, "00070": held}
    (answer,) = answers(table(*[level(gap, at=("samples", name)) for name, gap in outcomes.items()]), Statistics())
    assert answer.where[0][1] == "20, 30, 40 and 70 (does not hold at 10, 50 and 60)"
    fewer = {name: gap for name, gap in outcomes.items() if name < "00070"}
    (answer,) = answers(table(*[level(gap, at=("samples", name)) for name, gap in fewer.items()]), Statistics())
    assert answer.where[0][1] == "20 to 40 (does not hold at 10, 50 and 60)"


def test_a_source_without_the_first_axis_is_judged_on_its_own_first() -> None:
    found = verdicts(table(level(), level(at=("amount", "0200"), source="mix-r3-gan")), MARGIN)
    assert {item.source: item.headline.axis for item in found} == {"r3-gan": "resolution", "mix-r3-gan": "amount"}


def test_without_a_real_classifier_beside_it_a_level_has_no_verdict() -> None:
    rows = table(level(), level(at=("samples", "00050")))
    rows = rows[~((rows["source"] == "real") & (rows["axis"] == "resolution"))]
    (verdict,) = verdicts(rows, MARGIN)
    assert [item.axis for item in verdict.levels] == ["samples"]
    assert verdicts(rows[rows["source"] != "real"], MARGIN) == []


# What limits it?


def test_training_is_named_alone() -> None:
    untrained = level((0.38, 0.3, 0.4))
    poor = beside("label_fidelity", (0.5, 0.4, 0.6), (0.9, 0.85, 0.95))
    verdict = judge(untrained, poor, copying={("c", "resolution-032", "r3-gan"): Copying(True, 0.5)})
    assert (names(verdict), verdict.unmeasured, verdict.no_limit) == (["training"], (), "")
    assert lines(untrained, poor).startswith("Training: It was too short")
    assert names(judge(level((0.1, 0.08, 0.12)), poor)) == ["label fidelity"]


def test_copies_are_named_where_the_alarm_was_raised_for_this_very_generator() -> None:
    here, elsewhere = ("c", "resolution-032", "r3-gan"), ("c", "resolution-016", "r3-gan")
    assert names(judge(level(), copying={here: Copying(True, 0.25)})) == ["copies"]
    clean = judge(level(), copying={here: Copying(False, 0.09)})
    assert (names(clean), "copies" in clean.unmeasured) == ([], False)
    unknown = judge(level(), copying={elsewhere: Copying(True, 0.25)})
    assert (names(unknown), "copies" in unknown.unmeasured) == ([], True)


def test_the_amount_axis_has_the_generator_of_its_lowest_level() -> None:
    parts = level(at=("amount", "0050")), level(at=("amount", "0200"))
    copying = {("c", "amount-0050", "r3-gan"): Copying(True, 0.25)}
    assert names(judge(*parts, copying=copying)) == ["copies"]


def test_several_replicates_of_a_generator_copy_if_one_does() -> None:
    runs = [
        SimpleNamespace(cohort="c", experiment="resolution-032", family="r3-gan", copied=share, alarm=alarm)
        for share, alarm in ((0.3, True), (0.01, False), (None, False))
    ]
    assert "Copies: The memorisation alarm was raised: about 30% of its samples" in lines(level(), generators=runs)
    assert "left open: copies of training images" in lines(level(), generators=runs[2:])
    assert "copies" not in lines(level(), generators=runs[1:2]).lower()


@pytest.mark.parametrize(
    ("metric", "own", "real", "limits"),
    [
        ("label_fidelity", (0.7, 0.6, 0.79), (0.9, 0.80, 1.0), ["label fidelity"]),
        ("label_fidelity", (0.7, 0.6, 0.80), (0.9, 0.80, 1.0), []),  # the intervals touch
        ("label_fidelity", (0.99, 0.98, 1.0), (0.9, 0.85, 0.95), []),  # exaggerated findings are no lack of them
        ("recall", (0.5, 0.45, 0.55), (0.7, 0.65, 0.75), ["diversity"]),
        ("recall", (0.4, 0.35, 0.44), (0.5, 0.45, 0.55), []),  # exactly 0.8 of the floor
        ("recall", (0.399, 0.35, 0.44), (0.5, 0.45, 0.55), ["diversity"]),
        ("recall", (0.5, 0.35, 0.65), (0.7, 0.65, 0.75), []),
        ("coverage", (0.5, 0.45, 0.55), (0.7, 0.65, 0.75), ["diversity"]),
        ("coverage", (0.6, 0.58, 0.62), (0.7, 0.65, 0.75), []),  # apart, but near
        ("diversity", (0.5, 0.45, 0.55), (0.4, 0.36, 0.44), ["diversity"]),
        ("diversity", (0.45, 0.44, 0.46), (0.4, 0.36, 0.44), []),
        ("diversity", (0.2, 0.15, 0.25), (0.4, 0.36, 0.44), []),  # more varied than real images
    ],
)
def test_fidelity_limits_where_intervals_are_apart(
    metric: str, own: tuple[float, float, float], real: tuple[float, float, float], limits: list[str]
) -> None:
    verdict = judge(level(), beside(metric, own, real))
    assert names(verdict) == limits
    group = "label fidelity" if metric == "label_fidelity" else "diversity"
    assert group not in verdict.unmeasured
    assert {"label fidelity", "diversity"} - {group} <= set(verdict.unmeasured)


def test_fidelity_at_another_level_or_of_another_family_limits_nothing() -> None:
    poor = beside("recall", (0.1, 0.05, 0.15), (0.7, 0.65, 0.75))
    coarse = [item | {"experiment": "resolution-016", "level": "016"} for item in poor]
    other = [item | {"source": item["source"].replace("r3-gan", "cpd-gan")} for item in poor]
    for part in (coarse, other):
        verdict = judge(level(), level(at=("resolution", "016")), part)
        assert names(verdict) == []
        assert "diversity" in verdict.unmeasured


def test_a_control_without_an_interval_is_not_measured() -> None:
    verdict = judge(level(), beside("label_fidelity", (0.5, 0.4, 0.6), (0.9, np.nan, np.nan)))
    assert names(verdict) == []
    assert "label fidelity" in verdict.unmeasured


def test_few_samples_limit_where_retention_differs() -> None:
    low, high = ("samples", "00050"), ("samples", "00800")
    top = level((0.1, 0.08, 0.12), (0.8, 0.71, 0.9), at=high)
    worse = level((0.1, 0.08, 0.12), (0.6, 0.5, 0.7), at=low)
    assert names(judge(level(), worse, top)) == ["few samples"]
    assert "it keeps 60% (50% to 70%) with 50, 80% (71% to 90%) with 800 training images" in lines(level(), worse, top)
    touching = judge(level(), level((0.1, 0.08, 0.12), (0.6, 0.5, 0.71), at=low), top)
    assert (names(touching), "few samples" in touching.unmeasured) == ([], False)
    better = judge(level(), level((0.1, 0.08, 0.12), (0.95, 0.92, 0.98), at=low), top)
    assert names(better) == []


def test_a_level_that_was_not_trained_says_nothing_of_few_samples() -> None:
    untrained = level((0.4, 0.3, 0.5), (0.0, -0.1, 0.1), at=("samples", "00050"))
    verdict = judge(level(), untrained, level((0.1, 0.08, 0.12), (0.8, 0.7, 0.9), at=("samples", "00800")))
    assert names(verdict) == []
    assert "few samples" in verdict.unmeasured


@pytest.mark.parametrize(
    ("few", "many", "sentence"),
    [
        ((0.10, 0.08, 0.12), (0.02, 0.0, 0.04), "The loss grows with fewer label combinations: 0.100 (0.080 to 0.120)"),
        ((0.02, 0.0, 0.04), (0.10, 0.08, 0.12), "The loss shrinks with fewer label combinations: 0.020 (0.000 to"),
        ((0.06, 0.04, 0.08), (0.10, 0.08, 0.12), ""),
    ],
)
def test_combinations_are_an_observation_no_limit(
    few: tuple[float, float, float], many: tuple[float, float, float], sentence: str
) -> None:
    parts = level(), level(few, at=("classes", "002")), level(many, at=("classes", "010"))
    assert names(judge(*parts)) == []
    assert sentence in lines(*parts)
    assert bool(judge(*parts).classes) == bool(sentence)


def test_limits_have_an_order_and_a_sentence_each() -> None:
    parts = [
        level((0.02, -0.01, 0.04)),
        level((0.2, 0.1, 0.3), (0.3, 0.2, 0.4), at=("samples", "00050")),
        level((0.02, -0.01, 0.04), (0.9, 0.8, 1.0), at=("samples", "00800")),
        beside("diversity", (0.8, 0.7, 0.9), (0.4, 0.3, 0.5)),
        beside("coverage", (0.1, 0.0, 0.2), (0.9, 0.8, 1.0)),
        beside("label_fidelity", (0.6, 0.5, 0.7), (0.9, 0.8, 1.0)),
    ]
    copying = {("c", "resolution-032", "r3-gan"): Copying(True, 0.2)}
    assert names(judge(*parts, copying=copying)) == ["copies", "label fidelity", "diversity", "few samples"]
    text = lines(*parts)
    assert text.startswith("The interval includes no loss; seen all the same:")
    assert "the judge’s AUROC 0.600 (0.500 to 0.700), real images 0.900 (0.800 to 1.000)." in text
    assert (
        "coverage 0.100 (0.000 to 0.200), real images 0.900 (0.800 to 1.000); similarity of image pairs 0.800" in text
    )


def test_no_limit_is_said_by_what_was_looked_at() -> None:
    good = beside("label_fidelity", (0.9, 0.85, 0.95), (0.9, 0.85, 0.95))
    assert judge(level(), good).no_limit == "none found"
    assert lines(level(), good).startswith("Nothing that was measured here explains the loss. Not measured")
    assert judge(level((0.02, 0.0, 0.04)), good).no_limit == "none needed"
    assert "none is needed" in lines(level((0.02, 0.0, 0.04)), good)
    assert judge(level()).no_limit == ""  # nothing was measured that could explain it
    everything = "copies of training images, label fidelity, diversity, training with fewer images"
    assert lines(level()) == f"Not measured, so left open: {everything}."


def test_nothing_limits_what_cannot_be_judged() -> None:
    for real in ((0.5, 0.4, 0.6), (np.nan, np.nan, np.nan)):
        parts = level((0.0, -0.1, 0.1), real=real), beside("recall", (0.1, 0.0, 0.2), (0.9, 0.8, 1.0))
        verdict = judge(*parts)
        assert (names(verdict), verdict.unmeasured, verdict.no_limit, lines(*parts)) == ([], (), "", "")


# Replicates, mixtures, the table, the lead


def test_replicates_are_pooled_before_they_are_judged() -> None:
    def with_recall(value: float, replicate: str) -> list[dict[str, Any]]:
        part = beside("recall", (value, value - 0.05, value + 0.05), (0.9, 0.85, 0.95))
        return [item | {"replicate": replicate} for item in part]

    first, second = level((0.02, 0.0, 0.04)), level((0.06, 0.04, 0.08), replicate="r1")
    verdict = judge(first, second, with_recall(0.2, "r0"), with_recall(0.3, "r1"))
    assert verdict.headline.replicates == 2
    assert verdict.headline.gap == pytest.approx((0.04, 0.0, 0.08))
    assert verdict.headline.outcome == "undecided"
    (limit,) = verdict.limits
    assert limit.evidence[0].own == pytest.approx((0.25, 0.15, 0.35))
    assert names(judge(first, second, with_recall(0.2, "r0"), with_recall(0.9, "r1"))) == []
    pooled = level((0.04, 0.03, 0.05), replicate="all")
    assert judge(first, second, pooled).headline.outcome == "holds"

    (one,) = answers(table(first), Statistics())
    (two,) = answers(table(first, second), Statistics())
    assert "95% interval 0.000 to 0.040, over patients only)" in one.sentence
    assert "95% interval 0.000 to 0.080, 2 replicates)" in two.sentence


def test_mixtures_have_levels_but_no_limits_and_never_lead() -> None:
    poor = beside("recall", (0.1, 0.0, 0.2), (0.9, 0.8, 1.0))
    rows = table(
        level(),
        level((0.01, 0.0, 0.02), source="mix-r3-gan"),
        level((-0.01, -0.02, 0.0), source="pre-r3-gan"),
        level((0.2, 0.19, 0.21), source="cpd-gan"),
        poor,
        [item | {"source": "mix-r3-gan"} for item in poor[:1]],
    )
    found = {item.source: item for item in verdicts(rows, MARGIN)}
    mixture = found["mix-r3-gan"]
    assert (mixture.headline.outcome, mixture.limits, mixture.unmeasured, mixture.no_limit) == ("holds", (), (), "")
    said = answers(rows, Statistics())
    assert [item.source for item in said] == ["r3-gan", "cpd-gan", "pre-r3-gan", "mix-r3-gan"]
    assert said[2].sentence.startswith("Trained on r3-gan images and then on real ones instead of real ones alone")
    assert said[3].sentence.startswith("Trained on real and r3-gan images together instead of real ones alone")
    assert said[2].gap == "−0.010"
    assert said[2].limits == []
    assert "0.100 AUROC on c (r3-gan, best of 2 trained families" in lead_sentence(said)


def test_the_first_family_is_the_best_that_was_trained_on_the_first_axis() -> None:
    rows = table(
        level((0.38, 0.3, 0.4), source="prog-gan"),
        level((0.2, 0.1, 0.3), source="cpd-gan"),
        level((0.1, 0.08, 0.12)),
        level((0.01, 0.0, 0.02), source="dp-gan", at=("samples", "00050")),
    )
    said = answers(rows, Statistics())
    assert [item.source for item in said] == ["r3-gan", "cpd-gan", "dp-gan", "prog-gan"]
    assert "best of 2 trained families, resolution 32²" in lead_sentence(said)


def test_the_table_has_a_row_per_level_and_the_limits_once() -> None:
    rows = verdict_table(
        verdicts(
            table(
                level(at=("resolution", "016")),
                level((0.02, 0.01, 0.05)),
                level((0.02, 0.01, 0.06), at=("samples", "00050")),
                beside("recall", (0.1, 0.0, 0.2), (0.9, 0.8, 1.0)),
                beside("label_fidelity", (0.1, 0.0, 0.2), (0.9, 0.8, 1.0)),
            ),
            MARGIN,
        )
    )
    assert rows["outcome"].tolist() == ["does not hold", "holds", "undecided"]
    assert rows["limits"].tolist() == ["", "label fidelity;diversity", ""]
    assert rows["not_measured"].tolist() == ["", "copies;few samples", ""]
    assert rows.loc[1, ["cohort", "source", "axis", "level"]].tolist() == ["c", "r3-gan", "resolution", "032"]
    assert rows.loc[1, ["gap", "ci_low", "ci_high", "margin"]].tolist() == [0.02, 0.01, 0.05, MARGIN]
    explained = verdict_table(verdicts(table(level(), beside("recall", (0.9, 0.8, 1.0), (0.9, 0.8, 1.0))), MARGIN))
    assert explained["limits"].tolist() == ["none found"]
    empty = verdict_table([])
    assert (len(empty), list(empty)) == (0, list(rows))


# The protocol


def protocol_table(first: str) -> dict[str, str]:
    """First and second column of the table that begins with `first`, in the section on the verdict."""
    section = PROTOCOL.read_text().split("## The verdict")[1]
    rows = section.split(f"| {first} |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]
    return {line[0]: line[1] for line in cells}


def test_the_protocol_states_every_threshold_as_the_code_has_it() -> None:
    thresholds = {re.sub(r"[^a-z_ ]", "", name): float(value) for name, value in protocol_table("threshold").items()}
    assert thresholds == {
        "statisticsnon_inferiority_margin": Statistics().non_inferiority_margin,
        "chance": CHANCE,
        "share of real images diversity": DIVERSITY_SHARE,
        "copied share of samples": COPY_ALARM,
    }


def test_the_protocol_names_every_outcome_and_limit() -> None:
    assert set(protocol_table("outcome")) == set(OUTCOMES)
    assert tuple(protocol_table("limit")) == LIMITS
