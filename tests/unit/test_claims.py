"""The paper's claims on fabricated metrics: what shows, what does not, what cannot be tested."""

import pandas as pd
import pytest

from synthcohort.figures.claims import CEILING, OPPOSITE, SHOWS, TRIVIAL_TELL, UNCLEAR, claims

WIDTH = 0.02


def rows(experiment: str, source: str, replicate: str = "r0", **values: float) -> list[dict]:
    """Rows of one run: metric → value, with an interval of ± `WIDTH`."""
    axis, _, level = experiment.rpartition("-")
    keys = {"cohort": "head-phantom", "experiment": experiment, "axis": axis, "level": level, "source": source}
    rest = {"replicate": replicate, "role": "value", "parameter": "", "features": "", "n": 100, "simulated": True}
    return [
        keys
        | rest
        | {"metric": metric, "finding": "" if metric == "machine_auroc" else "mean"}
        | {"value": value, "ci_low": value - WIDTH, "ci_high": value + WIDTH}
        for metric, value in values.items()
    ]


def level(experiment: str, gap: float, source: str = "r3-gan", real: float = 0.9) -> list[dict]:
    """A real classifier and one with the gap."""
    return rows(experiment, "real", auroc=real) + rows(experiment, source, auroc=real - gap, utility_gap=gap)


def outcome(*parts: list[dict]) -> dict[str, str]:
    table = claims(pd.DataFrame([row for part in parts for row in part]).drop_duplicates())
    return dict(zip(table["claim"], table["outcome"], strict=True))


@pytest.mark.parametrize(
    ("fewest", "most", "expected"),
    [(0.05, 0.20, SHOWS), (0.20, 0.05, OPPOSITE), (0.10, 0.12, UNCLEAR), (0.10, 0.14, UNCLEAR)],
)
def test_fewer_combinations(fewest: float, most: float, expected: str) -> None:
    found = outcome(level("classes-002", fewest), level("classes-004", 0.3), level("classes-010", most))
    assert found == {"the gap shrinks with fewer label combinations": expected}


@pytest.mark.parametrize(("fewest", "most", "expected"), [(0.2, 0.05, SHOWS), (0.05, 0.2, OPPOSITE)])
def test_fewer_samples_order_levels_as_numbers(fewest: float, most: float, expected: str) -> None:
    found = outcome(level("samples-00900", fewest), level("samples-01000", most))
    assert found == {"the gap grows with fewer training images": expected}


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.7, 0.9, SHOWS), (CEILING, 1.0, f"not testable: {CEILING} and more at both levels")]
)
def test_detection_and_its_ceiling(low: float, high: float, expected: str) -> None:
    # Detection does not need a classifier above chance.
    found = outcome(
        rows("resolution-016", "r3-gan", machine_auroc=low, auroc=0.5),
        rows("resolution-032", "r3-gan", machine_auroc=high, auroc=0.5),
    )
    assert found == {"machine detection rises with resolution": expected}


def test_a_known_tell_is_noted_beside_detection_of_simulated_patients_alone() -> None:
    table = pd.DataFrame(
        rows("resolution-016", "r3-gan", machine_auroc=0.7)
        + rows("resolution-032", "r3-gan", machine_auroc=0.9)
        + level("classes-002", 0.05)
        + level("classes-010", 0.2)
    )
    notes = claims(table).set_index("claim")["note"]
    assert notes["machine detection rises with resolution"] == TRIVIAL_TELL
    assert notes["the gap shrinks with fewer label combinations"] == ""
    assert set(claims(table.assign(simulated=False))["note"]) == {""}


@pytest.mark.parametrize(
    ("cpd", "prog", "expected"),
    [
        (0.1, 0.2, SHOWS),
        (0.2, 0.1, OPPOSITE),
        (0.1, 0.11, UNCLEAR),
        (0.1, 0.4, SHOWS),  # one at chance is behind
        (0.39, 0.4, "not testable: not trained long enough"),
    ],
)
def test_the_papers_two_families_at_one_level(cpd: float, prog: float, expected: str) -> None:
    found = outcome(level("resolution-016", cpd, "cpd-gan"), level("resolution-016", prog, "prog-gan"))
    assert found == {"cpd-gan is ahead of prog-gan at resolution-016": expected}


def test_not_testable_at_chance_even_where_intervals_are_disjoint() -> None:
    found = outcome(level("classes-002", 0.1), level("classes-010", 0.4))
    assert found == {"the gap shrinks with fewer label combinations": "not testable: not trained long enough"}
    found = outcome(level("classes-002", 0.0, real=0.5), level("classes-010", 0.2))
    assert found == {"the gap shrinks with fewer label combinations": "not testable: not trained long enough"}


def test_no_mean_cannot_be_tested() -> None:
    found = outcome(level("classes-002", float("nan")), level("classes-010", 0.2))
    assert found == {"the gap shrinks with fewer label combinations": "not testable: too few test patients"}


def test_one_level_or_mixtures_alone_make_no_claim() -> None:
    assert outcome(level("classes-002", 0.1)) == {}
    assert outcome(level("classes-002", 0.1, "mix-r3-gan"), level("classes-010", 0.2, "mix-r3-gan")) == {}


def test_replicates_are_pooled_and_counted() -> None:
    table = pd.DataFrame(
        [
            row
            for number, shift in enumerate((-0.01, 0.01))
            for experiment, gap in (("samples-00050", 0.3), ("samples-00200", 0.1))
            for source, values in (("real", {"auroc": 0.9}), ("r3-gan", {"auroc": 0.8, "utility_gap": gap + shift}))
            for row in rows(experiment, source, f"r{number}", **values)
        ]
    )
    (found,) = claims(table).to_dict("records")
    assert found["replicates"] == 2
    assert found["outcome"] == SHOWS
    assert found["larger"] == "samples-00050"
    assert found["larger_value"] == pytest.approx(0.3)
    assert (found["larger_low"], found["larger_high"]) == pytest.approx((0.27, 0.33))
