"""Distances between sets of vectors, against closed forms, double loops and points placed by hand."""

import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from synthcohort.measures.distances import (
    frechet_distance,
    kernel_distance,
    nearest_distances,
    nearest_of_two_groups,
)
from synthcohort.measures.manifold import manifold_measures

Array = NDArray[np.float64]


def cross(mean: list[float], deviation: list[float]) -> Array:
    """Points whose mean, and whose diagonal covariance, are exactly as given: two on each axis."""
    dimensions = len(mean)
    reach = np.sqrt((2 * dimensions - 1) / 2) * np.array(deviation)  # the covariance divides by n − 1
    return np.array(mean) + np.concatenate([np.diag(reach), -np.diag(reach)])


def line(*values: float) -> Array:
    return np.array(values)[:, None]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (([1.0], [2.0]), ([4.0], [3.0]), 9.0 + 1.0),
        (([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), ([0.0, 0.0, 0.0], [1.0, 5.0, 1.0]), 0.0 + 9.0 + 4.0),
        (([0.0, 1.0], [1.0, 1.0]), ([3.0, 5.0], [1.0, 1.0]), 9.0 + 16.0),
        (([0.0, 0.0], [1.0, 0.0]), ([0.0, 2.0], [3.0, 0.0]), 4.0 + 4.0),  # both covariances are singular
    ],
)
def test_frechet_distance_of_gaussians_in_closed_form(first: tuple, second: tuple, expected: float) -> None:
    """Of diagonal covariances it is the squared distance of means plus that of standard deviations."""
    assert frechet_distance(cross(*first), cross(*second)) == pytest.approx(expected, abs=1e-9)
    assert frechet_distance(cross(*second), cross(*first)) == pytest.approx(expected, abs=1e-9)


def test_frechet_distance_does_not_depend_on_the_axes() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(50, 6)) * [1, 2, 3, 4, 5, 6], random.normal(size=(40, 6)) + 1
    turn = np.linalg.qr(random.normal(size=(6, 6)))[0]
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(frechet_distance(first, second), rel=1e-9)


def test_frechet_distance_of_equal_sets_is_zero_and_symmetric_with_fewer_vectors_than_dimensions() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 10, 50)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert frechet_distance(first, first) == pytest.approx(0, abs=1e-5)
        assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-6)
        assert frechet_distance(np.ones((9, 4)), np.ones((9, 4))) == 0


def test_torchmetrics_finds_the_same_distances() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    class Given(nn.Module):
        """In place of Inception: the vectors as they are."""

        num_features = 6

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return vectors

    random = np.random.default_rng(0)
    first, second = random.normal(size=(80, 6)), random.normal(size=(80, 6)) * 1.5 + 0.4
    frechet = FrechetInceptionDistance(feature=Given()).set_dtype(torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features
        kernel = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=80)
    for measure in (frechet, kernel):
        measure.update(torch.from_numpy(first), real=True)
        measure.update(torch.from_numpy(second), real=False)
    assert frechet_distance(first, second) == pytest.approx(frechet.compute().item(), rel=1e-9)
    assert kernel_distance(first, second) == pytest.approx(kernel.compute()[0].item(), rel=1e-6)


def test_kernel_distance_is_its_double_loop() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(4, 3)), random.normal(size=(5, 3)) + 0.5

    def kernel(a: Array, b: Array) -> float:
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3

    within_x = [kernel(x[i], x[j]) for i in range(4) for j in range(4) if i != j]
    within_y = [kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j]
    between = [kernel(a, b) for a in x for b in y]
    expected = np.mean(within_x) + np.mean(within_y) - 2 * np.mean(between)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert kernel_distance(y, x) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_is_unbiased_however_few_vectors() -> None:
    random = np.random.default_rng(0)
    draws = np.array([kernel_distance(random.normal(size=(6, 4)), random.normal(size=(9, 4))) for _ in range(4000)])
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean()) < 3 * error
    # With the diagonals, as a biased estimate has them, the mean would be far from 0.
    assert error < 0.05
    shifted = [kernel_distance(random.normal(size=(6, 4)), random.normal(size=(9, 4)) + 1) for _ in range(400)]
    assert np.mean(shifted) > 1


def test_nearest_distances_are_those_of_a_plain_search() -> None:
    random = np.random.default_rng(0)
    vectors, references = random.normal(size=(600, 3)), random.normal(size=(70, 3))  # more than one block
    every = np.sort(np.linalg.norm(vectors[:, None] - references[None], axis=2), axis=1)
    for k in (1, 2, 5):
        np.testing.assert_allclose(nearest_distances(vectors, references, k=k), every[:, k - 1], atol=1e-6)


def test_nearest_distances_that_skip_the_vector_itself() -> None:
    points = line(0, 1, 3, 7)
    assert nearest_distances(points, points).tolist() == [0, 0, 0, 0]
    assert nearest_distances(points, points, skip_self=True).tolist() == [1, 1, 2, 4]
    assert nearest_distances(points, points, skip_self=True, k=2).tolist() == [3, 2, 3, 6]
    assert nearest_distances(line(5), points, k=2).tolist() == [2]


def test_nearest_of_two_groups_by_hand() -> None:
    points, groups = line(0, 1, 5, 9), np.array([0, 0, 1, 2])
    first, second = nearest_of_two_groups(line(0.75, 6), points, groups)
    assert (first.tolist(), second.tolist()) == ([0.25, 1], [4.25, 3])
    first, second = nearest_of_two_groups(points, points, groups, own=groups)
    assert (first.tolist(), second.tolist()) == ([5, 4, 4, 4], [9, 8, 4, 8])
    first, second = nearest_of_two_groups(points[:1], points[:3], groups[:3], own=groups[:1])
    assert (first.tolist(), second.tolist()) == ([5], [np.inf])


REAL = line(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)  # with k = 1 every neighbourhood reaches 1 far


def test_collapsed_samples_are_precise_but_recall_nothing() -> None:
    found = manifold_measures(REAL, np.full((6, 1), 0.25), k=1)
    # They lie within the neighbourhoods of 0 and 1 alone, and their own have no extent.
    assert found == {"precision": 1.0, "recall": 0.0, "density": 2.0, "coverage": 0.2}


def test_scattered_samples_recall_everything_but_are_not_precise() -> None:
    found = manifold_measures(REAL, line(-50, 60), k=1)
    assert found == {"precision": 0.0, "recall": 1.0, "density": 0.0, "coverage": 0.0}


def test_samples_of_one_half() -> None:
    found = manifold_measures(REAL, line(0, 1, 2, 3, 4), k=1)
    # 5 lies within the neighbourhoods of the sample 4, and 4 within that of 5. The sample 0 lies in two of them.
    assert found == {"precision": 1.0, "recall": 0.6, "density": (2 + 3 * 4) / 5, "coverage": 0.6}


def test_equal_sets_are_precise_and_cover_everything() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 8))
    found = manifold_measures(vectors, vectors, k=5)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] == pytest.approx((5 + 1) / 5)  # its k neighbourhoods and its own, over k
