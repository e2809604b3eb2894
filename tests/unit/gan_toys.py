"""Toys that the tests of the generators share: a store of given images, and plain batches."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.family import Batch

CPU = torch.device("cpu")


def draw_faces(count: int, seed: int) -> NDArray[np.uint8]:
    """Different images of one kind: a disc with eight blurred spots of random place, size and brightness."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16] / 15
    disc = 60.0 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.2)
    images = np.tile(disc, (count, 1, 1))
    for _ in range(8):
        u, v, size, light = (random.uniform(*ends, (count, 1, 1)) for ends in ((0, 1), (0, 1), (0.05, 0.2), (20, 120)))
        images += light * np.exp(-((x - u) ** 2 + (y - v) ** 2) / size**2)
    return images.clip(0, 255).astype(np.uint8)[:, None]


def make_images(folder: Path, images: NDArray[np.uint8], findings: int = 2) -> TrainingImages:
    """All `images` of a new store, ``[N, C, H, W]``; image i has label i modulo the findings."""
    count, channels, side, _ = images.shape
    names = [f"f{number}" for number in range(findings)]
    records = pd.DataFrame(np.eye(findings, dtype=np.float32)[np.arange(count) % findings], columns=names)
    records.insert(0, "image_id", [f"i{number}" for number in range(count)])
    records.insert(1, "patient_id", [f"p{number}" for number in range(count)])
    info = StoreInfo(
        cohort="toy",
        findings=[Finding(name=name, display=name) for name in names],
        units="HU",
        windows=[(0, 80)] * channels,
        resolution=side,
        channels=channels,
        images=count,
        simulated=True,
    )
    write_store(folder, [images], records, info)
    return TrainingImages(ImageStore(folder), np.arange(count), CPU)


def make_batch(
    channels: int, side: int = 16, latent: int = 8, augment: object = lambda images: images, **when: float
) -> Batch:
    """Four random images, three findings, one of the images without any."""
    stream = torch.Generator().manual_seed(1)
    labels = torch.tensor([[0.0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    images = torch.rand(4, channels, side, side, generator=stream) * 2 - 1
    latents = torch.randn(4, latent, generator=stream)
    mix = torch.rand(4, 1, 1, 1, generator=stream)
    return Batch(images, labels, latents, mix, augment, **{"step": 1, "progress": 0.0, **when})
