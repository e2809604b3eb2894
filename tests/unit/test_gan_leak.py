"""What a discriminator is shown augmented does not show in samples, nor does their other side."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gan_toys import make_images
from synthcohort.gan.augment import KINDS, Augmentation
from synthcohort.gan.layers import byte_images, float_images
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.r3_gan import FAMILY
from synthcohort.gan.sampler import sample_images
from synthcohort.gan.training import AUGMENTATION_LIMIT, Training

SIDE, COUNT = 8, 200
COLUMN, ROW = {0: 1.5, 1: 5.5}, 3.5
"""Where the middle of the bar is, by label, in pixels."""


def draw_bars() -> NDArray[np.uint8]:
    """Draw a bright bar on grey: left where the label is f0, right where it is f1, and nowhere else."""
    rng = np.random.default_rng(0)
    images = np.full((COUNT, 1, SIDE, SIDE), 60.0)
    images[0::2, :, 1:7, 1:3] = 200
    images[1::2, :, 1:7, 5:7] = 200
    images *= rng.uniform(0.9, 1.1, (COUNT, 1, 1, 1))
    return (images + rng.normal(0, 4, images.shape)).clip(0, 255).astype(np.uint8)


def train_and_sample(folder: Path, images: NDArray[np.uint8], augmentation: float) -> NDArray[np.uint8]:
    """Draw as many samples as there are images, f0 and f1 in turns."""
    settings = resolve_settings(FAMILY.presets, "tiny", SIDE, kimg=12.0, widths=(32,), augmentation=augmentation)
    training = Training(FAMILY, settings, make_images(folder, images), 1, 2, seed=1, augmentations=KINDS)
    while training.step < training.steps:
        training.advance()
    labels = np.eye(2, dtype=np.float32)[np.arange(COUNT) % 2]
    return np.concatenate(list(sample_images(training.average, labels, seed=5)))


def moved(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far each image's bar is from where its label puts it, in pixels."""
    light = (images[:, 0].astype(float) - 110).clip(0) + 1e-9
    pixels = np.arange(SIDE)
    column = (light * pixels).sum((1, 2)) / light.sum((1, 2))
    row = (light * pixels[:, None]).sum((1, 2)) / light.sum((1, 2))
    return np.hypot(column - np.where(np.arange(len(images)) % 2, COLUMN[1], COLUMN[0]), row - ROW)


def test_augmentations_at_their_limit_do_not_show_in_samples(tmp_path: Path) -> None:
    """Beside a control that leaks: a generator that learns from augmented images, as if they were the cohort's."""
    images = draw_bars()
    assert moved(images).max() < 0.1
    augment = Augmentation(KINDS, AUGMENTATION_LIMIT, np.random.default_rng(3), COUNT)
    changed = byte_images(augment(float_images(torch.from_numpy(images)))).numpy()
    leaked = moved(train_and_sample(tmp_path / "leaking", changed, 0.0))
    shown = moved(train_and_sample(tmp_path / "own", images, AUGMENTATION_LIMIT))
    assert (shown > 0.4).mean() < 0.1
    assert (leaked > 0.4).mean() > 0.5
    assert shown.max() < 2, "a bar on the other side would be 4 pixels away"
