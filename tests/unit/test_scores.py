"""Average precision, Brier score and calibration error against scikit-learn and by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss

from synthcohort.measures.scores import weighted_average_precision, weighted_brier, weighted_calibration_error

Measure = Callable[..., np.ndarray]
ALL = [weighted_average_precision, weighted_brier, weighted_calibration_error]
ONCE = np.ones((1, 4))


def planted(seed: int = 1, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, tied probabilities, and weights that leave images out."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    scores = (1 / (1 + np.exp(-rng.normal(size=count) - labels))).round(1)
    return labels, scores, rng.integers(0, 4, (20, count))


def naive_calibration_error(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """The definition, bin by bin: 15 bins, the upper end within."""
    error = 0.0
    for lower in range(15):
        inside = (scores > lower / 15) & (scores <= (lower + 1) / 15) | ((lower == 0) & (scores == 0))
        weight = weights[inside].sum()
        if weight:
            found = (weights * labels)[inside].sum() / weight
            given = (weights * scores)[inside].sum() / weight
            error += weight / weights.sum() * abs(found - given)
    return error


def test_average_precision_by_hand() -> None:
    # Thresholds 0.9, 0.7, 0.2: precision 1, 1/2, 2/4 where recall rises to 1/2, 1/2, 1 -> (1 + 2/4) / 2.
    labels, scores = [1, 0, 1, 0], [0.9, 0.7, 0.2, 0.2]
    assert weighted_average_precision(labels, scores, ONCE)[0] == pytest.approx(0.75)
    assert weighted_average_precision([0, 0, 1, 1], scores, ONCE)[0] == pytest.approx(0.5)
    assert weighted_average_precision([1, 1, 1, 1], scores, ONCE)[0] == 1


def test_brier_by_hand() -> None:
    assert weighted_brier([1, 0, 1, 0], [0.8, 0.4, 0.5, 0.0], ONCE)[0] == pytest.approx((0.04 + 0.16 + 0.25) / 4)
    twice = np.array([[2, 1, 0, 0]])
    assert weighted_brier([1, 0, 1, 0], [0.8, 0.4, 0.5, 0.0], twice)[0] == pytest.approx((0.08 + 0.16) / 3)


def test_calibration_error_by_hand() -> None:
    # One bin with probabilities 0.9, 0.92 and one positive of two; one with 0.1, 0.12 and no positive.
    error = weighted_calibration_error([1, 0, 0, 0], [0.9, 0.92, 0.1, 0.12], ONCE)[0]
    assert error == pytest.approx((2 * abs(0.91 - 0.5) + 2 * 0.11) / 4)
    # Within a bin over- and underconfidence cancel, across bins they add up.
    assert weighted_calibration_error([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], ONCE)[0] == 0
    assert weighted_calibration_error([1, 1, 0, 0], [0.25, 0.25, 0.75, 0.75], ONCE)[0] == 0.75


def test_ends_of_the_range_belong_to_the_outer_bins() -> None:
    assert weighted_calibration_error([0, 1, 0, 1], [0.0, 1.0, 0.0, 1.0], ONCE)[0] == 0
    assert weighted_calibration_error([1, 0, 1, 0], [0.0, 1.0, 0.0, 1.0], ONCE)[0] == 1


def test_a_bin_holds_its_upper_end() -> None:
    twice = np.ones((1, 2))
    together = weighted_calibration_error([1, 0], [0.15, 3 / 15], twice)[0]  # both in (2/15, 3/15]
    assert together == pytest.approx(abs(0.85 - 0.2) / 2)
    apart = weighted_calibration_error([1, 0], [0.25, 3 / 15], twice)[0]
    assert apart == pytest.approx((0.75 + 0.2) / 2)


def test_all_equal_references_with_ties_and_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, weights = planted()
    expected = {
        weighted_average_precision: [average_precision_score(labels, scores, sample_weight=row) for row in weights],
        weighted_brier: [brier_score_loss(labels, scores, sample_weight=row) for row in weights],
        weighted_calibration_error: [naive_calibration_error(labels, scores, row) for row in weights],
    }
    for measure, values in expected.items():
        np.testing.assert_allclose(measure(labels, scores, weights), values, atol=1e-12)
        np.testing.assert_allclose(measure(labels, scores, weights.astype(np.uint16)), values, atol=1e-12)
    monkeypatch.setattr("synthcohort.measures.scores.CHUNK_ELEMENTS", 600)
    for measure, values in expected.items():
        np.testing.assert_allclose(measure(labels, scores, weights), values, atol=1e-12)


@pytest.mark.parametrize("prevalence", [0.01, 0.5, 0.99])
def test_average_precision_equals_sklearn_with_and_without_ties(prevalence: float) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(300) < prevalence).astype(int)
    labels[:2] = 0, 1
    for digits in (1, 9):
        scores = rng.random(300).round(digits)
        weights = rng.integers(0, 3, (10, 300))
        weights[:, :2] = 1
        expected = [average_precision_score(labels, scores, sample_weight=row) for row in weights]
        np.testing.assert_allclose(weighted_average_precision(labels, scores, weights), expected, atol=1e-12)


@pytest.mark.parametrize("measure", ALL)
def test_unknown_labels_are_left_out(measure: Measure) -> None:
    labels, scores, weights = planted()
    some = labels.astype(float)
    some[::3] = np.nan
    known = ~np.isnan(some)
    unscored = np.where(known, scores, np.nan)
    expected = measure(labels[known], scores[known], weights[:, known])
    np.testing.assert_allclose(measure(some, unscored, weights), expected, atol=1e-12)


@pytest.mark.parametrize("measure", ALL)
def test_undefined_is_nan(measure: Measure) -> None:
    assert np.isnan(measure([np.nan, np.nan], [0.1, 0.2], np.ones((3, 2)))).all()
    assert np.isnan(measure([], [], np.ones((3, 0)))).all()
    result = measure([1, 0], [0.9, 0.1], np.array([[0, 0], [1, 1]]))
    assert np.isnan(result).tolist() == [True, False]


def test_without_positives_only_average_precision_is_undefined() -> None:
    negatives = ([0, 0], [0.5, 0.5], np.ones((1, 2)))
    assert np.isnan(weighted_average_precision(*negatives)[0])
    assert weighted_brier(*negatives)[0] == 0.25
    assert weighted_calibration_error(*negatives)[0] == 0.5
    assert np.isnan(weighted_average_precision([1, 0], [0.9, 0.1], np.array([[0, 1]]))[0])


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize(("labels", "scores"), [([0, 2], [0.1, 0.2]), ([0, 1], [0.1, np.nan])])
def test_what_cannot_be_measured_is_refused(measure: Measure, labels: list[float], scores: list[float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        measure(labels, scores, np.ones((1, 2)))


@pytest.mark.parametrize("measure", [weighted_brier, weighted_calibration_error])
def test_scores_that_are_no_probabilities_are_refused(measure: Measure) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        measure([0, 1], [-0.1, 0.5], np.ones((1, 2)))


def test_a_calibrated_classifier_has_a_small_error_and_an_overconfident_one_a_large() -> None:
    rng = np.random.default_rng(3)
    logits = 2 * rng.normal(size=20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-logits))
    everyone = np.ones((1, 20_000))
    honest, sure = (1 / (1 + np.exp(-scale * logits)) for scale in (1, 4))
    assert weighted_calibration_error(labels, honest, everyone)[0] < 0.02
    assert weighted_calibration_error(labels, sure, everyone)[0] > 0.08
    assert weighted_brier(labels, honest, everyone)[0] < weighted_brier(labels, sure, everyone)[0]
    ranks_alike = [weighted_average_precision(labels, scores, everyone)[0] for scores in (honest, sure)]
    assert ranks_alike[0] == pytest.approx(ranks_alike[1], abs=1e-6)
