"""Looking at samples while a generator trains: whether it still gets better, and whether it begins to copy patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from synthcohort.core.config import StopRule
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.features import Features, feature_vectors
from synthcohort.gan.layers import byte_images, float_images
from synthcohort.gan.sampler import draw_labels, sample_images
from synthcohort.measures.distances import COPY_ALARM, frechet_distance, kernel_distance, nearest_distances

FRECHET_IMAGES = 5000  # with fewer held-out images the Fréchet distance is too biased
COPY_SIDE = 16  # copies are looked for in images of at most this side
COPY_RATIO = 0.5  # a sample this much closer to one set than to the other is suspect
COPY_SAMPLES = 1000
BLOCK = 500


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
        Estimated share of samples that copy a training image; about 0 for a generator that does not.
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
        side = min(COPY_SIDE, train.side)
        positions = valid.spread(min(COPY_SAMPLES, len(train)))
        self.held_out = _pixels(valid.take(positions), side)
        self.parts = [
            _pixels(train.take(part), side)
            for part in _equal_parts(len(train), len(self.held_out), np.random.default_rng(seed))
        ]
        self.copy_side = side

    def look(self, generator: nn.Module) -> Evaluation:
        """Draw samples and compare them."""
        samples = torch.from_numpy(np.concatenate(list(sample_images(generator, self.labels, self.seed))))
        copied = self._copied(float_images(samples[:COPY_SAMPLES]))
        if self.features is None or self.reference is None:
            return Evaluation("", float("nan"), copied)
        device = next(generator.parameters()).device
        vectors = feature_vectors(self.features, (float_images(block.to(device)) for block in samples.split(BLOCK)))
        measure = frechet_distance if self.metric == "frechet_distance" else kernel_distance
        return Evaluation(self.metric, measure(vectors, self.reference), copied)

    def _copied(self, samples: Tensor) -> float:
        """Share of samples much closer to a training image than to any held-out one, less the share the other way.

        Each comparison is with as many training images as there are held-out ones, so that a generator which knows
        neither is as often closer to the one as to the other; shares add up over the parts of the training images, and
        stand for the few images in no part too.
        """
        seen = [
            _pixels(images, self.copy_side) for images in ([samples, samples.flip(3)] if self.mirrored else [samples])
        ]

        def nearest(images: NDArray[np.float32]) -> NDArray[np.float64]:
            return np.min([nearest_distances(pixels, images) for pixels in seen], axis=0)

        held_out = nearest(self.held_out)
        share = 0.0
        for part in self.parts:
            distances = nearest(part)
            share += float((distances < COPY_RATIO * held_out).mean() - (held_out < COPY_RATIO * distances).mean())
        return share * len(self.train) / sum(map(len, self.parts))


def _equal_parts(count: int, size: int, random: np.random.Generator) -> list[NDArray[np.int64]]:
    """Cut most of `count` images into random parts of `size`."""
    order = random.permutation(count)
    return [order[start : start + size] for start in range(0, count - size + 1, size)]


def _blocks(images: TrainingImages, positions: NDArray[np.int64]) -> Any:
    return (images.take(part) for part in np.array_split(positions, max(1, len(positions) // BLOCK)))


def _pixels(images: Tensor, side: int) -> NDArray[np.float32]:
    """Average images down to `side`, as the bytes that a store would hold, one row each."""
    shrunk = functional.adaptive_avg_pool2d(float_images(byte_images(images)), side)
    return shrunk.flatten(1).cpu().numpy()
