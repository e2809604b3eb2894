"""How alike two sets of images are patch by patch, how varied one set is, and how sure a number over groups is."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import convolve1d

from synthcohort.measures.neighbours import Readable

Images = NDArray[np.uint8]
Projections = list[NDArray[np.float32]]
"""Of each level of a pyramid, ``[directions, N, patches]``."""
GROUPS = 10
PATCH = 7
PATCHES = 16
"""Patches of an image at each level: with 128, as in the paper, a jackknife would take minutes."""
DIRECTIONS = 32
"""At each level (the paper: 128)."""
COARSEST = 8
"""Side of a pyramid's coarsest level: at the paper's 16 an image of 16² would have its details in no level alone."""
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
MULTISCALE_SIDE = 176
"""Smallest side at which the coarsest of MS-SSIM's five scales still holds its window of 11²."""
BLOCK = 128
"""Images handled at a time."""


# Sliced Wasserstein distance


class PatchProjector:
    """Projects random patches of images at every level of a Laplacian pyramid onto random directions.

    As in Karras et al. 2018 (arXiv 1710.10196, section 5), with three differences for small cohorts of small images.
    The pyramid goes down to 8², not 16²; patches are 7², and 3² at 8²; there are fewer of them. And all
    sets are standardised by the mean and deviation of the *reference*, not each by its own, which would hide that a
    blurred set has too little contrast in its fine levels.

    Parameters
    ----------
    reference : Readable
        uint8 ``[N, C, H, W]``, H = W at least 8.
    rng : numpy.random.Generator
        Draws directions and the reference's patches.

    Attributes
    ----------
    reference : list of numpy.ndarray
        The reference's own projections, as `__call__` gives them.
    """

    def __init__(self, reference: Readable, rng: np.random.Generator) -> None:
        patches = image_patches(reference, rng)
        self.scaling = [
            (level.mean((0, 1, 3, 4), keepdims=True), level.std((0, 1, 3, 4), keepdims=True)) for level in patches
        ]
        lengths = [int(np.prod(level.shape[2:])) for level in patches]
        directions = [rng.normal(size=(length, DIRECTIONS)).astype(np.float32) for length in lengths]
        self.directions = [drawn / np.linalg.norm(drawn, axis=0) for drawn in directions]
        self.reference = self._project(patches)

    def __call__(self, images: Readable, rng: np.random.Generator) -> Projections:
        """Project patches of other images of the same shape.

        Returns
        -------
        list of numpy.ndarray
            Of each level float32 ``[directions, N, patches]``, the finest first, in the reference's deviations.
        """
        return self._project(image_patches(images, rng))

    def _project(self, patches: list[NDArray[np.float32]]) -> Projections:
        projected = []
        for level, (mean, deviation), directions in zip(patches, self.scaling, self.directions, strict=True):
            scaled = (level - mean) / np.where(deviation > 0, deviation, 1)
            flat = directions.T @ scaled.reshape(-1, directions.shape[0]).T
            projected.append(np.ascontiguousarray(flat).reshape(-1, *level.shape[:2]))
        return projected


def sliced_wasserstein(first: Projections, second: Projections) -> float:
    """Sliced Wasserstein distance: of each direction the 1-Wasserstein distance, averaged over directions and levels.

    Parameters
    ----------
    first, second : list of numpy.ndarray
        What one `PatchProjector` made of two sets of images, which may differ in size.

    Returns
    -------
    float
        In standard deviations of the reference's patches. Of two sets of the same population it is not 0 but falls
        with their size: compare sets of the same size only.
    """
    return float(np.mean([_level_distance(x, y) for x, y in zip(first, second, strict=True)]))


def _level_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    x, y = (np.sort(level.reshape(len(level), -1), axis=1) for level in (first, second))
    count = min(x.shape[1], y.shape[1])
    middle = (np.arange(count) + 0.5) / count  # quantiles: of sets of one size every value once
    x, y = (ordered[:, (middle * ordered.shape[1]).astype(np.int64)] for ordered in (x, y))
    return float(np.abs(x - y).mean(dtype=np.float64))


