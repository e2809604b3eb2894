"""Looking at samples while a generator trains: whether it still gets better, and whether it begins to copy patients."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from synthcohort.core.config import StopRule
from synthcohort.core.interrupt import Interrupted, Request
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.features import Features, feature_vectors
from synthcohort.gan.layers import byte_images, float_images
from synthcohort.gan.sampler import draw_labels, sample_images
from synthcohort.measures.distances import (
    COPY_ALARM,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    nearest_of_two_groups,
)

FRECHET_IMAGES = 5000  # with fewer held-out images the Fréchet distance is too biased
COPY_SIDE = 16  # copies are looked for in images of at most this side
COPY_RATIO = 0.5  # a sample this much closer to one patient than to all others is suspect
COPY_SAMPLES = 1000
BLOCK = 50  # images between two looks at whether to end: large features take seconds for them


@dataclass(frozen=True)
class Evaluation:
    """What one look at the samples gave.

    Attributes
    ----------
    metric : str
        ``frechet_distance`` or ``kid``; empty where nothing was measured.
    distance : float
        Lower is better.
    copied : float
        Estimated share of samples that copy a training image, at most 1; about 0 for a generator that does not.
    """

    metric: str
    distance: float
    copied: float

    @property
    def alarm(self) -> bool:
        """Whether the generator copies training images."""
        return self.copied >= COPY_ALARM


class Watch:
    """Compares samples with the real images.

    Parameters
    ----------
    train, valid : TrainingImages
        Images that the generator learns from, and images of other patients.
    features : Features, optional
        Where distances between distributions are measured; without any, only copies are looked for.
    rule : StopRule
        The config's.
    seed : int
        Chooses labels and noise, the same at every look.
    mirrored : bool
        Whether the generator is shown mirrored images as well: copies are then also looked for in the mirror.
    """

    def __init__(
        self,
        train: TrainingImages,
        valid: TrainingImages,
        features: Features | None,
        rule: StopRule,
        seed: int,
        mirrored: bool = False,
    ) -> None:
        self.train, self.valid, self.features, self.mirrored = train, valid, features, mirrored
        self.reference: NDArray[np.float32] | None = None
        count = COPY_SAMPLES
        if features is not None:
            images = {"validation": valid, "training": train}[rule.images]
            self.reference = feature_vectors(features, _blocks(images, images.spread(rule.samples)))
            count = max(count, len(self.reference))
        large = self.reference is not None and len(self.reference) >= FRECHET_IMAGES
        self.metric = "" if features is None else "frechet_distance" if large else "kid"
        self.labels = draw_labels(train.labels.cpu().numpy(), min(count, rule.samples), seed)
        self.seed = seed
        self.copy_side = min(COPY_SIDE, train.side)
        self.held_out = self._known(_blocks(valid, valid.spread(COPY_SAMPLES)))
        self.seen = self._known(_blocks(train, np.arange(len(train))))
        patients = np.unique(train.store.records["patient_id"].to_numpy()[train.rows].astype(str), return_inverse=True)
        self.patients = np.tile(patients[1], 1 + mirrored)
        some = np.random.default_rng(seed).permutation(len(train))[:COPY_SAMPLES]
        self.usual = self._closer(self.seen[some], self.patients[some])

    def look(self, generator: nn.Module, request: Request | None = None) -> Evaluation:
        """Draw samples and compare them.

        Raises
        ------
        Interrupted
            When the process was asked to end; it is looked for between blocks of images.
        """
        device = next(generator.parameters()).device
        drawn = sample_images(generator, self.labels, self.seed)
        samples = torch.from_numpy(np.concatenate(list(_until(request, drawn))))
        copied = self._copied(samples[:COPY_SAMPLES])
        if self.features is None or self.reference is None:
            return Evaluation("", float("nan"), copied)
        blocks = (float_images(block.to(device)) for block in _until(request, samples.split(BLOCK)))
        vectors = feature_vectors(self.features, blocks)
        measure = frechet_distance if self.metric == "frechet_distance" else kernel_distance
        return Evaluation(self.metric, measure(vectors, self.reference), copied)

    def _copied(self, samples: Tensor) -> float:
        """Share of samples that only one training patient resembles, less the share among real images.

        A copy is much closer to one patient than to any other. In smooth data real images can be so by chance: as
        often as training images are, compared with those of all other patients. What is much closer to a held-out
        image than to any training image counts the other way.
        """
        pixels = np.concatenate([_pixels(float_images(block), self.copy_side) for block in samples.split(BLOCK)])
        return min(1.0, self._closer(pixels) - self.usual)

    def _closer(self, pixels: NDArray[np.float32], own: NDArray[np.int64] | None = None) -> float:
        first, second = nearest_of_two_groups(pixels, self.seen, self.patients, own)
        held_out = nearest_distances(pixels, self.held_out)
        alone = (first < COPY_RATIO * second) & np.isfinite(second)
        return float(alone.mean() - (held_out < COPY_RATIO * first).mean())

    def _known(self, blocks: Iterable[Tensor]) -> NDArray[np.float32]:
        """Real images as they are compared, followed by their mirror images where these are shown as well."""
        pairs = [[_pixels(images, self.copy_side), _pixels(images.flip(3), self.copy_side)] for images in blocks]
        plain, flipped = (np.concatenate(part) for part in zip(*pairs, strict=True))
        return np.concatenate([plain, flipped]) if self.mirrored else plain


def _until(request: Request | None, blocks: Iterable[Any]) -> Iterator[Any]:
    """Pass blocks on until the process is asked to end."""
    for block in blocks:
        if request is not None and request.made:
            raise Interrupted
        yield block


def _blocks(images: TrainingImages, positions: NDArray[np.int64]) -> Any:
    return (images.take(part) for part in np.array_split(positions, max(1, len(positions) // BLOCK)))


def _pixels(images: Tensor, side: int) -> NDArray[np.float32]:
    """Average images down to `side`, as the bytes that a store would hold, one row each."""
    shrunk = functional.adaptive_avg_pool2d(float_images(byte_images(images)), side)
    return shrunk.flatten(1).cpu().numpy()
