"""Fidelity: measures against hand-computed values and other libraries, intervals against simulations, the audit
against spoilt images that each metric must notice, and its figure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from skimage.metrics import structural_similarity as skimage_similarity

from synthcohort.audit import judge as preparing
from synthcohort.audit.fidelity import DISTANCES, FEATURE_MEASURES, axis_size, fidelity_metrics
from synthcohort.audit.judge import JudgedImages, blur, judge_controls, judge_images, judge_rows, noised, thin_rows
from synthcohort.audit.utility import METRIC_COLUMNS, combine_metrics
from synthcohort.audit.vocabulary import NOISE
from synthcohort.classify.networks import build_network
from synthcohort.classify.predict import logits
from synthcohort.core.errors import UserError
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.figures import style
from synthcohort.figures.fidelity import NOT_MEASURED, PANELS, draw_fidelity_figure, fidelity_table, fidelity_words
from synthcohort.measures.bootstrap import patient_weights
from synthcohort.measures.fidelity import (
    PatchProjector,
    enlarge,
    image_patches,
    jackknife,
    laplacian_pyramid,
    pairs_within_combination,
    patient_groups,
    similarity_name,
    sliced_wasserstein,
    structural_similarity,
)

KEYS = {
    "study": "tiny", "cohort": "blobs", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "replicate": "r0",
}  # fmt: skip
FINDINGS = ["left", "right"]
SIDE = 16


def noise_images(count: int, side: int = SIDE, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, side, side), dtype=np.uint8)


# Sliced Wasserstein distance


def test_levels_of_a_pyramid_add_up_to_the_image() -> None:
    images = noise_images(3, 32)
    levels = laplacian_pyramid(images)
    assert [level.shape[-1] for level in levels] == [32, 16, 8]
    whole = levels[-1]
    for level in levels[-2::-1]:
        whole = level + enlarge(whole)
    np.testing.assert_allclose(whole, images, atol=1e-3)


def test_an_even_image_has_no_detail() -> None:
    *details, rest = laplacian_pyramid(np.full((2, 1, 32, 32), 90, np.uint8))
    for level in details:
        np.testing.assert_allclose(level, 0, atol=1e-3)
    np.testing.assert_allclose(rest, 90, atol=1e-3)


@pytest.mark.parametrize(("side", "sides"), [(8, [8]), (16, [16, 8]), (20, [20, 10]), (64, [64, 32, 16, 8])])
def test_small_and_odd_images_have_the_levels_they_can(side: int, sides: list[int]) -> None:
    assert [level.shape[-1] for level in laplacian_pyramid(noise_images(1, side))] == sides
    patches = image_patches(noise_images(2, side), np.random.default_rng(0))
    assert [level.shape[-1] for level in patches] == [min(7, length // 2 - 1) for length in sides]


def test_sliced_wasserstein_is_the_mean_of_scipys() -> None:
    projector = PatchProjector(noise_images(5), np.random.default_rng(0))
    other = projector(noise_images(5, seed=1) // 2, np.random.default_rng(1))
    expected = [
        np.mean([wasserstein_distance(a.ravel(), b.ravel()) for a, b in zip(x, y, strict=True)])
        for x, y in zip(projector.reference, other, strict=True)
    ]
    assert sliced_wasserstein(projector.reference, other) == pytest.approx(np.mean(expected), rel=1e-5)


def test_sliced_wasserstein_of_sets_of_different_size_is_close_to_scipys() -> None:
    projector = PatchProjector(noise_images(50), np.random.default_rng(0))
    other = projector(noise_images(45, seed=1) // 2, np.random.default_rng(1))
    expected = [
        np.mean([wasserstein_distance(a.ravel(), b.ravel()) for a, b in zip(x, y, strict=True)])
        for x, y in zip(projector.reference, other, strict=True)
    ]
    assert sliced_wasserstein(projector.reference, other) == pytest.approx(np.mean(expected), rel=0.01)


def test_sliced_wasserstein_of_equal_sets_is_zero_and_a_constant_reference_no_error() -> None:
    images = noise_images(4)
    projector = PatchProjector(images, np.random.default_rng(3))
    assert sliced_wasserstein(projector.reference, projector.reference) == 0
    black = PatchProjector(np.zeros_like(images), np.random.default_rng(3))
    assert sliced_wasserstein(black.reference, black(np.zeros_like(images), np.random.default_rng(4))) == 0
    assert sliced_wasserstein(black.reference, black(images, np.random.default_rng(4))) > 1


def test_sliced_wasserstein_sees_contrast_that_each_sets_own_scale_would_hide() -> None:
    images = noise_images(40)
    flat = (images.astype(float) / 2 + 64).astype(np.uint8)
    projector = PatchProjector(images, np.random.default_rng(0))
    same = sliced_wasserstein(projector.reference, projector(noise_images(40, seed=5), np.random.default_rng(1)))
    weak = sliced_wasserstein(projector.reference, projector(flat, np.random.default_rng(1)))
    assert weak > 3 * same


# Diversity


def test_ssim_is_that_of_scikit_image() -> None:
    first, second = noise_images(3, 32), noise_images(3, 32, seed=1)
    second = (second // 4 + first // 4 * 3).astype(np.uint8)
    found = structural_similarity(first, second)
    for value, a, b in zip(found, first[:, 0], second[:, 0], strict=True):
        expected = skimage_similarity(
            a.astype(float),
            b.astype(float),
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert value == pytest.approx(expected, abs=0.01)
    np.testing.assert_allclose(structural_similarity(first, first), 1, atol=1e-6)


def test_large_images_are_compared_on_several_scales() -> None:
    assert [similarity_name(side) for side in (8, 128, 176, 256)] == ["ssim", "ssim", "ms-ssim", "ms-ssim"]
    image = noise_images(2, 176)
    assert structural_similarity(image, image) == pytest.approx(1, abs=1e-5)
    assert structural_similarity(image[:1], image[1:])[0] < 0.2
    assert structural_similarity(image[:0], image[:0]).shape == (0,)


def test_pairs_have_one_combination_and_two_patients() -> None:
    labels = np.array([[0, 1], [0, 1], [0, 1], [1, 0], [1, 0], [1, 1], [0, np.nan], [0, np.nan]])
    patients = np.array(["a", "a", "b", "c", "c", "d", "e", "f"])
    pairs = pairs_within_combination(labels, patients, 400, np.random.default_rng(0))
    # Only 0–2 and 1–2 can meet: 3 and 4 are one patient, 5 is alone, 6 and 7 are not wholly known.
    assert {frozenset(pair) for pair in pairs.tolist()} == {frozenset({0, 2}), frozenset({1, 2})}
    renamed = pairs_within_combination(labels, np.array(list("zzyxxwvu")), 400, np.random.default_rng(0))
    assert pairs.tolist() == renamed.tolist()
    assert pairs_within_combination(labels[3:], patients[3:], 9, np.random.default_rng(0)).shape == (0, 2)


# Intervals


def test_groups_keep_patients_together_and_do_not_depend_on_names() -> None:
    patients = np.repeat([f"p{number}" for number in range(23)], 3)
    groups = patient_groups(patients, 10, np.random.default_rng(0))
    table = pd.DataFrame({"patient": patients, "group": groups})
    assert (table.groupby("patient")["group"].nunique() == 1).all()
    assert sorted(set(table.groupby("group")["patient"].nunique())) == [2, 3]
    other = np.repeat([f"q{100 - number}" for number in range(23)], 3)
    assert groups.tolist() == patient_groups(other, 10, np.random.default_rng(0)).tolist()


def mean_of(values: NDArray[np.float64]) -> Callable[..., NDArray[np.float64]]:
    return lambda kept: np.array([values[kept].mean()])


def test_jackknife_of_a_mean_with_groups_of_one_is_the_textbook_interval() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    value, low, high = jackknife(mean_of(values), [np.arange(4)], 0.95)
    reach = 3.182446305 * values.std(ddof=1) / 2  # Student's quantile for 3 degrees of freedom
    assert (value[0], low[0], high[0]) == pytest.approx((4, 4 - reach, 4 + reach))


def test_one_group_has_a_value_and_no_interval() -> None:
    value, low, high = jackknife(mean_of(np.arange(4.0)), [np.zeros(4, np.int64)], 0.95)
    assert value[0] == 1.5
    assert np.isnan([low[0], high[0]]).all()


def test_jackknife_agrees_with_the_bootstrap_over_patients() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(300), 4)
    values = rng.normal(size=300)[patients] + 0.5 * rng.normal(size=1200)
    weights = patient_weights(patients, 1000, rng)
    bootstrap = (weights @ values / weights.sum(axis=1)).std()
    errors = []
    for _ in range(40):  # one dealing of patients to groups is uncertain by a quarter
        _, low, high = jackknife(mean_of(values), [patient_groups(patients, 10, rng)], 0.95)
        errors.append((high[0] - low[0]) / 2 / 2.262157)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(bootstrap, rel=0.1)
    naive = values.std() / np.sqrt(len(values))
    assert np.sqrt(np.mean(np.square(errors))) > 1.5 * naive  # images of a patient are not independent


def test_intervals_of_a_difference_of_two_sets_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = normal = 0
    for _ in range(800):
        first = np.repeat(rng.normal(size=40), 3) + rng.normal(size=120)
        second = 1 + 2 * rng.normal(size=100)
        groups = [patient_groups(np.repeat(np.arange(40), 3), 10, rng), patient_groups(np.arange(100), 10, rng)]

        def difference(x: NDArray, y: NDArray, first: NDArray = first, second: NDArray = second) -> NDArray:
            return np.array([second[y].mean() - first[x].mean()])

        value, low, high = jackknife(difference, groups, 0.95)
        hits += low[0] <= 1 <= high[0]
        normal += abs(value[0] - 1) <= 1.959964 / 2.262157 * (high[0] - low[0]) / 2
    assert 0.93 < hits / 800 < 0.975
    assert normal / 800 < 0.935  # what the normal quantile would have made of it


# The audit


def blobs(count: int, seed: int, images_per_patient: int = 1) -> tuple[NDArray[np.uint8], NDArray, NDArray]:
    """A soft blob on the left, on the right, or on both sides, of varied place, size and brightness, over texture."""
    rng = np.random.default_rng(seed)
    labels = np.array([[0, 1], [1, 0], [1, 1]], float)[rng.integers(0, 3, count)]
    y, x = np.mgrid[:SIDE, :SIDE]
    images = 40 + 12 * rng.normal(size=(count, SIDE, SIDE))
    for side, center in enumerate((4, 11)):
        row, column = rng.normal(8, 2, count)[:, None, None], rng.normal(center, 1, count)[:, None, None]
        size, light = rng.uniform(2, 5, count)[:, None, None], rng.uniform(80, 160, count)[:, None, None]
        disk = ((y - row) ** 2 + (x - column) ** 2) < size**2
        images += labels[:, side, None, None] * light * disk
    patients = np.array([f"s{seed}-{number // images_per_patient}" for number in range(count)])
    return images.clip(0, 255).astype(np.uint8)[:, None], labels, patients


FILTERS = np.random.default_rng(11).normal(size=(24, 1, 3, 3)).astype(np.float32)


def judged(images: NDArray[np.uint8], labels: NDArray, patients: NDArray) -> JudgedImages:
    """A judge that needs no training: random filters, rectified and averaged over four fields; brightness per side."""
    whole = torch.from_numpy(images).float() / 64 - 1
    maps = torch.relu(torch.conv2d(whole, torch.from_numpy(FILTERS)))
    features = torch.nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1).numpy()
    halves = [images[..., : SIDE // 2], images[..., SIDE // 2 :]]
    scores = np.stack([(half > 100).mean((1, 2, 3)) for half in halves], axis=1).astype(np.float64)
    return JudgedImages(images, features, scores, labels, patients)


def collapse(sample: JudgedImages, modes: int = 3) -> JudgedImages:
    """Only as many images as there are label combinations, each many times over."""
    combination = np.unique(sample.labels, axis=0, return_inverse=True)[1].ravel()
    first = np.array([np.flatnonzero(combination == code)[0] for code in range(modes)])
    copies = sample.take(first[combination])
    return JudgedImages(copies.images, copies.features, copies.scores, sample.labels, sample.patients)


@pytest.fixture(scope="module")
def sets() -> dict[str, JudgedImages]:
    held_out, training, fresh = blobs(300, 1, 2), blobs(420, 2, 3), blobs(320, 3)
    images, labels, patients = fresh
    sample = judged(*fresh)
    return {
        "held_out": judged(*held_out),
        "training": judged(*training),
        "blurred": judged(blur(training[0]), *training[1:]),
        "noisy": judged(noised(training[0], NOISE, np.random.default_rng(0)), *training[1:]),
        "fresh": sample,
        "soft": judged(blur(images), labels, patients),
        "collapsed": collapse(sample),
        "mislabelled": JudgedImages(images, sample.features, sample.scores, labels[:, ::-1], patients),
    }


def measure(sets: dict[str, JudgedImages], samples: dict[str, JudgedImages], **changes: object) -> pd.DataFrame:
    arguments = {
        "keys": KEYS, "held_out": sets["held_out"], "training": sets["training"],
        "controls": {name: sets[name] for name in ("blurred", "noisy")}, "samples": samples, "findings": FINDINGS,
        "averaged": FINDINGS, "confidence": 0.95, "seed": 5, "simulated": True,
    }  # fmt: skip
    return fidelity_metrics(**(arguments | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def metrics(sets: dict[str, JudgedImages]) -> pd.DataFrame:
    return measure(sets, {name: sets[name] for name in ("fresh", "soft", "collapsed", "mislabelled")})


def one(metrics: pd.DataFrame, metric: str, source: str = "real", parameter: str | None = None) -> pd.Series:
    rows = metrics[(metrics["metric"] == metric) & (metrics["source"] == source)]
    rows = rows[rows["finding"].isin(["", "mean"])]
    rows = rows[rows["role"] != "ceiling"] if parameter is None else rows[rows["parameter"] == parameter]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_metric_has_values_a_floor_and_a_ceiling(metrics: pd.DataFrame) -> None:
    assert list(metrics.columns) == list(METRIC_COLUMNS)
    for metric in (*DISTANCES, "diversity", "label_fidelity"):
        roles = metrics[metrics["metric"] == metric].groupby("role")["source"].agg(set)
        assert roles["value"] == {"fresh", "soft", "collapsed", "mislabelled"}
        assert roles["floor"] == roles["ceiling"] == {"real"}
    shared = metrics[metrics["metric"].isin([*DISTANCES, "diversity"])]
    assert (shared["n"] == 300).all()  # the smallest set
    own = metrics[metrics["role"] != "ceiling"]
    assert (own["ci_low"] <= own["value"]).all()
    assert (own["value"] <= own["ci_high"]).all()
    assert set(metrics.loc[metrics["metric"] == "sliced_wasserstein", "features"]) == {"pixels"}
    assert set(metrics.loc[metrics["metric"].isin(FEATURE_MEASURES), "features"]) == {"judge"}
    assert set(metrics.loc[metrics["metric"] == "diversity", "parameter"]) == {"ssim", "repeated"}


def test_one_size_holds_for_all_levels_of_an_axis(sets: dict[str, JudgedImages]) -> None:
    columns = ["experiment", "axis", "level", "train_images", "valid_images", "test_images"]
    rows = [
        ("samples-00400", "samples", 400, 1600, 300, 310),
        ("samples-00100", "samples", 100, 400, 300, 310),
        ("samples-00004", "samples", 4, 16, 300, 310),  # too few: not measured, so it does not make the others small
        ("amount-0050", "amount", 50, 900, 300, 310),
        ("amount-0200", "amount", 200, 900, 300, 310),
        ("resolution-016", "resolution", 16, 90_000, 6000, 6000),
    ]
    table = pd.DataFrame(rows, columns=columns)
    assert [axis_size(table, row[0]) for row in rows] == [400, 400, 400, 450, 450, 5000]
    metrics = measure(sets, {"fresh": sets["fresh"]}, most=200)
    assert (metrics.loc[metrics["metric"].isin([*DISTANCES, "diversity"]), "n"] == 200).all()
    assert set(metrics.loc[metrics["metric"] == "label_fidelity", "n"]) == {300, 320}


def test_training_images_as_a_sample_give_the_floor(sets: dict[str, JudgedImages]) -> None:
    metrics = measure(sets, {"copier": sets["training"]})
    for metric in (*DISTANCES, "diversity"):
        copied, floor = one(metrics, metric, "copier"), one(metrics, metric)
        assert copied[["value", "ci_low", "ci_high"]].tolist() == floor[["value", "ci_low", "ci_high"]].tolist()


def test_fresh_images_of_the_same_population_are_as_good_as_real_ones(metrics: pd.DataFrame) -> None:
    for metric in (*DISTANCES, "diversity", "label_fidelity"):
        fresh, floor = one(metrics, metric, "fresh"), one(metrics, metric)
        assert fresh["ci_low"] <= floor["ci_high"]
        assert floor["ci_low"] <= fresh["ci_high"]


@pytest.mark.parametrize("worse", ["blurred", "noisy", "soft"])
def test_blur_and_noise_are_worse_than_real(metrics: pd.DataFrame, worse: str) -> None:
    for metric in ("frechet_distance", "kid", "sliced_wasserstein"):
        found = one(metrics, metric, "soft") if worse == "soft" else one(metrics, metric, "real", worse)
        assert found["value"] > one(metrics, metric)["ci_high"]
    for metric in ("precision", "density", "coverage"):
        found = one(metrics, metric, "soft") if worse == "soft" else one(metrics, metric, "real", worse)
        assert found["value"] < one(metrics, metric)["ci_low"]


def test_collapse_lowers_recall_coverage_and_diversity_but_not_precision(metrics: pd.DataFrame) -> None:
    for metric in ("recall", "coverage"):
        assert one(metrics, metric, "collapsed")["ci_high"] < one(metrics, metric)["ci_low"] / 2
        assert one(metrics, metric, "real", "repeated")["value"] < 0.1
    assert one(metrics, "diversity", "collapsed")["value"] == pytest.approx(1)
    assert one(metrics, "diversity", "real", "repeated")["value"] == pytest.approx(1)
    assert one(metrics, "diversity")["ci_high"] < 0.9


def test_wrong_labels_lower_label_fidelity_and_nothing_else(metrics: pd.DataFrame) -> None:
    assert one(metrics, "label_fidelity")["value"] > 0.9
    assert one(metrics, "label_fidelity", "fresh")["value"] > 0.9
    assert one(metrics, "label_fidelity", "mislabelled")["ci_high"] < 0.5
    shuffled = one(metrics, "label_fidelity", "real", "shuffled")
    assert shuffled["ci_low"] < 0.5 < shuffled["ci_high"]
    assert one(metrics, "kid", "mislabelled")["value"] == one(metrics, "kid", "fresh")["value"]


def test_label_fidelity_per_finding_leaves_unknown_labels_out(sets: dict[str, JudgedImages]) -> None:
    sample = sets["fresh"]
    labels = sample.labels.copy()
    labels[:20, 0], labels[:, 1] = np.nan, 1
    metrics = measure(
        sets, {"fresh": JudgedImages(sample.images, sample.features, sample.scores, labels, sample.patients)}
    )
    rows = metrics[(metrics["metric"] == "label_fidelity") & (metrics["source"] == "fresh")].set_index("finding")
    left = pd.DataFrame({"label": labels[20:, 0], "score": sample.scores[20:, 0]})
    positive, negative = (left.loc[left["label"] == value, "score"].to_numpy() for value in (1, 0))
    wins = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
    assert rows.loc["left", "value"] == pytest.approx(wins)
    assert rows.loc["left", "n"] == 300
    assert rows.loc[["right", "mean"], ["value", "ci_low", "ci_high"]].isna().all(axis=None)  # one class only
    alone = measure(sets, {"fresh": sample}, averaged=["left"])
    rows = alone[(alone["metric"] == "label_fidelity") & (alone["source"] == "fresh")].set_index("finding")
    assert rows.loc["mean", "value"] == rows.loc["left", "value"]


def test_names_of_patients_change_nothing_and_the_seed_does(sets: dict[str, JudgedImages]) -> None:
    renamed = {
        name: JudgedImages(part.images, part.features, part.scores, part.labels, np.char.add("z", part.patients))
        for name, part in sets.items()
    }
    first, same, other = (
        measure(sets, {"fresh": sets["fresh"]}),
        measure(renamed, {"fresh": renamed["fresh"]}),
        measure(sets, {"fresh": sets["fresh"]}, seed=6),
    )
    pd.testing.assert_frame_equal(first, same)
    assert not first.equals(other)


def test_one_patient_with_all_images_has_values_without_intervals(sets: dict[str, JudgedImages]) -> None:
    held_out = sets["held_out"]
    alone = JudgedImages(*list(vars(held_out).values())[:4], np.full(len(held_out), "p"))
    metrics = measure(sets, {"fresh": sets["fresh"]}, held_out=alone)
    assert np.isfinite(one(metrics, "kid", "fresh")["value"])
    assert np.isnan(one(metrics, "kid", "fresh")["ci_low"])
    one_source = measure(sets, {"fresh": sets["fresh"].take(np.arange(300))})
    assert np.isfinite(one(one_source, "kid", "fresh")["ci_low"])


def test_too_few_images_are_not_measured_and_the_log_says_which(
    sets: dict[str, JudgedImages], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="synthcohort"):
        metrics = measure(sets, {"fresh": sets["fresh"], "cpd-gan": sets["fresh"].take(np.arange(12))})
    assert metrics.empty
    assert list(metrics.columns) == list(METRIC_COLUMNS)
    assert "blobs resolution-016: there are only 12 cpd-gan images" in caplog.text


def test_shared_patients_and_foreign_controls_are_refused(sets: dict[str, JudgedImages]) -> None:
    with pytest.raises(ValueError, match="share patients"):
        measure(sets, {}, held_out=sets["training"])
    with pytest.raises(ValueError, match="controls"):
        measure(sets, {}, controls={"blurred": sets["fresh"]})


def test_the_judge_of_rows_agrees_with_the_classifiers_own_predictions(tmp_path: Path) -> None:
    images, labels, patients = blobs(40, 7)
    findings = [Finding(name=name, display=name) for name in FINDINGS]
    info = StoreInfo(
        cohort="blobs", findings=findings, units="HU", windows=[], resolution=SIDE, channels=1, images=0, simulated=True
    )
    records = pd.DataFrame({"image_id": [f"i{n}" for n in range(40)], "patient_id": patients})
    write_store(tmp_path, [images], records.assign(left=labels[:, 0], right=labels[:, 1]), info)
    store = ImageStore(tmp_path)
    judge = build_network("small", 1, FINDINGS, SIDE, 3).eval()
    rows = np.array([30, 2, 2, 17])
    found = judge_rows(judge, store, rows)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-logits(judge, store, rows).astype(float))), atol=1e-6)
    assert found.features.dtype == np.float32
    assert found.images[:].tolist() == images[rows].tolist()
    assert found.take(np.array([3, 0])).images[:].tolist() == images[[17, 30]].tolist()
    assert found.labels.tolist() == labels[rows].tolist()
    assert found.patients.tolist() == patients[rows].tolist()
    in_parts = judge_images(judge, found.images, found.labels, found.patients, batch=3)
    np.testing.assert_allclose(in_parts.features, found.features, atol=1e-4)
    controls = judge_controls(judge, found, 0)
    assert set(controls) == {"blurred", "noisy"}
    assert controls["blurred"].images.tolist() == blur(found.images[:]).tolist()


def test_controls_are_spoilt_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.array([[10, 20], [30, 41]], np.uint8)[None, None]
    assert blur(image).tolist() == [[[[25, 25], [25, 25]]]]
    grey = np.full((20, 1, 32, 32), 128, np.uint8)
    spread = noised(grey, NOISE, np.random.default_rng(0)).astype(float) - 128
    assert spread.std() == pytest.approx(NOISE, rel=0.02)
    assert abs(spread.mean()) < 0.5
    monkeypatch.setattr(preparing, "MAXIMUM_IMAGES", 5)
    rows = thin_rows(np.arange(50, 80), 1)
    assert (len(set(rows.tolist())), rows.tolist() == sorted(rows), set(rows.tolist()) <= set(range(50, 80))) == (
        5,
        True,
        True,
    )
    assert thin_rows(np.arange(3), 1).tolist() == [0, 1, 2]


# The figure


def two_levels(metrics: pd.DataFrame) -> pd.DataFrame:
    families = {"fresh": "r3-gan", "soft": "cpd-gan", "collapsed": "prog-gan"}
    metrics = metrics[metrics["source"] != "mislabelled"].replace({"source": families})
    other = metrics.assign(level="032", experiment="resolution-032", value=metrics["value"] * 0.9)
    return combine_metrics([metrics, other])


def test_the_figure_shows_every_metric_with_floor_and_controls(metrics: pd.DataFrame, tmp_path: Path) -> None:
    table = draw_fidelity_figure(two_levels(metrics), "resolution", tmp_path / "fidelity")
    assert {path.suffix for path in tmp_path.iterdir()} == {".pdf", ".svg", ".png", ".csv"}
    written = pd.read_csv(tmp_path / "fidelity.csv", dtype={"level": str})
    assert len(written) == len(table)
    for metric, panel in PANELS.items():
        rows = table[table["metric"] == metric]
        assert (rows["role"] == "value").sum() == 2 * 3
        assert (rows["role"] == "floor").sum() == 2
        assert set(rows.loc[rows["role"] == "ceiling", "parameter"]) == set(panel.controls)
    mean = table[(table["metric"] == "label_fidelity") & (table["level"] == "016") & (table["source"] == "r3-gan")]
    assert mean["value"].item() == one(metrics, "label_fidelity", "fresh")["value"]


def test_the_figure_is_drawn_again_from_its_csv(
    metrics: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "UNDATED", {"svg": style.UNDATED["svg"]})
    draw_fidelity_figure(two_levels(metrics), "resolution", tmp_path / "first")
    kept = pd.read_csv(tmp_path / "first.csv", dtype={"level": str}, keep_default_na=False, na_values=[""])
    kept = kept.assign(
        axis="resolution",
        experiment="resolution-" + kept["level"],
        finding=np.where(kept["metric"] == "label_fidelity", "mean", ""),
        parameter=kept["parameter"].fillna(""),
    )
    draw_fidelity_figure(kept, "resolution", tmp_path / "again")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()


def test_replicates_are_pooled_in_the_figures_table(metrics: pd.DataFrame) -> None:
    both = combine_metrics([metrics, metrics.assign(replicate="r1", value=metrics["value"] + 1)])
    table = fidelity_table(both, "resolution")
    floor = table[(table["metric"] == "kid") & (table["role"] == "floor")]
    assert floor["value"].item() == pytest.approx(one(metrics, "kid")["value"] + 0.5)
    assert floor["replicates"].item() == 2
    assert "Means of 2 replicates" in fidelity_words(both, "resolution", 0.95).caption


def test_words_say_what_the_figure_cannot(metrics: pd.DataFrame) -> None:
    words = fidelity_words(two_levels(metrics), "resolution", 0.95)
    for part in ("95% jackknife", "n = 300 images", "one level only", "All patients are simulated", "single replicate"):
        assert part in words.caption
    assert "blobs, r3-gan" in words.alt
    one_judge = two_levels(metrics).assign(axis="samples")
    assert "one level only" not in fidelity_words(one_judge, "samples", 0.95).caption


def test_where_nothing_was_measured_figure_and_words_say_so(metrics: pd.DataFrame, tmp_path: Path) -> None:
    nothing = metrics.assign(metric="auroc")
    assert draw_fidelity_figure(nothing, "resolution", tmp_path / "fidelity").empty
    assert (tmp_path / "fidelity.png").stat().st_size > 0
    assert fidelity_words(nothing, "resolution", 0.95).caption == NOT_MEASURED
    with pytest.raises(UserError, match="holds nothing for the axis 'samples'"):
        fidelity_table(metrics, "samples")
