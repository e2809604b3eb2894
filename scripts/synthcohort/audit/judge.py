"""Images as the judge sees them, and images spoilt on purpose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

from synthcohort.audit.vocabulary import BLURRED, NOISE, NOISY
from synthcohort.classify.networks import Network, to_input
from synthcohort.core.store import Images, ImageStore

BATCH = 256
MAXIMUM_IMAGES = 5000
"""Images of a set at most: time and memory of the distances grow with their square."""


@dataclass(frozen=True)
class JudgedImages:
    """Images, and what the judge makes of them.

    Attributes
    ----------
    images : numpy.ndarray
        uint8 ``[n, C, H, W]``.
    features : numpy.ndarray
        float32 ``[n, D]``: the judge's penultimate vectors.
    scores : numpy.ndarray
        float64 ``[n, findings]``: its probabilities.
    labels : numpy.ndarray
        float ``[n, findings]`` of 0, 1 and NaN; of synthetic images those that they were drawn for.
    patients : numpy.ndarray
        ``[n]``; every synthetic image is its own patient.
    """

    images: Images
    features: NDArray[np.float32]
    scores: NDArray[np.float64]
    labels: NDArray[np.floating]
    patients: NDArray[Any]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> "JudgedImages":
        """Choose some of them, in the order of `rows`."""
        return JudgedImages(*(part[rows] for part in vars(self).values()))


def thin_rows(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Choose `MAXIMUM_IMAGES` of a store's rows, or all where there are no more, in their order."""
    if len(rows) <= MAXIMUM_IMAGES:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MAXIMUM_IMAGES, replace=False))


@torch.no_grad()
def judge_images(
    judge: Network, images: Images, labels: NDArray[np.floating], patients: NDArray[Any], batch: int = BATCH
) -> JudgedImages:
    """Compute the judge's features and probabilities of images, in batches and in one pass.

    Parameters
    ----------
    judge : Network
        A trained classifier in evaluation mode, on the device where it is to compute.
    images, labels, patients : numpy.ndarray
        As in `JudgedImages`.
    batch : int
        Images computed at a time.
    """
    device = next(judge.parameters()).device
    pooled = [judge.pooled(to_input(images[start : start + batch], device)) for start in range(0, len(images), batch)]
    features = torch.cat(pooled).float()
    scores = judge.head(features).double().sigmoid()
    return JudgedImages(images, features.cpu().numpy(), scores.cpu().numpy(), labels, patients)


def judge_rows(judge: Network, store: ImageStore, rows: NDArray[np.int64]) -> JudgedImages:
    """Read rows of a store and judge them; `thin_rows` first, as they are held in memory."""
    patients = store.records["patient_id"].to_numpy()[rows]
    return judge_images(judge, store.images[rows], store.labels[rows], patients)


def judge_controls(judge: Network, training: JudgedImages, seed: int) -> dict[str, JudgedImages]:
    """Judge the same images blurred and with noise: what every distance to real images must notice."""
    spoilt = {BLURRED: blur(training.images), NOISY: noised(training.images, NOISE, np.random.default_rng(seed))}
    return {name: judge_images(judge, images, training.labels, training.patients) for name, images in spoilt.items()}


def blur(images: Images) -> Images:
    """Average uint8 images ``[n, C, H, W]`` to half the side and enlarge them again, bilinearly."""
    half = avg_pool2d(torch.from_numpy(images).float(), 2)
    whole = interpolate(half, images.shape[2:], mode="bilinear", align_corners=False)
    return whole.round().to(torch.uint8).numpy()


def noised(images: Images, deviation: float, rng: np.random.Generator) -> Images:
    """Add Gaussian noise to uint8 images, rounded and clipped; `deviation` is in grey levels."""
    noise = rng.standard_normal(images.shape, dtype=np.float32) * np.float32(deviation)
    return np.rint(images + noise).clip(0, 255).astype(np.uint8)
