"""Training images in an order that follows from the seed alone."""

from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from synthcohort.classify.batches import batch_positions
from synthcohort.core.store import ImageStore
from synthcohort.gan.layers import float_images

RESIDENT_BYTES = 2 * 2**30
PIXELS_AT_ONCE = 2**20  # of images that pass a network together; so many fill about 0.3 GB at 64 channels


def random_stream(seed: int, purpose: str, number: int) -> np.random.Generator:
    """Make a counter-based generator (Philox): stream `number` of a purpose, without drawing the ones before."""
    return np.random.Generator(np.random.Philox(key=[seed, crc32(purpose.encode())], counter=[0, 0, 0, number]))


def images_at_once(side: int, most: int) -> int:
    """Images of a side that pass a network together, so that memory does not grow with the side."""
    return max(1, min(most, PIXELS_AT_ONCE // side**2))


def known_labels(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Count unknown findings (NaN) as absent: a generator has to be told something."""
    return np.nan_to_num(labels, nan=0.0)


class TrainingImages:
    """Rows of a store as a generator sees them: on the device when small, else memory-mapped.

    Parameters
    ----------
    store : ImageStore
        Real images.
    rows : numpy.ndarray
        int ``[n]``: which of them.
    device : torch.device
        Where to compute.
    side : int, optional
        Side of the images that are given, where smaller than the store's: they are averaged.

    Attributes
    ----------
    labels : Tensor
        float ``[n, findings]`` of 0 and 1; unknown findings count as absent.
    """

    def __init__(
        self, store: ImageStore, rows: NDArray[np.int64], device: torch.device, side: int | None = None
    ) -> None:
        self.store, self.rows, self.device = store, np.asarray(rows), device
        self.side = side or store.info.resolution
        self.shrink = store.info.resolution // self.side
        self.labels = torch.from_numpy(known_labels(store.labels[self.rows])).to(device)
        self.images: Tensor | None = None
        if store.images[0].nbytes * len(rows) <= RESIDENT_BYTES:
            self.images = torch.from_numpy(store.images[self.rows]).to(device)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64]) -> Tensor:
        """Images at positions among the rows, float ``[N, C, side, side]`` in −1..1."""
        if self.images is not None:
            images = float_images(self.images[torch.from_numpy(positions).to(self.device)])
        else:
            images = float_images(torch.from_numpy(self.store.images[self.rows[positions]]).to(self.device))
        return functional.avg_pool2d(images, self.shrink) if self.shrink > 1 else images

    def spread(self, count: int) -> NDArray[np.int64]:
        """Positions of `count` images, evenly spread over the rows; all where there are fewer."""
        return np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64)

    def batch(
        self, seed: int, step: int, size: int, horizontal_flip: bool, part: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Images (float −1..1) and labels of one step, or a part of them; every image comes once per epoch."""
        positions = batch_positions(len(self), size, step, seed)[part]
        mirrored = random_stream(seed, "mirror", step).random(size)[part] < 0.5 if horizontal_flip else None
        return self.pairs(positions, mirrored)

    def pairs(self, positions: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> tuple[Tensor, Tensor]:
        """Images (float −1..1) at positions among the rows, some of them mirrored, and their labels."""
        images = self.take(positions)
        if mirrored is not None:
            flipped = torch.from_numpy(mirrored).to(self.device).view(-1, 1, 1, 1)
            images = torch.where(flipped, images.flip(3), images)
        return images, self.labels[torch.from_numpy(positions).to(self.device)]
