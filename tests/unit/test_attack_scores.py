"""What attackers rank images by: hand-computed scores, and planted cases in which the better attack must win."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.neighbors import KernelDensity

from synthcohort.measures.attack_scores import (
    COMPONENTS,
    calibrated_distance,
    closest_record,
    density_ratio,
    likelihood_ratio,
    log_density,
    whitening,
)
from synthcohort.measures.auroc import auroc

# Distances


def test_hand_computed_distances() -> None:
    candidates, synthetic = np.array([[0.0, 0], [3, 4]]), np.array([[3.0, 4], [0, 1]])
    closest = closest_record(candidates, synthetic)
    assert closest.tolist() == [-1, 0]
    assert closest_record(np.array([[2.0, 0]]), synthetic, "cosine").tolist() == pytest.approx([-0.4])
    in_reference = closest_record(candidates, np.array([[0.0, 0]]))
    assert calibrated_distance(closest, in_reference).tolist() == [-1, 5]


def test_calibration_takes_out_how_plain_an_image_is() -> None:
    """Half of the patients lie close together, half far apart; the generator repeats its members with some noise."""
    rng = np.random.default_rng(0)

    def people() -> np.ndarray:
        return rng.normal(size=(300, 6)) * np.repeat([[0.1], [3.0]], 150, axis=0)

    members, others, reference = people(), people(), people()
    synthetic = members + rng.normal(size=members.shape) * 0.2
    candidates, kinds = np.concatenate([members, others]), np.repeat([1, 0], 300)
    closest = closest_record(candidates, synthetic)
    calibrated = calibrated_distance(closest, closest_record(candidates, reference))
    assert auroc(kinds, calibrated) > auroc(kinds, closest) + 0.03


# Densities


def test_density_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    sample, places = rng.normal(size=(300, 4)), rng.normal(size=(50, 4)) * 1.5
    expected = KernelDensity(bandwidth="scott").fit(sample).score_samples(places)
    np.testing.assert_allclose(log_density(places, sample), expected, rtol=1e-6)


def test_density_far_from_everything_is_finite_and_exact() -> None:
    place, sample = np.array([[1e3, 0.0]]), np.zeros((8, 2))
    bandwidth = 8 ** (-1 / 6)
    exact = -0.5 * (1e3 / bandwidth) ** 2 - np.log(2 * np.pi * bandwidth**2)
    assert log_density(place, sample)[0] == pytest.approx(exact, rel=1e-12)


def test_whitening_gives_unit_variance_and_leaves_out_axes_without_any() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 20)) + 7
    axes = whitening(vectors.astype(np.float32))
    assert axes.n_components_ == 3
    np.testing.assert_allclose(np.cov(axes.transform(vectors), rowvar=False), np.eye(3), atol=1e-4)
    assert whitening(rng.normal(size=(500, 20))).n_components_ == COMPONENTS
    assert whitening(rng.normal(size=(3, 20))).n_components_ == 2
    with pytest.raises(ValueError, match="two different"):
        whitening(np.ones((9, 4)))


def test_equal_samples_have_ratio_one_and_a_collapsed_one_is_no_error() -> None:
    rng = np.random.default_rng(0)
    reference, candidates = rng.normal(size=(200, 5)), rng.normal(size=(40, 5))
    assert density_ratio(candidates, reference, reference).tolist() == [0] * 40
    assert np.isfinite(density_ratio(candidates, np.ones((200, 5)), reference)).all()


def test_density_ratio_beats_plain_distance_where_density_differs() -> None:
    """A generator overfits patients of a sparse region and draws afresh in a dense one.

    There everybody is close to a synthetic image, members or not; only a density can tell that this is no surprise.
    """
    rng = np.random.default_rng(0)

    def people(count: int) -> np.ndarray:
        dense = rng.normal(size=(count // 2, 2)) * 0.05 + [6, 0]
        return np.concatenate([dense, rng.normal(size=(count // 2, 2)) * [2, 2]])

    members, others, reference = people(40), people(40), people(2000)
    repeated = np.repeat(members[20:], 100, axis=0)
    synthetic = np.concatenate([people(4000)[:2000], repeated + rng.normal(size=repeated.shape) * 0.1])
    candidates, kinds = np.concatenate([members, others]), np.repeat([1, 0], 40)
    plain = auroc(kinds, closest_record(candidates, synthetic))
    ratio = auroc(kinds, density_ratio(candidates, synthetic, reference))
    assert plain < 0.68
    assert ratio > plain + 0.05


# Shadow generators


def test_hand_computed_likelihood_ratio() -> None:
    shadows = np.array([[4.0, 1], [6, 3], [0, 0], [2, 2]])
    trained = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    # Means with and without: 5 and 1, 1 and 2; every pair is one away from its mean: variance 4 / (2 · (2 − 1)) = 2.
    found = likelihood_ratio([4, 2], shadows, trained)
    deviation = np.sqrt(2)
    expected = [
        norm.logpdf(4, 5, deviation) - norm.logpdf(4, 1, deviation),
        norm.logpdf(2, 1, deviation) - norm.logpdf(2, 2, deviation),
    ]
    assert found.tolist() == pytest.approx(expected)
    assert found.tolist() == pytest.approx([2.0, -0.25])


def test_shadow_generators_tell_how_hard_each_image_is() -> None:
    rng = np.random.default_rng(0)
    count, shadows = 600, 4
    hard = rng.normal(size=count) * 5
    trained = np.stack([rng.permutation(np.repeat([True, False], shadows // 2)) for _ in range(count)], axis=1)
    members = np.arange(count) < count // 2
    noise = rng.normal(size=(shadows + 1, count))
    scores = hard + 2 * members + noise[0]
    ratio = likelihood_ratio(scores, hard + 2 * trained + noise[1:], trained)
    assert auroc(members, scores) < 0.65
    assert auroc(members, ratio) > 0.85


def test_shadow_generators_that_tell_nothing_are_refused() -> None:
    trained = np.array([[1, 1], [1, 1], [0, 0], [0, 0]], bool)
    with pytest.raises(ValueError, match="with it and one without"):
        likelihood_ratio([0, 0], np.arange(8.0).reshape(4, 2), trained | [[True, False]])
    with pytest.raises(ValueError, match="do not vary"):
        likelihood_ratio([0, 0], np.zeros((4, 2)), trained)
    with pytest.raises(ValueError, match="too few"):
        likelihood_ratio([0, 0], np.array([[1.0, 2], [3, 4]]), trained[[0, 2]])
