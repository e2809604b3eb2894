"""Means over readers and images: by hand, against other ways to compute them, and over simulated studies."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa
from statsmodels.stats.proportion import proportion_confint

from synthcohort.measures.agreement import Agreement, fleiss, repeat_kappa, weighted_fleiss
from synthcohort.measures.auroc import auroc
from synthcohort.measures.crossed import (
    CrossedMean,
    accuracy_interval,
    chance_test,
    crossed_auroc,
    crossed_mean,
    difference_interval,
    difference_test,
    equivalence_test,
)
from synthcohort.measures.delong import delong
from synthcohort.readers.simulate import Spread, draw_opinions, separation_for

STUDIES = 50


def answers(readers: int, images: int, seed: int = 0, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    right = rng.random((readers, 1)) * 0.4 + rng.random((1, images)) * 0.5
    found = (rng.random((readers, images)) < right).astype(float)
    found[rng.random(found.shape) < missing] = np.nan
    return found


def test_variance_is_that_of_the_two_way_analysis() -> None:
    table = answers(6, 40)
    mean = crossed_mean(table, np.zeros(40, int))
    by_reader, by_image, total = table.mean(axis=1), table.mean(axis=0), table.mean()
    of_readers = 40 * by_reader.var(ddof=1)
    of_images = 6 * by_image.var(ddof=1)
    rest = ((table - by_reader[:, None] - by_image + total) ** 2).sum() / (5 * 39)
    assert mean.value == pytest.approx(total)
    assert mean.variance == pytest.approx((of_readers + of_images - rest) / 240)
    assert mean.of_readers == pytest.approx(by_reader.var(ddof=1) / 6)
    assert (mean.readers, mean.images, mean.answers) == (6, 40, 240)


def test_variance_with_gaps_and_strata_is_that_of_all_pairs_counted_one_by_one() -> None:
    table, strata = answers(5, 12, seed=0, missing=0.3), np.arange(12) % 3
    weights = np.array([0.5, 0.2, 0.3])
    means = np.array([np.nanmean(table[:, strata == stratum]) for stratum in range(3)])
    products = np.zeros((3, 3))
    for s, t in itertools.product(range(3), repeat=2):
        pairs = [
            table[r, i] * table[q, j]
            for r, q in itertools.permutations(range(5), 2)
            for i in np.flatnonzero(strata == s)
            for j in np.flatnonzero(strata == t)
            if i != j and not np.isnan(table[r, i] * table[q, j])
        ]
        products[s, t] = np.mean(pairs)
    mean = crossed_mean(table, strata, weights)
    assert mean.value == pytest.approx(weights @ means)
    assert mean.variance == pytest.approx(max(mean.value**2 - weights @ products @ weights, mean.of_readers))
    assert mean.variance > mean.of_readers  # so that it was compared


def test_variance_with_patients_is_that_of_all_pairs_of_different_ones() -> None:
    table, strata = answers(5, 12, seed=0, missing=0.2), np.arange(12) % 2
    groups = np.array([7, 7, 7, 2, 3, 4, 4, 5, 0, 0, 1, 9])  # some in one stratum, some in both
    products = np.zeros((2, 2))
    for s, t in itertools.product(range(2), repeat=2):
        pairs = [
            table[r, i] * table[q, j]
            for r, q in itertools.permutations(range(5), 2)
            for i in np.flatnonzero(strata == s)
            for j in np.flatnonzero(strata == t)
            if groups[i] != groups[j] and not np.isnan(table[r, i] * table[q, j])
        ]
        products[s, t] = np.mean(pairs)
    mean = crossed_mean(table, strata, groups=groups)
    weights = np.array([0.5, 0.5])
    assert mean.variance == pytest.approx(max(mean.value**2 - weights @ products @ weights, mean.of_readers))
    assert mean.variance > mean.of_readers
    assert mean.variance != pytest.approx(crossed_mean(table, strata).variance, rel=0.01)


def test_copies_of_a_patients_images_add_no_certainty() -> None:
    table, kinds = answers(6, 40), np.arange(40) % 2
    once = crossed_mean(table, kinds)
    copied, patients = np.tile(table, 4), np.tile(np.arange(40), 4)
    four = crossed_mean(copied, np.tile(kinds, 4), groups=patients)
    assert four.variance == pytest.approx(once.variance)
    believed = crossed_mean(copied, np.tile(kinds, 4))
    assert believed.variance - believed.of_readers < 0.5 * (once.variance - once.of_readers)
    scores = np.round(np.random.default_rng(0).normal(kinds, 2, (6, 40)))
    area = crossed_auroc(np.tile(kinds, 4), np.tile(scores, 4), patients)
    assert area.variance == pytest.approx(crossed_auroc(kinds, scores).variance)


def test_difference_of_kinds_is_no_error() -> None:
    # Everyone calls everything real: right on all real images, wrong on all others, and no other image would change it.
    kinds = np.arange(40) % 2
    table = np.tile(1.0 - kinds, (5, 1))
    assert crossed_mean(table, kinds).variance == pytest.approx(0, abs=1e-12)
    assert crossed_mean(table, np.zeros(40, int)).variance > 0.005


def test_too_little_has_a_value_but_no_interval() -> None:
    two = crossed_mean(answers(2, 30), np.zeros(30, int))
    assert not np.isnan(two.value)
    single = crossed_mean(answers(5, 4), np.array([0, 0, 0, 1]))
    for mean in (two, single):
        assert np.isnan(mean.variance)
        assert np.isnan(accuracy_interval(mean, 0.95)).all()
        assert np.isnan(difference_interval(mean, 0.95)).all()
        assert np.isnan([chance_test(mean), equivalence_test(mean, 0.1), difference_test(mean)]).all()
    gone = answers(4, 10)
    gone[3] = np.nan  # a reader who never began
    assert crossed_mean(gone, np.zeros(10, int)) == crossed_mean(gone[:3], np.zeros(10, int))


def test_independent_answers_have_wilsons_interval() -> None:
    mean = CrossedMean(0.6, 0.24 / 500, 0.0, 10, 50, 500)
    assert mean.effective == pytest.approx(500)
    wilson = proportion_confint(300, 500, 2 * stats.norm.sf(stats.t.ppf(0.975, 499)), method="wilson")
    assert accuracy_interval(mean, 0.95) == pytest.approx(wilson)
    assert mean._replace(variance=1e-9).effective == 500  # never better than all answers


def test_all_right_is_no_certainty() -> None:
    mean = crossed_mean(np.ones((6, 20)), np.arange(20) % 2)
    low, high = accuracy_interval(mean, 0.95)
    assert high == pytest.approx(1)
    assert low == pytest.approx(20 / (20 + stats.t.ppf(0.975, 5) ** 2))  # Wilson's, of the 20 images
    assert chance_test(mean) < 0.05
    assert equivalence_test(mean, 0.1) > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_tests_and_intervals_say_the_same(seed: int) -> None:
    opinions = draw_opinions(np.arange(60) % 2, separation_for(0.57), 6, np.random.default_rng(seed))[:, :, 0]
    mean = crossed_mean((opinions > 0) == (np.arange(60) % 2 == 1), np.arange(60) % 2)
    low, high = accuracy_interval(mean, 0.95)
    assert (chance_test(mean) < 0.05) == (not low <= 0.5 <= high)
    low, high = accuracy_interval(mean, 0.9)
    for margin in (0.05, 0.1, 0.15, 0.25):
        assert (equivalence_test(mean, margin) < 0.05) == (0.5 - margin < low and high < 0.5 + margin)


def test_few_readers_cost_certainty() -> None:
    few, many = CrossedMean(0.5, 0.01, 0.01, 4, 100, 400), CrossedMean(0.5, 0.01, 0.01, 40, 100, 4000)
    assert few.degrees(0.01) == pytest.approx(3)
    assert many.degrees(0.01) == pytest.approx(39)
    assert few._replace(of_readers=0.005).degrees(0.01) == pytest.approx(12)  # half of the variance is the images'
    assert difference_interval(few, 0.95)[1] == pytest.approx(0.5 + stats.t.ppf(0.975, 3) * 0.1)


def test_auroc_is_the_mean_of_the_readers_and_varies_as_delongs() -> None:
    rng = np.random.default_rng(1)
    kinds = (np.arange(50) % 3 == 0).astype(int)
    scores = np.round(rng.normal(kinds, 1.5, (4, 50)))  # with ties
    assert crossed_auroc(kinds, scores).value == pytest.approx(np.mean([auroc(kinds, own) for own in scores]))
    alike = crossed_auroc(kinds, np.tile(scores[0], (5, 1)))  # readers who are one: only images vary
    assert alike.variance == pytest.approx(delong(kinds, scores[:1], np.arange(50)).covariance[0, 0])
    scores[2, kinds == 1] = np.nan  # saw real images alone
    assert crossed_auroc(kinds, scores).value == pytest.approx(np.mean([auroc(kinds, scores[r]) for r in (0, 1, 3)]))


def test_fleiss_agrees_with_statsmodels_where_all_have_answered() -> None:
    said = answers(5, 30, seed=4)
    counts = aggregate_raters(said.T.astype(int))[0]
    found = fleiss(said, np.arange(30), 0.95, 200, np.random.default_rng(0))
    assert found.value == pytest.approx(fleiss_kappa(counts))
    assert found.low < found.value < found.high
    assert found.answers == 150
    drawn = np.random.default_rng(2).integers(0, 4, (7, 30))
    repeated = [fleiss_kappa(np.repeat(counts, own, axis=0)) for own in drawn]
    assert weighted_fleiss(counts, drawn) == pytest.approx(np.array(repeated))
    assert np.isnan(fleiss(np.ones((3, 4)), np.arange(4), 0.95, 10, np.random.default_rng(0)).value)
    assert fleiss(np.full((3, 4), np.nan), np.arange(4), 0.95, 10, np.random.default_rng(0)).answers == 0


def test_fleiss_uses_every_image_that_two_readers_answered() -> None:
    nan = np.nan
    # Four images by hand: 3 of 3 alike, 2 of 3 (a third of the pairs), 2 of 2, 0 of 2; the fifth has one answer.
    said = [[1, 1, 0, nan, 1], [1, 0, nan, 1, nan], [1, 1, 0, 0, nan]]
    found = fleiss(said, np.arange(5), 0.95, 50, np.random.default_rng(0))
    observed, ones = (1 + 1 / 3 + 1 + 0) / 4, (1 + 2 / 3 + 0 + 1 / 2) / 4
    by_chance = ones**2 + (1 - ones) ** 2
    assert found.value == pytest.approx((observed - by_chance) / (1 - by_chance))
    assert found.answers == 10
    full = answers(6, 60, seed=4)
    stopped = full.copy()
    stopped[0, 3:] = nan  # one reader stops after three images
    ours, others = (fleiss(s, np.arange(60), 0.95, 100, np.random.default_rng(0)) for s in (stopped, full[1:]))
    assert ours.value == pytest.approx(others.value, abs=0.02)
    assert ours.answers == 5 * 60 + 3


def kappa(first: object, second: object, resamples: int = 200) -> Agreement:
    images = np.shape(first)[-1]
    return repeat_kappa(first, second, np.arange(images), 0.95, resamples, np.random.default_rng(0))


def test_agreement_with_oneself_is_measured_against_ones_own_chance() -> None:
    # 6 of 10 alike; 5 and 7 of 10 say 1, so 0.5 by chance: (0.6 - 0.5) / 0.5.
    first, second = [1] * 5 + [0] * 5, [1] * 4 + [0] + [1] * 3 + [0] * 2
    found = kappa([first], [second])
    assert found.value == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    assert found.answers == 10
    # A second reader, alike in 3 of 4; 2 and 3 of 4 say 1, so 0.5 by chance: (6 - 5 + 3 - 2) / (5 + 2).
    gap = [np.nan] * 6
    assert kappa([first, [1, 1, 0, 0, *gap]], [second, [1, 1, 1, 0, *gap]]).value == pytest.approx(2 / 7)
    assert np.isnan(kappa([[1, 1]], [[1, 1]]).value)
    assert np.isnan(kappa([[1]], [[0]]).low)
    assert kappa([[np.nan]], [[1]]).answers == 0


def test_guessers_of_different_inclination_do_not_agree_with_themselves() -> None:
    rng = np.random.default_rng(5)
    inclined = np.array([0.1, 0.2, 0.8, 0.9])[:, None]
    first, second = (np.asarray(rng.random((4, 500)) < inclined, float) for _ in range(2))
    assert cohens_kappa(pd.crosstab(first.ravel(), second.ravel()).to_numpy()).kappa > 0.3  # all in one table
    found = kappa(first, second)
    assert abs(found.value) < 0.08
    assert found.low < 0 < found.high


def test_simulated_readers_have_the_accuracy_that_was_asked_for() -> None:
    rng, kinds, spread = np.random.default_rng(0), np.arange(4000) % 2, Spread(0.3, 0.5, 0.6)
    for accuracy in (0.5, 0.6, 0.9):
        opinions = draw_opinions(kinds, separation_for(accuracy, spread), 400, rng, spread)[:, :, 0]
        assert ((opinions > 0) == (kinds == 1)).mean() == pytest.approx(accuracy, abs=0.02)


@pytest.mark.parametrize(("accuracy", "readers", "images"), [(0.5, 6, 60), (0.6, 6, 60), (0.8, 12, 120)])
def test_intervals_hold_the_truth_and_tests_seldom_err(accuracy: float, readers: int, images: int) -> None:
    """Of 50 studies: the share is wide of 0.95 by chance; 1000 are `bench/bench_readers.py`."""
    rng, kinds, spread = np.random.default_rng(12), np.arange(images) % 2, Spread()
    separation, level = separation_for(accuracy), np.arange(images) // 2 % 2
    area = stats.norm.cdf(separation / (2 + 2 * spread.images**2 + 4 * spread.readers**2) ** 0.5)
    held = held_area = naive = wrong = risen = 0
    for _ in range(STUDIES):
        opinions = draw_opinions(kinds, separation, readers, rng)[:, :, 0]
        correct = ((opinions > 0) == (kinds == 1)).astype(float)
        mean = crossed_mean(correct, kinds)
        low, high = accuracy_interval(mean, 0.95)
        held += low <= accuracy <= high
        low, high = proportion_confint(correct.sum(), correct.size, method="beta")
        naive += low <= accuracy <= high
        wrong += (chance_test(mean) if accuracy == 0.5 else equivalence_test(mean, 0.1)) < 0.05
        low, high = accuracy_interval(crossed_auroc(kinds, opinions), 0.95)
        held_area += low <= area <= high
        # The same at both levels: there is no trend.
        risen += difference_test(crossed_mean(correct, 2 * level + kinds, [-0.5, -0.5, 0.5, 0.5])) < 0.05
    # Where each holds with 0.95, fewer than 43 of 50 hold once in 300 times; more than 7 errors are as rare.
    assert held >= 43
    assert held_area >= 43
    assert wrong <= 7
    assert risen <= 7
    assert naive < held  # answers counted as if they were independent
