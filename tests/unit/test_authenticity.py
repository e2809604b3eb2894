"""Copies, and the support of real images: hand-computed, and what theory says of independent draws."""

import numpy as np
import pytest

from synthcohort.measures.attack_scores import whitening
from synthcohort.measures.authenticity import LEVELS, NEIGHBOURS, closest_training, support_curves, support_measures


def test_hand_computed_authenticity() -> None:
    training = np.array([[0.0], [1.0], [5.0]])
    found = closest_training(np.array([[0.4], [-1.5], [5.0], [8.0], [-1.0]]), training)
    assert found.indices.tolist() == [0, 0, 2, 2, 0]
    assert found.distances.tolist() == pytest.approx([0.4, 1.5, 0, 3, 1])
    assert found.radii.tolist() == [1, 1, 4, 4, 1]
    assert found.authentic.tolist() == [False, True, False, False, False], "as near as the closest other is a copy, too"


def test_copies_are_not_authentic_even_of_images_that_are_twice_in_the_training() -> None:
    training = np.random.default_rng(0).normal(size=(200, 8))
    assert not closest_training(training, training).authentic.any()
    twice = np.concatenate([training, training])
    assert not closest_training(training, twice).authentic.any()


@pytest.mark.parametrize(("dimensions", "expected"), [(1, 1 / 3), (2, 0.3785), (3, 0.4074)])
def test_independent_draws_are_as_authentic_as_theory_says(dimensions: int, expected: float) -> None:
    """One less the probability that a point of a Poisson process is its closest neighbour's closest neighbour."""
    rng = np.random.default_rng(0)
    shares = [
        closest_training(rng.random((2000, dimensions)), rng.random((3000, dimensions))).authentic.mean()
        for _ in range(3)
    ]
    assert np.mean(shares) == pytest.approx(expected, abs=0.03)


def test_independent_images_are_far_more_authentic_than_noisy_copies() -> None:
    rng = np.random.default_rng(0)
    training, others = rng.normal(size=(500, 64)), rng.normal(size=(500, 64))
    copies = training + 0.1 * rng.normal(size=training.shape)
    assert closest_training(others, training).authentic.mean() > 0.7
    assert closest_training(copies, training).authentic.mean() == 0
    half = np.concatenate([copies[:250], others[:250]])
    assert 0.35 < closest_training(half, training).authentic.mean() < 0.45


def test_support_of_the_same_population_is_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    real, samples = rng.normal(size=(1000, 8)), rng.normal(size=(1000, 8))
    precision, recall = support_curves(real, samples)
    np.testing.assert_allclose(precision, LEVELS, atol=0.06)
    assert recall[-1] == pytest.approx(1 - 2.0**-NEIGHBOURS, abs=0.02)
    measured = support_measures(real, samples)
    assert measured["alpha_precision"] > 0.93
    assert measured["beta_recall"] > 0.75


def test_hand_computed_precision() -> None:
    # Eleven real numbers from -5 to 5: the ball around 0 that holds a share a of them ends at their quantile of |x|.
    real = np.arange(-5.0, 6)[:, None]
    precision, recall = support_curves(real, np.zeros((20, 1)))
    assert (precision == 1).all(), "the centre is in every support"
    assert support_measures(real, np.zeros((20, 1)))["alpha_precision"] == pytest.approx(0)
    # 0 is as near as the fifth nearest of everybody: that is 3 away from -3 … 3, 4 from ±4, 5 from ±5.
    assert (recall == 1).all()
    outside, missed = support_curves(real, np.full((20, 1), 5.5))
    assert (outside == 0).all()
    # 5.5 is that near to 3, 4 and 5 alone.
    assert (missed == 3 / 11).all()


def test_what_a_bad_generator_lacks() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(600, 8)) * 3 + 5
    axes = whitening(real)
    good = rng.normal(size=(600, 8)) * 3 + 5
    collapsed = real.mean(axis=0) + 0.1 * rng.normal(size=(600, 8))
    noisy = good + 6 * rng.normal(size=(600, 8))
    sets = (good, collapsed, noisy)
    base, one, wide = (support_measures(axes.transform(real), axes.transform(made)) for made in sets)
    assert one["beta_recall"] < base["beta_recall"] - 0.3
    assert one["alpha_precision"] < 0.2, "all samples lie in the middle, far more than a share α in the α-support"
    assert wide["alpha_precision"] < base["alpha_precision"] - 0.3


def test_too_few_real_images_have_no_support() -> None:
    vectors = np.random.default_rng(0).normal(size=(NEIGHBOURS + 1, 2))
    assert np.isfinite(list(support_measures(vectors, vectors).values())).all()
    assert np.isnan(list(support_measures(vectors[1:], vectors).values())).all()
