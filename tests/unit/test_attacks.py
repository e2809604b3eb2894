"""How well an attack works: hand-computed rates, ties, patients, and intervals that hold the truth often enough."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_curve

from synthcohort.measures.attacks import (
    Attack,
    evaluate_attack,
    match_counts,
    patient_scores,
    resolvable,
    weighted_true_positive_rates,
)
from synthcohort.measures.auroc import auroc


def rates_of(members: list[float], others: list[float], rates: list[float]) -> list[float]:
    kinds = np.repeat([True, False], [len(members), len(others)])
    everyone = np.ones((1, len(kinds)))
    return weighted_true_positive_rates(kinds, np.array(members + others), everyone, rates)[:, 0].tolist()


def evaluate(scores: NDArray, members: NDArray, patients: NDArray, seed: int = 0, resamples: int = 200) -> Attack:
    return evaluate_attack(scores, members, patients, resamples, 0.95, np.random.default_rng(seed))


# Rates


def test_hand_computed_rates_with_ties() -> None:
    # Thresholds: from 3 on one of four members and nobody else; from 2 on three and one of four; from 1 on all and two.
    assert rates_of([3, 2, 2, 1], [2, 1, 0, 0], [0, 0.1, 0.25, 0.49, 0.5, 1]) == [0.25, 0.25, 0.75, 0.75, 1, 1]
    # The highest score is a non-member's, or shared by one: nothing is caught before half of them pass.
    assert rates_of([1, 1], [2, 0], [0.4, 0.5]) == [0, 1]
    assert rates_of([2, 1], [2, 0], [0.4, 0.5]) == [0, 1]
    assert rates_of([5, 5], [5, 5], [0.9, 1]) == [0, 1], "equal scores pass together"


def test_a_rate_is_not_lost_to_rounding() -> None:
    for count in (10, 30, 70, 110, 290, 570):
        others = np.arange(count, dtype=float).tolist()
        allowed = count // 10
        member = [count - allowed - 0.5]  # above all but as many as may pass
        assert rates_of(member, others, [0.1]) == [1]
        assert rates_of([member[0] - 1], others, [0.1]) == [0]


def test_scikit_learn_finds_the_same_rates_under_weights() -> None:
    rng = np.random.default_rng(0)
    members = rng.random(300) < 0.4
    scores = np.round(rng.normal(size=300) + members, 1)
    weights = rng.integers(0, 4, (20, 300)).astype(np.uint16)
    rates = [0.01, 0.1, 0.33]
    found = weighted_true_positive_rates(members, scores, weights, rates)
    for resample, weight in enumerate(weights):
        alarms, hits, _ = roc_curve(members, scores, sample_weight=weight, drop_intermediate=False)
        assert found[:, resample] == pytest.approx([hits[alarms <= rate + 1e-12].max() for rate in rates])


def test_rates_without_one_kind_are_undefined() -> None:
    weights = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    assert np.isnan(weighted_true_positive_rates([1, 1, 0, 0], [1.0, 2, 3, 4], weights, [0.1])).all()


def test_a_rate_needs_ten_non_members_below_it() -> None:
    assert [resolvable(rate, 1000) for rate in (0.001, 0.01, 0.1)] == [False, True, True]
    assert resolvable(0.1, 100)
    assert not resolvable(0.1, 99)
    assert resolvable(0.001, 10_000)
    found = evaluate(np.arange(300.0), np.arange(300) % 3 == 0, np.arange(300))
    assert (found.members, found.non_members) == (100, 200)
    assert {rate: estimate is not None for rate, estimate in found.true_positive_rates.items()} == {
        0.001: False, 0.01: False, 0.1: True,
    }  # fmt: skip


# Patients


def test_a_patient_is_judged_by_its_highest_score_and_the_number_of_its_images() -> None:
    scores, members, patients = patient_scores(
        [0.1, 0.7, 0.4, 0.9, 0.2], [True, False, True, False, False], ["b", "a", "b", "c", "a"]
    )
    assert patients.tolist() == ["b", "a", "c"]
    # Shares of all five scores below, half of its own included: 0.5 for 0.4, 0.7 for 0.7, 0.9 for 0.9.
    assert scores.tolist() == pytest.approx([2 * np.log(0.5), 2 * np.log(0.7), np.log(0.9)])
    assert members.tolist() == [True, False, False]


def test_patients_with_more_images_are_no_more_suspicious() -> None:
    rng = np.random.default_rng(0)
    patients = np.concatenate([np.repeat(np.arange(600), 1), np.repeat(np.arange(600, 1200), 5)])
    scores = rng.normal(size=len(patients))
    found = evaluate(*patient_scores(scores, patients < 600, patients))
    assert found.auroc.low < 0.5 < found.auroc.high
    highest = pd.Series(scores).groupby(patients).max().to_numpy()
    assert auroc(np.arange(1200) < 600, highest) < 0.25, "by the highest score alone they would be"


def test_one_copied_image_gives_its_patient_away() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(400), 5)
    members = patients < 200
    scores = rng.normal(size=2000)
    scores[members & (np.arange(2000) % 5 == 0)] += 6
    images = evaluate(scores, members, patients)
    people = evaluate(*patient_scores(scores, members, patients))
    assert 0.58 < images.auroc.value < 0.62, "one fifth of the images at 1, the others at 0.5"
    assert people.auroc.value > 0.99
    assert people.non_members == 200


def test_patients_of_both_kinds_keep_as_many_images() -> None:
    counts = {"a": 4, "b": 2, "c": 1, "x": 3, "y": 3, "z": 1}  # members are a, b and c
    patients = np.repeat(list(counts), list(counts.values()))
    kept = match_counts(np.isin(patients, list("abc")), patients, np.random.default_rng(0))
    found = pd.Series(patients[kept]).value_counts()
    assert found[list("abcz")].tolist() == [3, 2, 1, 1]
    assert sorted(found[list("xy")]) == [2, 3], "chance says which of them keeps three"
    # Of four patients with 5, 5, 1 and 1 images two stand beside each of the two others, who have 3 each.
    others = np.repeat(list("mnopqr"), [5, 5, 1, 1, 3, 3])
    kept = match_counts(np.isin(others, list("qr")), others, np.random.default_rng(0))
    found = pd.Series(others[kept]).value_counts()
    assert found[list("mnop")].tolist() == [3, 3, 1, 1]
    assert sorted(found[list("qr")]) == [1, 3]


@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_alike_images_of_some_patients_are_no_evidence(alike: float) -> None:
    """Members have six images, others one; or members one to six, others one to three."""
    rng = np.random.default_rng(0)
    for most, other_most, least in ((6, 1, 6), (6, 3, 1)):
        numbers = np.concatenate([rng.integers(least, most + 1, 800), rng.integers(1, other_most + 1, 700)])
        patients = np.repeat(np.arange(1500), numbers)
        members = patients < 800
        own = rng.normal(size=1500)[patients]
        scores = np.sqrt(alike) * own + np.sqrt(1 - alike) * rng.normal(size=len(patients))
        kept = match_counts(members, patients, rng)
        found = evaluate(*patient_scores(scores[kept], members[kept], patients[kept]))
        assert (found.members, found.non_members) == (800, 700)
        assert found.auroc.low < 0.5 < found.auroc.high
        if alike:
            by_all = evaluate(*patient_scores(scores, members, patients))
            assert by_all.auroc.high < 0.45, "positive control: with all images they would be"
        caught = scores + 2 * members
        assert evaluate(*patient_scores(caught[kept], members[kept], patients[kept])).auroc.low > 0.85


def test_no_patient_may_be_of_both_kinds() -> None:
    with pytest.raises(ValueError, match="both"):
        evaluate(np.arange(4.0), np.array([True, False, True, False]), np.array([0, 1, 2, 0]))
    with pytest.raises(ValueError, match="both"):
        patient_scores(np.arange(4.0), [True, False, True, False], [0, 1, 2, 0])
    with pytest.raises(ValueError, match="members and non-members"):
        evaluate(np.arange(4.0), np.ones(4, bool), np.arange(4))
    with pytest.raises(ValueError, match="finite"):
        evaluate(np.array([0, np.nan]), np.array([True, False]), np.arange(2))


# Intervals


def test_names_of_patients_do_not_matter_and_seeds_repeat() -> None:
    rng = np.random.default_rng(0)
    members = np.arange(400) < 200
    scores, patients = rng.normal(size=400) + members, np.arange(400) // 2
    first, again = evaluate(scores, members, patients), evaluate(scores, members, patients)
    renamed = evaluate(scores, members, np.array([f"z{900 - patient}" for patient in patients]))
    assert first == again == renamed
    assert evaluate(scores, members, patients, seed=1) != first


def test_images_of_one_patient_are_no_independent_evidence() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(200), 5)
    scores = rng.normal(size=200)[patients] + 0.1 * rng.normal(size=1000)
    members = patients < 100
    together, alone = (evaluate(scores, members, groups).auroc for groups in (patients, np.arange(1000)))
    assert together.value == alone.value
    assert together.high - together.low > 1.7 * (alone.high - alone.low)


def test_an_attack_that_catches_nobody_or_everybody_is_not_certain() -> None:
    members = np.arange(300) < 100
    for place, expected in ((-1, 0), (1, 1)):
        rate = evaluate(np.where(members, place, np.linspace(-0.5, 0.5, 300)), members, np.arange(300))
        found = rate.true_positive_rates[0.1]
        assert found is not None
        assert found.value == expected
        assert abs((found.high if place < 0 else found.low) - expected) == pytest.approx(1 - 0.025 ** (1 / 100))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Patients with one to three alike images; members score higher by one deviation of patients."""
    rng = np.random.default_rng(0)
    held = np.zeros(2)
    trials = 200
    spread = np.sqrt(1 + 0.5**2)
    truth = norm.cdf(1 / spread / np.sqrt(2)), norm.sf(norm.isf(0.1) - 1 / spread)
    for _ in range(trials):
        patients = np.repeat(np.arange(300), rng.integers(1, 4, 300))
        members = patients < 150
        scores = rng.normal(size=300)[patients] + 0.5 * rng.normal(size=len(patients)) + members
        found = evaluate_attack(scores, members, patients, 200, 0.95, rng, [0.1])
        estimates = (found.auroc, found.true_positive_rates[0.1])
        held += [estimate is not None and estimate.low <= value <= estimate.high
                 for estimate, value in zip(estimates, truth, strict=True)]  # fmt: skip
    coverage = held / trials
    assert (coverage > 0.9).all(), "95 % less three standard errors"
