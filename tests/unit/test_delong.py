"""DeLong's variance with patients as clusters: by hand, against the textbook formula, and its coverage."""

import numpy as np
import pytest
from scipy.stats import norm

from synthcohort.measures.auroc import auroc
from synthcohort.measures.delong import DeLong, delong, delong_difference, delong_interval


def textbook(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong et al. 1988, every pair compared: AUROCs and covariance, no clusters."""
    first, second, aurocs = [], [], []
    for score in scores:
        x, y = score[labels == 1], score[labels == 0]
        wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        aurocs.append(wins.mean())
        first.append(wins.mean(axis=1))
        second.append(wins.mean(axis=0))
    return np.array(aurocs), np.cov(first) / (labels == 1).sum() + np.cov(second) / (labels == 0).sum()


def obuchowski(labels: np.ndarray, score: np.ndarray, patients: np.ndarray) -> float:
    """Obuchowski 1997, one classifier, cluster by cluster as printed."""
    x, y = score[labels == 1], score[labels == 0]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    area, m, n = wins.mean(), len(x), len(y)
    clusters = list(dict.fromkeys(patients))
    ill, well = patients[labels == 1], patients[labels == 0]
    first = [wins[ill == name].mean(axis=1).sum() - (ill == name).sum() * area for name in clusters]
    second = [wins[:, well == name].mean(axis=0).sum() - (well == name).sum() * area for name in clusters]
    i10, i01, i = len(set(ill)), len(set(well)), len(clusters)
    s10 = i10 / ((i10 - 1) * m) * np.sum(np.square(first))
    s01 = i01 / ((i01 - 1) * n) * np.sum(np.square(second))
    s11 = i / (i - 1) * np.sum(np.multiply(first, second))
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def planted(seed: int = 0, count: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, two classifiers with ties, and patients of one to four images with labels of both kinds."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    patients = np.sort(rng.integers(0, count // 3, count))
    shared = rng.normal(size=count)[patients]
    scores = (labels + shared + rng.normal(size=(2, count))).round(1)
    return labels, scores, patients


def test_by_hand() -> None:
    # Positives 3 and 1, negatives 2 and 0, all of other patients: wins 1, 1 / 0, 1. AUROC 3/4.
    # Placements of positives 1 and 1/2 (variance 1/8), of negatives 1/2 and 1 (1/8): 1/8/2 + 1/8/2 = 1/8.
    result = delong([1, 1, 0, 0], [[3, 1, 2, 0]], list("abcd"))
    assert result.aurocs.tolist() == [0.75]
    assert result.covariance == pytest.approx(np.array([[0.125]]))
    # Patients (3, 2) and (1, 0): deviations of positives ±1/4, of negatives -1/4 and 1/4.
    # S10/M = 2 * (2/16) / 4 = 1/16, S01/N the same; S11 = 2 * (-1/16 - 1/16) = -1/4, and 2 S11 / 4 = -1/8: 0 in all.
    clustered = delong([1, 1, 0, 0], [[3, 1, 2, 0]], list("abab"))
    assert clustered.covariance == pytest.approx(np.array([[0.0]]), abs=1e-15)
    # Patients (3, 0) and (1, 2): the negative ranked wrongly is the positive's own, so deviations agree: 1/4.
    clustered = delong([1, 1, 0, 0], [[3, 1, 2, 0]], list("abba"))
    assert clustered.covariance == pytest.approx(np.array([[0.25]]))


def test_single_images_are_delong() -> None:
    labels, scores, _ = planted()
    aurocs, covariance = textbook(labels, scores)
    result = delong(labels, scores, np.arange(len(labels)))
    np.testing.assert_allclose(result.aurocs, aurocs, atol=1e-12)
    np.testing.assert_allclose(result.covariance, covariance, atol=1e-14)


def test_clusters_are_obuchowski_and_their_names_do_not_matter() -> None:
    labels, scores, patients = planted()
    result = delong(labels, scores, patients)
    expected = [obuchowski(labels, score, patients) for score in scores]
    np.testing.assert_allclose(np.diag(result.covariance), expected, atol=1e-14)
    renamed = delong(labels, scores, np.array([f"p{97 - patient}" for patient in patients]))
    np.testing.assert_allclose(renamed.covariance, result.covariance, atol=1e-15)


def test_covariance_is_that_of_the_bilinear_form() -> None:
    labels, scores, patients = planted(1)
    result = delong(labels, scores, patients)
    np.testing.assert_allclose(result.covariance, result.covariance.T, atol=1e-16)
    swapped = delong(labels, scores[::-1], patients)
    np.testing.assert_allclose(swapped.covariance, result.covariance[::-1, ::-1], atol=1e-16)
    # A classifier beside itself varies with itself as it varies.
    twice = delong(labels, scores[[0, 0]], patients)
    np.testing.assert_allclose(twice.covariance, np.full((2, 2), result.covariance[0, 0]), atol=1e-16)


def test_aurocs_are_those_of_the_other_module_and_unknown_labels_are_left_out() -> None:
    labels, scores, patients = planted(2)
    some = labels.astype(float)
    some[::4] = np.nan
    known = ~np.isnan(some)
    result = delong(some, np.where(known, scores, np.nan), patients)
    expected = delong(labels[known], scores[:, known], patients[known])
    np.testing.assert_array_equal(result.covariance, expected.covariance)
    np.testing.assert_allclose(result.aurocs, [auroc(some, score) for score in scores], atol=1e-12)


def test_undefined_is_nan() -> None:
    one_class = delong([1, 1, np.nan], [[0.1, 0.2, 0.3]], list("abc"))
    assert np.isnan(one_class.aurocs).all()
    assert np.isnan(one_class.covariance).all()
    assert np.isnan(delong_interval(one_class, 0, 0.95)).all()
    one_patient = delong([1, 0, 1, 0], [[0.5, 0.2, 0.1, 0.3]], list("aaaa"))
    assert one_patient.aurocs.tolist() == [0.5]
    assert np.isnan(one_patient.covariance).all()
    assert np.isnan(delong_interval(one_patient, 0, 0.95)).all()
    one_ill = delong([1, 0, 1, 0], [[0.5, 0.2, 0.1, 0.3]], list("aaab"))
    assert np.isnan(one_ill.covariance).all()


@pytest.mark.parametrize(("labels", "scores"), [([0, 2], [[0.1, 0.2]]), ([0, 1], [[0.1, np.nan]])])
def test_what_cannot_be_ranked_is_refused(labels: list[float], scores: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="must be"):
        delong(labels, scores, ["a", "b"])


def test_intervals_by_hand() -> None:
    result = DeLong(np.array([0.8, 0.7]), np.array([[0.0016, 0.0004], [0.0004, 0.0016]]))
    # logit(0.8) = 1.3863, its error 0.04 / 0.16 = 0.25, times 1.96 = 0.49: from expit(0.8963) to expit(1.8763).
    assert delong_interval(result, 0, 0.95) == pytest.approx((0.7102, 0.8672), abs=1e-4)
    # The difference's variance is 0.0016 + 0.0016 - 0.0008 = 0.0024.
    difference, (low, high) = delong_difference(result, 0, 1, 0.9)
    assert difference == pytest.approx(0.1)
    assert (low, high) == pytest.approx((0.1 - 1.6449 * 0.04899, 0.1 + 1.6449 * 0.04899), abs=1e-4)


def test_intervals_stay_within_the_range() -> None:
    near_one = DeLong(np.array([0.98, 0.02]), np.array([[0.01, 0.0], [0.0, 0.01]]))
    low, high = delong_interval(near_one, 0, 0.99)
    assert 0 < low < 0.98 < high < 1
    assert delong_difference(near_one, 0, 1, 0.9999)[1][1] == 1
    perfect = delong([1, 1, 0, 0], [[4, 3, 2, 1]], list("abcd"))
    assert perfect.aurocs.tolist() == [1]
    assert np.isnan(delong_interval(perfect, 0, 0.95)).all()


def test_equal_classifiers_do_not_differ() -> None:
    labels, scores, patients = planted(3)
    difference, interval = delong_difference(delong(labels, scores[[0, 0]], patients), 0, 1, 0.95)
    assert difference == 0
    assert interval == pytest.approx((0, 0), abs=1e-6)


def simulate(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """80 patients of three images with one label; two classifiers, true AUROCs Phi(1) and Phi(0.6).

    Images of a patient share most of their score, and the classifiers share half of what they get wrong.
    """
    patients = np.repeat(np.arange(80), 3)
    labels = (np.arange(80) % 2)[patients]

    def noise(*shape: int) -> np.ndarray:
        return np.sqrt(0.8) * rng.normal(size=(*shape, 80))[..., patients] + np.sqrt(0.2) * rng.normal(
            size=(*shape, 240)
        )

    common, own = noise(), noise(2)
    signal = np.sqrt(2) * np.array([[1.0], [0.6]]) * labels
    return labels, signal + np.sqrt(0.5) * (common + own), patients


@pytest.fixture(scope="module")
def coverage() -> dict[str, float]:
    """How often 95 % intervals hold the truth, with patients as clusters and with images taken as independent."""
    truth = norm.cdf([1.0, 0.6])
    rng = np.random.default_rng(0)
    held = {"patients": 0, "images": 0, "patients, gap": 0, "images, gap": 0, "unpaired gap": 0}
    rounds = 600
    for _ in range(rounds):
        labels, scores, patients = simulate(rng)
        for name, clusters in (("patients", patients), ("images", np.arange(240))):
            result = delong(labels, scores, clusters)
            low, high = delong_interval(result, 0, 0.95)
            held[name] += low <= truth[0] <= high
            low, high = delong_difference(result, 0, 1, 0.95)[1]
            held[f"{name}, gap"] += low <= truth[0] - truth[1] <= high
            if name == "patients":
                unpaired = DeLong(result.aurocs, np.diag(np.diag(result.covariance)))
                low, high = delong_difference(unpaired, 0, 1, 0.95)[1]
                held["unpaired gap"] += low <= truth[0] - truth[1] <= high
    return {name: count / rounds for name, count in held.items()}


def test_intervals_over_patients_cover(coverage: dict[str, float]) -> None:
    assert 0.92 <= coverage["patients"] <= 0.98
    assert 0.92 <= coverage["patients, gap"] <= 0.98


def test_ignoring_clusters_or_pairing_does_not(coverage: dict[str, float]) -> None:
    assert coverage["images"] < 0.85
    assert coverage["images, gap"] < 0.85
    assert coverage["unpaired gap"] > 0.98
