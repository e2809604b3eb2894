"""Nearest neighbours: exact, bounded in memory, and able to see copies; the figure that shows them."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from gan_toys import draw_faces
from synthcohort.audit import judge as judging
from synthcohort.audit import neighbours as neighbouring
from synthcohort.audit.judge import noised
from synthcohort.audit.neighbours import (
    GROUPS,
    NOISE,
    SPACES,
    Sides,
    equal_sides,
    neighbour_gallery,
    neighbour_metrics,
    thin_patients,
)
from synthcohort.audit.utility import METRIC_COLUMNS
from synthcohort.classify.networks import Network, build_network
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.figures.neighbours import distance_text, draw_neighbours_figure, neighbours_words
from synthcohort.figures.style import SUFFIXES
from synthcohort.measures.neighbours import Metric, in_blocks, median_interval, nearest_neighbours, nearest_ratio

FINDINGS = ("f0", "f1")
KEYS = {
    "study": "s", "cohort": "toy", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "source": "r3-gan", "replicate": "r0",
}  # fmt: skip
STATISTICS = Statistics(bootstrap=200)


# The search


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("blocks", [1, 7, 500])
def test_scikit_learn_finds_the_same(metric: Metric, blocks: int) -> None:
    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(40, 9)), rng.normal(size=(500, 9)).astype(np.float32)
    found = nearest_neighbours(queries, np.array_split(references, blocks), 5, metric)
    expected = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(references.astype(np.float64))
    distances, indices = expected.kneighbors(queries)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9)


def test_hand_computed_distances() -> None:
    queries = np.array([[3.0, 4.0]])
    references = np.array([[3.0, 4.0], [0.0, 0.0], [-3.0, -4.0], [6.0, 8.0], [-4.0, 3.0]])
    found = nearest_neighbours(queries, [references], 5)
    assert found.distances[0].tolist() == pytest.approx([0, 5, 5, np.sqrt(50), 10])
    assert found.indices[0].tolist() == [0, 1, 3, 4, 2]


def test_hand_computed_cosine_with_a_zero_vector_at_distance_one() -> None:
    references = np.array([[3.0, 0.0], [0.0, 0.0], [-2.0, 0.0], [0.5, 0.0], [0.0, 7.0]])
    found = nearest_neighbours(np.array([[1.0, 0.0], [0.0, 0.0]]), [references], 5, "cosine")
    assert found.distances.tolist() == [[0, 0, 1, 1, 2], [1] * 5]
    assert found.indices.tolist() == [[0, 3, 1, 4, 2], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_ties_go_to_the_first_also_across_blocks(metric: Metric) -> None:
    vector = np.random.default_rng(0).normal(size=64) * 1e3
    references = np.tile(vector, (3000, 1))
    references[10] *= -1
    found = nearest_neighbours(references[[0, 1]], in_blocks(references), 12, metric)
    assert (found.distances == 0).all()
    assert found.indices.tolist() == [[*range(10), 11, 12]] * 2


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_copy_is_at_distance_zero_and_found_where_rounding_hides_it(metric: Metric) -> None:
    """Far from the origin a matrix product alone cannot tell the copy from vectors beside it."""
    rng = np.random.default_rng(0)
    references = 1e6 + rng.normal(size=(2000, 30)) * 1e-2
    found = nearest_neighbours(references[[1500, 7]], in_blocks(references), 1, metric)
    assert found.indices[:, 0].tolist() == [1500, 7]
    assert found.distances[:, 0].tolist() == [0, 0]


def test_rows_choose_and_order_the_references() -> None:
    images = draw_faces(60, 0)
    rows = np.array([40, 3, 59])
    found = nearest_neighbours(images[[59, 40]], in_blocks(images, rows))
    assert found.indices[:, 0].tolist() == [2, 0]


def test_wrong_input_is_refused() -> None:
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match="3 references only"):
        nearest_neighbours(ones, [ones], 4)
    with pytest.raises(ValueError, match="finite"):
        nearest_neighbours(ones, [ones * np.nan])
    with pytest.raises(ValueError, match="2 numbers each, references 3"):
        nearest_neighbours(ones, [np.ones((3, 3))])
    with pytest.raises(ValueError, match="at least 1"):
        nearest_neighbours(ones, [ones], 0)


@pytest.mark.parametrize("kind", ["memmap", "generated"])
def test_memory_stays_far_below_the_references_as_numbers(tmp_path: Path, kind: str) -> None:
    shape = (12_000, 1, 64, 64)  # 49 MB of bytes, 393 MB as float64
    path = tmp_path / "images.npy"
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    for start in range(0, len(images), 1000):
        images[start : start + 1000] = np.random.default_rng(start).integers(0, 256, (1000, *shape[1:]), np.uint8)
    images.flush()
    del images
    stored = np.load(path, mmap_mode="r")
    queries = np.array(stored[[11_999, 0]])

    def generated() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(stored), 1000):
            yield np.array(stored[start : start + 1000])

    tracemalloc.start()
    found = nearest_neighbours(queries, in_blocks(stored) if kind == "memmap" else generated())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.indices[:, 0].tolist() == [11_999, 0]
    assert peak < 150e6


# Ratio and interval


def test_ratio_of_distances_with_zeros() -> None:
    assert nearest_ratio([1, 0, 0, 2], [2, 4, 0, 0]).tolist() == [0.5, 0, 1, np.inf]


def test_median_interval_is_that_of_drawn_medians_and_wider_over_groups() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=40), 5) + rng.normal(size=200) * 0.1
    drawn = [np.median(values[rng.integers(0, 200, 200)]) for _ in range(4000)]
    alone = median_interval(values, np.arange(200), 4000, 0.9, np.random.default_rng(1))
    assert alone == pytest.approx(np.quantile(drawn, [0.05, 0.95]), abs=0.05)
    grouped = median_interval(values, np.repeat(np.arange(40), 5), 4000, 0.9, np.random.default_rng(1))
    assert grouped[1] - grouped[0] > 1.5 * (alone[1] - alone[0])
    single = median_interval(np.array([1.0, 2.0, 4.0, 9.0]), np.zeros(4), 10, 0.9, rng)
    assert single == (3, 3), "one group: every resample is the data, whose median lies between its middle values"


# The audit


def store(folder: Path, images: NDArray[np.uint8], patients: list[str], labels: NDArray[np.float32]) -> ImageStore:
    records = pd.DataFrame(labels, columns=list(FINDINGS))
    records.insert(0, "image_id", [f"i{number}" for number in range(len(images))])
    records.insert(1, "patient_id", patients)
    info = StoreInfo(
        cohort="toy", findings=[Finding(name=name, display=name.upper()) for name in FINDINGS], units="HU",
        windows=[(0, 80)], resolution=16, channels=1, images=len(images), simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def toy_labels(count: int) -> NDArray[np.float32]:
    """Two thirds have the first finding, the others the second."""
    return np.eye(2, dtype=np.float32)[(np.arange(count) % 3 == 2).astype(int)]


def cohort(folder: Path, prefix: str = "p") -> tuple[ImageStore, pd.DataFrame]:
    """600 training, 150 valid and 150 test images of one distribution, three a patient."""
    patients = [f"{prefix}{(number // 3 * 7919) % 1000:03d}" for number in range(900)]
    real = store(folder, draw_faces(900, 0), patients, toy_labels(900))
    side = np.repeat(["train", "valid", "test"], [600, 150, 150])
    return real, pd.DataFrame({"row": np.arange(900), "patient_id": patients, "side": side})


@pytest.fixture(scope="module")
def judge() -> Network:
    """An untrained network: random features, which know nothing of any side."""
    return build_network("plain", 1, FINDINGS, 16, 0).eval().requires_grad_(False)


def synthetic(folder: Path, images: NDArray[np.uint8]) -> ImageStore:
    return store(folder, images, [f"synthetic-{number}" for number in range(len(images))], toy_labels(len(images)))


def one(metrics: pd.DataFrame, role: str, space: str) -> pd.Series:
    rows = metrics[(metrics["role"] == role) & metrics["features"].str.startswith(space)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_images_of_the_same_distribution_have_ratio_one_and_controls_hold(tmp_path: Path, judge: Network) -> None:
    real, selection = cohort(tmp_path / "real")
    made = synthetic(tmp_path / "made", draw_faces(300, 1))
    metrics = neighbour_metrics(KEYS, made, real, selection, judge, STATISTICS, 0)
    assert tuple(metrics.columns) == METRIC_COLUMNS
    assert set(metrics["metric"]) == {"nearest_ratio"}
    assert metrics["simulated"].all()
    for space in SPACES:
        for role, count in (("value", 300), ("negative_control", 50)):
            row = one(metrics, role, space)
            # The interval leaves out that other references would be others: their part is about 0.02 here.
            assert row["ci_low"] - 0.04 < 1 < row["ci_high"] + 0.04
            assert abs(row["value"] - 1) < 0.08
            assert row["n"] == count
        assert one(metrics, "positive_control", space)["ci_high"] < 0.6


def test_the_median_is_over_a_limited_number_of_images(
    tmp_path: Path, judge: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, selection = cohort(tmp_path / "real")
    made = synthetic(tmp_path / "made", draw_faces(300, 1))
    for module in (judging, neighbouring):
        monkeypatch.setattr(module, "MAXIMUM_IMAGES", 60)
    searched: list[tuple[int, int]] = []
    search = neighbouring.nearest_neighbours

    def counted(queries: Any, references: Any, *more: Any) -> Any:
        blocks = list(references)
        searched.append((len(queries), sum(map(len, blocks))))
        return search(queries, blocks, *more)

    monkeypatch.setattr(neighbouring, "nearest_neighbours", counted)
    metrics = neighbour_metrics(KEYS, made, real, selection, judge, STATISTICS, 0)
    assert set(searched) == {(60, 60)}
    for space in SPACES:
        assert one(metrics, "value", space)["n"] == 60
        assert one(metrics, "negative_control", space)["n"] == 20, "whole patients, of three images each"
    searched.clear()
    neighbour_gallery(made, real, selection, judge, 0, images=2)
    assert {references for _, references in searched} == {300, 600}, "what is shown is searched for among all"


def test_planted_copies_make_the_ratio_fall(tmp_path: Path, judge: Network) -> None:
    real, selection = cohort(tmp_path / "real")
    ratios = []
    for share in (0, 150, 300):
        images = draw_faces(300, 1)
        # Of training images that are left after thinning to the 300 held-out ones about half are copied.
        images[:share] = noised(real.images[: 2 * share : 2], NOISE, np.random.default_rng(0))
        made = synthetic(tmp_path / f"made{share}", images)
        metrics = neighbour_metrics(KEYS, made, real, selection, judge, STATISTICS, 0)
        ratios.append([one(metrics, "value", space)["value"] for space in SPACES])
    none, half, all_ = np.array(ratios)
    assert (half < none - 0.03).all()
    assert (all_ < half - 0.03).all()


def test_numbers_do_not_depend_on_pseudonyms_and_repeat(tmp_path: Path, judge: Network) -> None:
    made = synthetic(tmp_path / "made", draw_faces(50, 1))
    results = []
    for prefix in ("p", "p", "another"):
        real, selection = cohort(tmp_path / f"real{len(results)}")
        names = pd.factorize(selection["patient_id"])[0]
        selection["patient_id"] = [f"{prefix}{-number % 1000 if prefix == 'another' else number}" for number in names]
        results.append(neighbour_metrics(KEYS, made, real, selection, judge, STATISTICS, 0))
    for other in results[1:]:
        pd.testing.assert_frame_equal(results[0], other)


def test_thinning_takes_whole_patients() -> None:
    rows = pd.DataFrame({"row": np.arange(300), "patient_id": np.repeat(np.arange(60), 5)})
    chosen = thin_patients(rows, 102, np.random.default_rng(0))
    counts = pd.Series(chosen // 5).value_counts()
    assert len(chosen) == 102
    assert (counts == 5).sum() == 20
    assert len(counts) == 21


def test_sides_are_of_one_size_whichever_is_larger_and_share_no_patient() -> None:
    first = pd.DataFrame({"row": np.arange(30), "patient_id": np.arange(30)})
    second = pd.DataFrame({"row": np.arange(30, 40), "patient_id": np.arange(30, 40)})
    for sides in (
        equal_sides(first, second, np.random.default_rng(0)),
        equal_sides(second, first, np.random.default_rng(0)),
    ):
        assert isinstance(sides, Sides)
        assert len(sides.training) == len(sides.held_out) == 10
    with pytest.raises(UserError, match="two sides"):
        equal_sides(first, second.assign(patient_id=0), np.random.default_rng(0))
    with pytest.raises(UserError, match="every side"):
        equal_sides(first, second[:0], np.random.default_rng(0))


def test_a_test_patient_who_is_also_elsewhere_is_refused(tmp_path: Path, judge: Network) -> None:
    real, selection = cohort(tmp_path / "real")
    selection.loc[899, "patient_id"] = selection.loc[700, "patient_id"]
    with pytest.raises(UserError, match="two sides"):
        neighbour_metrics(KEYS, synthetic(tmp_path / "made", draw_faces(9, 1)), real, selection, judge, STATISTICS, 0)


# Gallery and figure


def test_gallery_finds_a_copy_among_all_training_images_and_shows_what_it_measured(
    tmp_path: Path, judge: Network
) -> None:
    real, selection = cohort(tmp_path / "real")
    images = draw_faces(6, 1)
    images[4] = real.images[77]
    arrays, table = neighbour_gallery(synthetic(tmp_path / "made", images), real, selection, judge, 0, images=6, k=3)
    assert arrays["searched"].tolist() == [300, 300, 600]
    place = next(i for i, image in enumerate(arrays["synthetic"]) if (image == images[4]).all())
    for space in SPACES:
        assert arrays[f"{space}_all_training_distances"][place, 0] == pytest.approx(0, abs=1e-6)
        assert (arrays[f"{space}_all_training"][place, 0] == images[4]).all()
        assert arrays[f"{space}_held_out_distances"][place, 0] > 0.001
    shown = arrays["pixels_training"].astype(float) - arrays["synthetic"][:, None].astype(float)
    np.testing.assert_allclose(np.sqrt((shown**2).sum((2, 3, 4))), arrays["pixels_training_distances"])
    held_out = {image.tobytes() for image in real.images[600:]}
    assert all(image.tobytes() in held_out for image in arrays["judge_held_out"].reshape(-1, 1, 16, 16))
    assert len(table) == 6 * len(SPACES) * len(GROUPS) * 3
    rows = table[(table["image"] == 2) & (table["space"] == "pixels") & (table["group"] == "held_out")]
    assert rows["rank"].tolist() == [1, 2, 3]
    assert rows["distance"].tolist() == arrays["pixels_held_out_distances"][2].tolist()


def test_gallery_shows_every_frequent_combination_first_and_no_identifiers(tmp_path: Path, judge: Network) -> None:
    real, selection = cohort(tmp_path / "real", "patient")
    made = synthetic(tmp_path / "made", draw_faces(30, 1))
    arrays, table = neighbour_gallery(made, real, selection, judge, 0, images=3)
    assert arrays["combinations"].tolist() == ["F0", "F0", "F1"]
    words = " ".join([*arrays, *table.columns, *table["combination"], *arrays["combinations"]])
    assert "patient" not in words
    assert "image_id" not in words
    assert "synthetic-" not in words
    again, _ = neighbour_gallery(made, real, selection, judge, 0, images=3)
    other, _ = neighbour_gallery(made, real, selection, judge, 1, images=3)
    assert (again["synthetic"] == arrays["synthetic"]).all()
    assert (other["synthetic"] != arrays["synthetic"]).any()


@pytest.mark.parametrize("space", SPACES)
def test_figure_draws_what_its_table_says(tmp_path: Path, judge: Network, space: str) -> None:
    real, selection = cohort(tmp_path / "real")
    made = synthetic(tmp_path / "made", draw_faces(30, 1))
    arrays, table = neighbour_gallery(made, real, selection, judge, 0, images=2)
    np.savez(tmp_path / "neighbours.npz", **arrays)
    drawn = draw_neighbours_figure(tmp_path / "neighbours.npz", tmp_path / "figure", space, True, "r3-gan")
    assert all((tmp_path / f"figure{suffix}").stat().st_size > 0 for suffix in SUFFIXES)
    assert len(drawn) == 2 * (1 + 4 + 4)
    merged = drawn.rename(columns={"row": "image"}).merge(table, on=["image", "combination", "space", "group", "rank"])
    assert len(merged) == len(drawn)
    assert (merged["distance_x"] == merged["distance_y"]).all()
    words = neighbours_words("Toy", "resolution-016", "r3-gan", space, True)
    assert "not that there are none" in words.caption
    assert "simulated" in words.caption


def test_distances_are_written_with_two_digits() -> None:
    assert [distance_text(value) for value in (0, 0.00499, 0.3, 1.26, 283.4)] == ["0", "0.0050", "0.30", "1.3", "283"]
