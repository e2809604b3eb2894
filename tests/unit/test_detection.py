"""Real or synthetic: chance where there is no difference, found where there is one, and no patient on both sides."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from gan_toys import draw_faces
from synthcohort.audit import detection
from synthcohort.audit.detection import (
    Comparison,
    compare_images,
    cross_fitted_scores,
    detection_metrics,
    match_labels,
)
from synthcohort.audit.judge import noised
from synthcohort.audit.utility import METRIC_COLUMNS
from synthcohort.audit.vocabulary import NOISE
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.measures.auroc import auroc

CPU = torch.device("cpu")
FINDINGS = ("f0", "f1")
KEYS = {
    "study": "s", "cohort": "toy", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "replicate": "r0",
}  # fmt: skip
STATISTICS = Statistics(bootstrap=300)
SIDE = 8
LABELS = np.array([[1, 0], [0, 1], [1, 1]], np.float32)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the usual length, which is enough for such images."""
    monkeypatch.setattr(detection, "KIMG", 2.5)


def faces(count: int, seed: int) -> NDArray[np.uint8]:
    """Small images on black, so that the networks learn in a second."""
    images = draw_faces(count, seed).reshape(count, 1, SIDE, 2, SIDE, 2).mean((3, 5)).astype(np.uint8)
    images[:, :, :, [0, 1, -2, -1]] = 0
    return images


