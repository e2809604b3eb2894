import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from synthcohort.measures.auroc import auroc, weighted_auroc
from synthcohort.measures.bootstrap import (
    MEASURES,
    basic_interval,
    bootstrap_measures,
    patient_weights,
    percentile_interval,
    pool_replicates,
    retention,
    retention_interval,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_auroc_by_hand() -> None:
    # Pairs (positive, negative): 0.8>0.5, 0.8>0.2, 0.5=0.5 (half), 0.5>0.2 -> 3.5 of 4.
    assert auroc([1, 1, 0, 0], [0.8, 0.5, 0.5, 0.2]) == 3.5 / 4
    assert auroc([0, 1], [1.0, 0.0]) == 0.0  # worse than chance stays worse than chance
    assert auroc([0, 1, 1], [0.5, 0.5, 0.5]) == 0.5


def test_auroc_leaves_unknown_labels_out_and_is_nan_for_one_class() -> None:
    assert auroc([1, 0, np.nan], [0.9, 0.1, 0.0]) == 1.0
    assert np.isnan(auroc([1, 1, np.nan], [0.1, 0.2, 0.3]))
    assert np.isnan(auroc([np.nan], [0.1]))
    assert np.isnan(auroc([], []))
    assert auroc([1, 0, np.nan], [0.9, 0.1, np.nan]) == 1.0


@pytest.mark.parametrize(("labels", "scores"), [([0, 2], [0.1, 0.2]), ([0, 1], [0.1, np.nan])])
def test_auroc_refuses_what_it_cannot_rank(labels: list[float], scores: list[float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        auroc(labels, scores)


def test_weighted_auroc_equals_sklearn_with_ties_and_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = rng(1)
    labels = generator.integers(0, 2, 200)
    scores = generator.normal(size=200).round(1) + 0.5 * labels
    weights = generator.integers(0, 4, (20, 200))
    expected = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    np.testing.assert_allclose(weighted_auroc(labels, scores, weights), expected, atol=1e-12)
    monkeypatch.setattr("synthcohort.measures.auroc.CHUNK_ELEMENTS", 600)
    np.testing.assert_allclose(weighted_auroc(labels, scores, weights), expected, atol=1e-12)


def test_a_weighting_without_negatives_is_undefined() -> None:
    result = weighted_auroc([1, 0], [0.9, 0.1], np.array([[1, 0], [1, 1]]))
    np.testing.assert_array_equal(result, [np.nan, 1.0])


def test_patients_come_whole_and_their_names_do_not_matter() -> None:
    patients = np.array(["b", "a", "b", "c", "a"])
    weights = patient_weights(patients, 50, rng())
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    renamed = np.array(["1", "9", "1", "0", "9"])
    np.testing.assert_array_equal(weights, patient_weights(renamed, 50, rng()))


def test_single_class_resamples_are_redrawn_and_counted() -> None:
    labels = np.array([[1, 0], [0, 0], [0, 0], [np.nan, 1]])
    result = bootstrap_measures(labels, rng(2).random((1, 4, 2)), list("abcd"), 400, rng(3))
    assert result.samples.shape == (4, 1, 2, 400)
    assert not np.isnan(result.samples).any()
    # Of 400 resamples of 4 patients, (3/4)^4 = 32 % miss the only positive one; and misses repeat in the redraws.
    assert 150 < result.redrawn[1] < 280


def test_an_undefined_finding_is_nan_not_an_endless_loop() -> None:
    result = bootstrap_measures(np.zeros((4, 1)), np.zeros((1, 4, 1)), list("abcd"), 10, rng())
    assert np.isnan(result.values).all()
    assert np.isnan(result.samples).all()


def test_classifiers_share_resamples() -> None:
    labels = rng(4).integers(0, 2, (100, 1)).astype(float)
    scores = labels + rng(5).normal(size=(100, 1))
    both = np.stack([scores, scores * 2 + 1])
    result = bootstrap_measures(labels, both, np.arange(100), 200, rng(6), ["auroc", "average_precision"])
    assert result.measures == ("auroc", "average_precision")
    np.testing.assert_array_equal(result.samples[:, 0], result.samples[:, 1])
    assert (result.samples[:, 0].std(axis=-1) > 0.01).all()


def test_measures_share_resamples_and_do_not_change_them() -> None:
    labels = rng(4).integers(0, 2, (60, 2)).astype(float)
    labels[6:, 1] = 0  # one patient in ten has the second finding: some resamples are drawn again
    labels[:6, 1] = 1
    scores = rng(5).random((2, 60, 2))
    patients = np.arange(60) // 6
    whole = bootstrap_measures(labels, scores, patients, 100, rng(6))
    assert whole.redrawn[1] > 0
    weights = patient_weights(patients, 100, rng(6))
    for number, name in enumerate(MEASURES):
        alone = bootstrap_measures(labels, scores, patients, 100, rng(6), [name])
        np.testing.assert_array_equal(alone.samples[0], whole.samples[number])
        np.testing.assert_array_equal(alone.values[0], whole.values[number])
        np.testing.assert_array_equal(
            MEASURES[name](labels[:, 0], scores[1, :, 0], weights), whole.samples[number, 1, 0]
        )
    assert whole.values[2, 0, 0] == pytest.approx(((labels[:, 0] - scores[0, :, 0]) ** 2).mean())


def test_pooled_samples_by_hand() -> None:
    # Two replicates at 0 and 1, the same on every resample of patients: means 0, 1/2, 1/2, 1 are equally likely.
    samples = np.stack([np.zeros((3, 4000)), np.ones((3, 4000))])
    pooled = pool_replicates(samples, rng(1))
    assert pooled.shape == (3, 4000)
    values, counts = np.unique(pooled, return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(counts / counts.sum(), [0.25, 0.5, 0.25], atol=0.03)
    np.testing.assert_array_equal(pooled[0], pooled[1])  # what stands beside is drawn with the same replicates
    paired = rng(2).normal(size=(1, 3, 50)) + np.zeros((5, 1, 1))
    np.testing.assert_allclose(
        pool_replicates(paired, rng(3)), paired[0], atol=1e-12
    )  # equal replicates: patients only


@pytest.mark.parametrize("replicates", [2, 3, 10])
def test_replicates_part_is_too_narrow_by_the_factor_stated(replicates: int) -> None:
    """Replicates and patients vary independently; the variance is the patients' and a share of the replicates'."""
    own = rng(1).normal(0, 2, replicates)[:, None]
    patients = rng(2).normal(0, 0.5, 20_000)
    pooled = pool_replicates(own + patients, rng(3))
    unbiased = own.var(ddof=1) / replicates  # of the mean over replicates
    between = pooled.var() - patients.var()
    assert between == pytest.approx((replicates - 1) / replicates * unbiased, rel=0.05)


def test_percentile_interval_by_hand() -> None:
    assert percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))
    assert percentile_interval(np.array([np.nan, 1.0, 3.0]), 0.5) == pytest.approx((1.5, 2.5))
    assert np.isnan(percentile_interval(np.array([np.nan]), 0.9)).all()


def test_basic_interval_by_hand() -> None:
    # Percentiles 0.25 and 0.35 mirrored at 0.3; and of a biased measure, whose resamples all lie above its value.
    assert basic_interval(0.3, np.linspace(0.25, 0.35, 101), 0.98) == pytest.approx((0.251, 0.349))
    assert basic_interval(0.2, np.linspace(0.25, 0.35, 101), 0.98) == pytest.approx((0.051, 0.2))
    assert basic_interval(0.1, np.linspace(0.25, 0.35, 101), 0.98) == pytest.approx((0.0, 0.1))
    assert basic_interval(0.9, np.linspace(0.7, 0.9, 101), 0.98) == pytest.approx((0.9, 1.0), abs=0.01)
    assert np.isnan(basic_interval(np.nan, np.full(3, np.nan), 0.95)).all()


def miscalibrated(generator: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three images per patient; the classifier's logits are half as large again as they should be."""
    patient = np.repeat(np.arange(patients), 3)
    shared, own = generator.normal(size=patients)[patient], generator.normal(size=3 * patients)
    logits = 1.5 * (np.sqrt(0.7) * shared + np.sqrt(0.3) * own) - 0.5
    labels = generator.random(3 * patients) < 1 / (1 + np.exp(-logits))
    return labels.astype(float), 1 / (1 + np.exp(-1.5 * logits)), patient


def test_calibration_error_needs_the_basic_interval() -> None:
    measure = MEASURES["calibration_error"]
    labels, scores, _ = miscalibrated(rng(1), 200_000)
    truth = measure(labels, scores, np.ones((1, len(labels))))[0]
    covered = np.zeros(2)
    for seed in range(150):
        generator = rng(seed)
        labels, scores, patients = miscalibrated(generator, 100)
        value = measure(labels, scores, np.ones((1, 300)))[0]
        samples = measure(labels, scores, patient_weights(patients, 200, generator))
        intervals = basic_interval(value, samples, 0.95), percentile_interval(samples, 0.95)
        covered += [low <= truth <= high for low, high in intervals]
    assert covered[0] / 150 > 0.85
    assert covered[1] / 150 < 0.2  # positive control: what the mirror avoids


def test_retention_by_hand() -> None:
    assert retention(0.7, 0.9) == pytest.approx(0.5)
    assert retention(0.4, 0.9) == pytest.approx(-0.25)
    assert retention(0.95, 0.9) == pytest.approx(1.125)
    np.testing.assert_array_equal(retention(np.array([0.7, 0.7]), np.array([0.5, 0.4])), [np.nan, np.nan])


def test_retention_has_no_interval_where_real_may_be_chance() -> None:
    real = np.linspace(0.49, 0.8, 100)
    assert np.isnan(retention_interval(real - 0.1, real, 0.95)).all()
    low, high = retention_interval(real + 0.1, real + 0.2, 0.95)
    assert low < high < 1


def simulate(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """60 patients with 3 images each that share label and most of their score; true AUROC is Phi(1) = 0.8413."""
    generator = rng(seed)
    patients = np.repeat(np.arange(60), 3)
    labels = (np.arange(60) % 2).astype(float)[patients]
    shared = generator.normal(size=60)[patients]
    own = generator.normal(size=180)
    scores = np.sqrt(2) * labels + np.sqrt(0.9) * shared + np.sqrt(0.1) * own
    return labels[:, None], scores[None, :, None], patients


def coverage(by_patient: bool) -> float:
    covered = 0
    for seed in range(200):
        labels, scores, patients = simulate(seed)
        units = patients if by_patient else np.arange(len(patients))
        samples = bootstrap_measures(labels, scores, units, 200, rng(seed), ["auroc"]).samples[0, 0, 0]
        low, high = percentile_interval(samples, 0.95)
        covered += low <= 0.8413 <= high
    return covered / 200


def test_intervals_over_patients_cover_and_intervals_over_images_do_not() -> None:
    assert 0.90 <= coverage(by_patient=True) <= 0.99
    assert coverage(by_patient=False) < 0.85  # positive control: the mistake that the patient level avoids


def test_speed() -> None:
    generator = rng(7)
    labels = (generator.random((1000, 14)) < 0.2).astype(float)
    scores = generator.random((2, 1000, 14))
    start = time.process_time()
    bootstrap_measures(labels, scores, np.repeat(np.arange(500), 2), 1000, generator)
    assert time.process_time() - start < 5
