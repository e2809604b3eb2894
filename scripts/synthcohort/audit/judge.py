"""Images as the judge sees them, and images spoilt on purpose."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

from synthcohort.audit.vocabulary import BLURRED, NOISE, NOISY
from synthcohort.classify.networks import Network, to_input
from synthcohort.core.store import Images, ImageStore
from synthcohort.measures.neighbours import Readable

BATCH = 256
BATCH_PIXELS = BATCH * 128**2
"""Larger images are computed fewer at a time: the judge's maps of 256 images of 512² would take gigabytes."""
MAXIMUM_IMAGES = 5000
"""Images of a set at most: time and memory of the distances grow with their square."""


class ImageRows:
    """Some images of an array, read when they are asked for: of 512², 5000 images are 1.3 GB, and audits compare many.

    Parameters
    ----------
    images : Readable
        uint8 ``[N, C, H, W]``, in memory or memory-mapped.
    rows : numpy.ndarray
        int64 ``[n]``, in any order, also several times.
    """

    def __init__(self, images: Readable, rows: NDArray[np.int64]) -> None:
        self.images, self.rows = images, rows
        self.shape = (len(rows), *images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> Images:
        return self.images[self.rows[chosen]]


@dataclass(frozen=True)
class JudgedImages:
    """Images, and what the judge makes of them.

    Attributes
    ----------
    images : Readable
        uint8 ``[n, C, H, W]``; read block by block.
    features : numpy.ndarray
        float32 ``[n, D]``: the judge's penultimate vectors.
    scores : numpy.ndarray
        float64 ``[n, findings]``: its probabilities.
    labels : numpy.ndarray
        float ``[n, findings]`` of 0, 1 and NaN; of synthetic images those that they were drawn for.
    patients : numpy.ndarray
        ``[n]``; every synthetic image is its own patient.
    """

    images: Readable
    features: NDArray[np.float32]
    scores: NDArray[np.float64]
    labels: NDArray[np.floating]
    patients: NDArray[Any]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> "JudgedImages":
        """Choose some of them, in the order of `rows`."""
        images = ImageRows(self.images, rows)
        return JudgedImages(images, self.features[rows], self.scores[rows], self.labels[rows], self.patients[rows])


def thin_rows(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Choose `MAXIMUM_IMAGES` of a store's rows, or all where there are no more, in their order."""
    if len(rows) <= MAXIMUM_IMAGES:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MAXIMUM_IMAGES, replace=False))


@torch.no_grad()
def judge_images(
    judge: Network, images: Readable, labels: NDArray[np.floating], patients: NDArray[Any], batch: int = BATCH
) -> JudgedImages:
    """Compute the judge's features and probabilities of images, in batches and in one pass.

    Parameters
    ----------
    judge : Network
        A trained classifier in evaluation mode, on the device where it is to compute.
    images, labels, patients
        As in `JudgedImages`.
    batch : int
        Images computed at a time; fewer of more than 128².
    """
    device = next(judge.parameters()).device
    batch = min(batch, max(1, BATCH_PIXELS // (images.shape[2] * images.shape[3])))
    pooled = [judge.pooled(to_input(images[start : start + batch], device)) for start in range(0, len(images), batch)]
    features = torch.cat(pooled).float()
    scores = judge.head(features).double().sigmoid()
    return JudgedImages(images, features.cpu().numpy(), scores.cpu().numpy(), labels, patients)


def judge_rows(judge: Network, store: ImageStore, rows: NDArray[np.int64]) -> JudgedImages:
    """Judge rows of a store, whose images stay there; `thin_rows` first, as what is made of them is held in memory."""
    patients = store.records["patient_id"].to_numpy()[rows]
    return judge_images(judge, ImageRows(store.images, rows), store.labels[rows], patients)


def judge_controls(judge: Network, training: JudgedImages, seed: int) -> dict[str, JudgedImages]:
    """Judge the same images blurred and with noise: what every distance to real images must notice."""
    spoilt = {BLURRED: blur(training.images), NOISY: noised(training.images, NOISE, np.random.default_rng(seed))}
    return {name: judge_images(judge, images, training.labels, training.patients) for name, images in spoilt.items()}


def blur(images: Readable) -> Images:
    """Average uint8 images ``[n, C, H, W]`` to half the side and enlarge them again, bilinearly."""

    def softer(part: Images) -> Images:
        half = avg_pool2d(torch.from_numpy(np.array(part)).float(), 2)
        whole = interpolate(half, part.shape[2:], mode="bilinear", align_corners=False)
        return whole.round().to(torch.uint8).numpy()

    return _in_parts(images, softer)


def noised(images: Readable, deviation: float, rng: np.random.Generator) -> Images:
    """Add Gaussian noise to uint8 images, rounded and clipped; `deviation` is in grey levels."""

    def rougher(part: Images) -> Images:
        noise = rng.standard_normal(part.shape, dtype=np.float32) * np.float32(deviation)
        return np.rint(part + noise).clip(0, 255).astype(np.uint8)

    return _in_parts(images, rougher)


def _in_parts(images: Readable, change: Callable[[Images], Images]) -> Images:
    """Change images a batch at a time: as floats, all of them would take four times the memory."""
    changed = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        changed[part] = change(images[part])
    return changed