def store(folder: Path, images: NDArray[np.uint8], patients: list[str], labels: NDArray[np.float32]) -> ImageStore:
    records = pd.DataFrame(labels, columns=list(FINDINGS))
    records.insert(0, "image_id", [f"i{number}" for number in range(len(images))])
    records.insert(1, "patient_id", patients)
    info = StoreInfo(
        cohort="toy", findings=[Finding(name=name, display=name) for name in FINDINGS], units="HU",
        windows=[(0, 80)], resolution=SIDE, channels=1, images=len(images), simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def cohort(folder: Path, prefix: str = "p") -> tuple[ImageStore, pd.DataFrame]:
    """300 training and 300 held-out images of one distribution, three a patient."""
    patients = [f"{prefix}{(number // 3 * 7919) % 1000:03d}" for number in range(600)]
    real = store(folder, faces(600, 0), patients, LABELS[np.arange(600) % 3])
    side = np.repeat(["train", "valid", "test"], [300, 150, 150])
    return real, pd.DataFrame({"row": np.arange(600), "patient_id": patients, "side": side})


def made(folder: Path, images: NDArray[np.uint8]) -> ImageStore:
    return store(folder, images, [f"synthetic-{n}" for n in range(len(images))], LABELS[np.arange(len(images)) % 3])


def one(metrics: pd.DataFrame, metric: str, role: str) -> pd.Series:
    rows = metrics[(metrics["metric"] == metric) & (metrics["role"] == role)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_labels_are_matched_one_to_one_and_at_random() -> None:
    first = LABELS[[0] * 50 + [1] * 30 + [2] * 20]
    second = LABELS[[1] * 100 + [0] * 10]
    left, right = match_labels(first, np.arange(100), second, np.arange(110), 1000, np.random.default_rng(0))
    assert len(left) == len(right) == 10 + 30, "ten of the first kind, thirty of the second, none of the third"
    np.testing.assert_array_equal(first[left], second[right])
    assert len(set(left)) == len(set(right)) == 40
    other, _ = match_labels(first, np.arange(100), second, np.arange(110), 1000, np.random.default_rng(1))
    assert set(left) != set(other)


def test_matching_keeps_to_the_given_rows_and_limit_and_counts_unknown_as_absent() -> None:
    labels = np.array([[1, np.nan], [1, 0], [0, 1], [1, 0]], np.float32)
    left, right = match_labels(labels, np.array([0, 2]), labels, np.array([1, 3]), 10, np.random.default_rng(0))
    assert left.tolist() == [0]
    assert right[0] in (1, 3)
    many = np.tile(LABELS, (200, 1))
    left, right = match_labels(many, np.arange(600), many, np.arange(600), 90, np.random.default_rng(0))
    assert len(left) == len(right) == 90
    np.testing.assert_array_equal(many[left], many[right])
    assert (many[left].sum(0) > 30).all(), "the limit cuts by chance, not the last combination away"
    nothing, _ = match_labels(labels, np.array([2]), labels, np.array([1]), 10, np.random.default_rng(0))
    assert len(nothing) == 0


def test_metrics_of_the_same_distribution_are_chance_and_the_noise_is_detected(tmp_path: Path) -> None:
    real, selection = cohort(tmp_path / "real")
    samples = {"r3-gan": made(tmp_path / "made", faces(400, 1))}
    metrics = detection_metrics(KEYS, samples, real, selection, STATISTICS, 0, CPU)
    assert tuple(metrics.columns) == METRIC_COLUMNS
    assert len(metrics) == 6
    assert set(metrics.loc[metrics["role"] == "value", "source"]) == {"r3-gan"}
    assert set(metrics.loc[metrics["role"] != "value", "source"]) == {"real"}
    for metric in ("machine_auroc", "machine_accuracy"):
        for role in ("value", "negative_control"):
            row = one(metrics, metric, role)
            # Four intervals of 95 %: one may miss chance by a little.
            assert row["ci_low"] - 0.05 < 0.5 < row["ci_high"] + 0.05
            assert row["ci_high"] - row["ci_low"] < 0.2
        assert one(metrics, metric, "positive_control")["ci_low"] > 0.9
    assert one(metrics, "machine_auroc", "value")["n"] == 100 + 300
    assert one(metrics, "machine_auroc", "negative_control")["n"] == 100 + 100


def test_a_flaw_of_synthetic_images_is_detected() -> None:
    flawed = faces(300, 1)
    flawed[:, :, 3:5, 3:5] //= 3
    comparison = compare_images(faces(300, 0), flawed, np.arange(300) // 3, 300 + np.arange(300))
    assert auroc(comparison.kinds, cross_fitted_scores(comparison, 0, CPU)) > 0.8


def test_nothing_depends_on_pseudonyms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "KIMG", 0.2)
    synthetic = {"r3-gan": made(tmp_path / "made", faces(300, 1))}
    results = []
    for prefix, sign in (("p", 1), ("z", -1)):
        real, selection = cohort(tmp_path / prefix)
        numbers = pd.factorize(selection["patient_id"])[0]
        selection["patient_id"] = [f"{prefix}{500 + sign * number}" for number in numbers]
        results.append(detection_metrics(KEYS, synthetic, real, selection, STATISTICS, 0, CPU))
    pd.testing.assert_frame_equal(results[0], results[1])


def mark(seed: int) -> Comparison:
    """80 patients with five images each: kinds drawn by patient, and a mark of each patient's own, but of no kind."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(80), 5)
    images = faces(400, seed) // 4
    images[:, :, :4, :4] = rng.integers(0, 2, (80, 1, 4, 4)).astype(np.uint8)[patients] * 120
    order = np.argsort((rng.permutation(80) < 40)[patients], kind="stable")
    first, second = order[:200], order[200:]
    return compare_images(images[first], images[second], patients[first], patients[second])


@pytest.fixture(scope="module")
def marked() -> Comparison:
    return mark(0)


def test_a_mark_of_each_patient_does_not_leak_over_folds(marked: Comparison) -> None:
    grouped = auroc(marked.kinds, cross_fitted_scores(marked, 0, CPU))
    assert abs(grouped - 0.5) < 0.2, "two standard errors with so few patients; over eight draws the mean was 0.51"
    # The same images cut without regard to patients: the mark tells who it is, and so which kind.
    alone = marked._replace(groups=np.arange(len(marked.groups)))
    assert auroc(alone.kinds, cross_fitted_scores(alone, 0, CPU)) > 0.95


def test_folds_keep_groups_together_and_score_every_image(marked: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = []

    class Recorder(detection.StratifiedGroupKFold):
        def split(self, *arguments: NDArray) -> list[tuple[NDArray, NDArray]]:
            cuts.append(list(super().split(*arguments)))
            return cuts[-1]

    monkeypatch.setattr(detection, "StratifiedGroupKFold", Recorder)
    monkeypatch.setattr(detection, "KIMG", 0.2)
    scores = cross_fitted_scores(marked, 3, CPU)
    assert np.isfinite(scores).all()
    assert sorted(np.concatenate([test for _, test in cuts[0]])) == list(range(400))
    for train, test in cuts[0]:
        assert not set(marked.groups[train]) & set(marked.groups[test])
        assert set(marked.kinds[test]) == {0, 1}
    np.testing.assert_array_equal(scores, cross_fitted_scores(marked, 3, CPU))


def test_too_few_patients_are_refused(tmp_path: Path, marked: Comparison) -> None:
    with pytest.raises(UserError, match="fewer than 5 patients"):
        cross_fitted_scores(marked._replace(groups=marked.groups % 4), 0, CPU)
    real, selection = cohort(tmp_path / "real")
    synthetic = {"r3-gan": store(tmp_path / "made", faces(9, 1), ["x"] * 9, np.zeros((9, 2), np.float32))}
    with pytest.raises(UserError, match="share their labels"):
        detection_metrics(KEYS, synthetic, real, selection, STATISTICS, 0, CPU)


def test_noise_has_the_stated_size_and_stays_bytes() -> None:
    grey = np.full((50, 1, 16, 16), 128, np.uint8)
    noise = noised(grey, NOISE, np.random.default_rng(0)).astype(float) - 128
    assert noise.std() == pytest.approx(25, rel=0.03)
    assert abs(noise.mean()) < 0.6
    for end in (0, 255):
        noise = noised(np.full((9, 1, 8, 8), end, np.uint8), NOISE, np.random.default_rng(0))
        assert noise.dtype == np.uint8
        assert abs(noise.astype(int) - end).max() < 150