def image_patches(images: Readable, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Cut random patches out of every level of the images' Laplacian pyramids.

    Parameters
    ----------
    images : Readable
        uint8 ``[N, C, H, W]``, H = W at least 8.
    rng : numpy.random.Generator
        Draws the patches' places, anew for each image and level.

    Returns
    -------
    list of numpy.ndarray
        Of each level float32 ``[N, patches, C, side, side]``, the finest first.
    """
    blocks = []
    for start in range(0, len(images), BLOCK):
        levels = laplacian_pyramid(images[start : start + BLOCK])
        blocks.append([_cut(level, rng) for level in levels])
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _cut(level: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    side = min(PATCH, level.shape[-1] // 2 - 1)
    windows = np.lib.stride_tricks.sliding_window_view(level, (side, side), axis=(2, 3))
    y, x = rng.integers(0, windows.shape[2], (2, len(level), PATCHES))
    return windows[np.arange(len(level))[:, None], :, y, x]


def laplacian_pyramid(images: Images) -> list[NDArray[np.float32]]:
    """Split images into octaves of detail (Burt and Adelson 1983); the enlarged levels add up to the image.

    Parameters
    ----------
    images : numpy.ndarray
        uint8 ``[N, C, H, W]``.

    Returns
    -------
    list of numpy.ndarray
        float32 ``[N, C, h, w]``, the finest first, each with half the side of the one before; the last is the smoothed
        image itself. Sides are halved while they are even and do not fall below 8.
    """
    fine = images.astype(np.float32)
    levels = []
    while fine.shape[-1] % 2 == 0 and fine.shape[-1] >= 2 * COARSEST:
        coarse = _smooth(fine)[:, :, ::2, ::2]
        levels.append(fine - enlarge(coarse))
        fine = coarse
    return [*levels, fine]


def enlarge(coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Double the side of float32 images ``[N, C, h, w]`` with the pyramid's binomial filter."""
    count, channels, height, width = coarse.shape
    spread = np.zeros((count, channels, 2 * height, 2 * width), np.float32)
    spread[:, :, ::2, ::2] = coarse
    return 4 * _smooth(spread)


def _smooth(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return convolve1d(convolve1d(images, BINOMIAL, axis=2, mode="mirror"), BINOMIAL, axis=3, mode="mirror")


# Similarity of images with the same labels


def pairs_within_combination(
    labels: ArrayLike, patients: ArrayLike, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw pairs of images of one label combination and different patients.

    Images of one patient look alike whatever a generator does. The first image of a pair is any, so that combinations
    weigh as they are frequent.

    Parameters
    ----------
    labels : array_like, shape (n, findings)
        0, 1 or NaN; images with an unknown label are left out.
    patients : array_like, shape (n,)
        Patient of each image.
    count : int
        Number of pairs.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        int64 ``[count, 2]``, or ``[0, 2]`` where no combination has two patients.
    """
    labels = np.asarray(labels, np.float64)
    known = np.flatnonzero(~np.isnan(labels).any(axis=1))
    # Numbered by first appearance: the order of names must not matter, they are pseudonyms.
    patient = dict.fromkeys(np.asarray(patients).tolist())
    number = dict(zip(patient, range(len(patient)), strict=True))
    codes = np.array([number[name] for name in np.asarray(patients).tolist()], np.int64)
    others: dict[int, NDArray[np.int64]] = {}
    combination = np.unique(labels[known], axis=0, return_inverse=True)[1].ravel()
    for place in range(combination.max(initial=-1) + 1):
        members = known[combination == place]
        if len(np.unique(codes[members])) > 1:
            others |= dict.fromkeys(members.tolist(), members)
    if not others:
        return np.empty((0, 2), np.int64)
    first = rng.choice(sorted(others), count)
    second = [rng.choice(others[row][codes[others[row]] != codes[row]]) for row in first.tolist()]
    return np.stack([first, np.array(second, np.int64)], axis=1)


def similarity_name(side: int) -> str:
    """Name the similarity that `structural_similarity` measures at an image side."""
    return "ms-ssim" if side >= MULTISCALE_SIDE else "ssim"


def structural_similarity(first: Images, second: Images) -> NDArray[np.float64]:
    """Structural similarity of pairs of images, by torchmetrics.

    SSIM (Wang et al. 2004) below 176², MS-SSIM (Wang et al. 2003) from there on, both with a Gaussian window of 11².
    MS-SSIM between images with the same labels shows collapsed modes (Odena et al. 2017, arXiv 1610.09585).

    Parameters
    ----------
    first, second : numpy.ndarray
        uint8 ``[n, C, H, W]``, H and W at least 8.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``: 1 for equal images.
    """
    # Imported where it is used: it takes 3 seconds, and every figure and report reads names from this module.
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        structural_similarity_index_measure,
    )

    multiscale = similarity_name(first.shape[-1]) == "ms-ssim"
    measure = multiscale_structural_similarity_index_measure if multiscale else structural_similarity_index_measure

    def blocks() -> Iterator[NDArray[np.float64]]:
        for start in range(0, len(first), BLOCK):
            x, y = (torch.from_numpy(np.array(side[start : start + BLOCK])).float() for side in (first, second))
            found = measure(x, y, data_range=255.0, reduction="none")
            assert isinstance(found, torch.Tensor)  # a tuple only where full maps are asked for
            yield found.double().reshape(-1).numpy()

    return np.concatenate([np.empty(0), *blocks()])


# Intervals


def patient_groups(patients: ArrayLike, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal patients to groups at random, as many to each as to any other, or one more.

    Parameters
    ----------
    patients : array_like, shape (n,)
        Patient of each image; only the order of first appearance matters, not the names.
    count : int
        Number of groups, at most the number of patients.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        int64 ``[n]`` in 0 … count − 1; all images of a patient share theirs.
    """
    names = dict.fromkeys(np.asarray(patients).tolist())
    group = dict(zip(names, (rng.permutation(len(names)) % count).tolist(), strict=True))
    return np.array([group[name] for name in np.asarray(patients).tolist()], np.int64)


def jackknife(
    statistic: Callable[..., NDArray[np.float64]], groups: list[NDArray[np.int64]], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Values of a statistic of one or two independent sets, with delete-a-group jackknife intervals.

    Group g is left out of all sets at once: they are independent, so their shares of the variance add up, and sets of
    equal size stay so, which a biased distance needs. The interval is symmetric, with Student's quantile for as many
    degrees of freedom as there are groups less one (Kott 2001, Journal of Official Statistics 17:521): with ten groups
    the normal quantile would cover 92 % instead of 95 %.

    Parameters
    ----------
    statistic : callable
        Takes a boolean mask ``[n]`` per set (which images are kept) and returns float64 ``[k]``.
    groups : list of numpy.ndarray
        Of each set the group of each image, int64 ``[n]`` as `patient_groups` makes them, with one count for all sets.
    confidence : float
        For example 0.95.

    Returns
    -------
    values, low, high : numpy.ndarray
        float64 ``[k]``; the ends are NaN with fewer than two groups, or where the statistic is undefined without one.
    """
    from scipy.stats import t as student  # takes a second to import, which jobs that import only the rest need not

    values = statistic(*(np.ones(len(group), bool) for group in groups))
    count = max((int(group.max(initial=-1)) for group in groups), default=-1) + 1
    if count < 2:
        return values, np.full_like(values, np.nan), np.full_like(values, np.nan)
    left_out = np.stack([statistic(*(group != number for group in groups)) for number in range(count)])
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    reach = student.ppf((1 + confidence) / 2, count - 1) * error
    return values, values - reach, values + reach
