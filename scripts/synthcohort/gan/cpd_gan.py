"""cpd-gan: the paper's conditional GAN without growth (DuMont Schütte et al. 2021).

Rebuilt from the paper: a skip generator with conditional pixel norm, a residual discriminator with minibatch standard
deviation, and one score per label, of which the image's own labels choose.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthcohort.gan.equalized import (
    ConditionalPixelNorm,
    EqualizedConv2d,
    EqualizedLinear,
    append_deviation,
    double,
)
from synthcohort.gan.family import Batch, Family, Players
from synthcohort.gan.layers import activate
from synthcohort.gan.presets import CPD_GAN
from synthcohort.gan.settings import WassersteinSettings
from synthcohort.gan.wasserstein import wasserstein_backward

BASE = 4  # side of the smallest feature map


def architecture(settings: WassersteinSettings, channels: int, findings: int) -> dict[str, Any]:
    """Keyword arguments of both networks."""
    return {
        "channels": channels,
        "findings": findings,
        "widths": list(settings.widths),
        "latent": settings.latent,
        "unconditional_term": settings.unconditional_term,
    }


class NormalisedConv(nn.Module):
    """3×3 convolution, conditional pixel norm, leaky ReLU."""

    def __init__(self, width: int, to_width: int, condition: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(width, to_width, 3)
        self.norm = ConditionalPixelNorm(to_width, condition)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map ``[N, width, h, w]`` under a condition ``[N, condition]``."""
        return activate(self.norm(self.conv(features), condition))


class Generator(nn.Module):
    """Every side adds its own image to the doubled image of the side before."""

    def __init__(self, channels: int, findings: int, widths: list[int], latent: int, **_: Any) -> None:
        super().__init__()
        self.latent = latent
        condition = latent + findings
        self.base = EqualizedLinear(condition, widths[0] * BASE**2)
        self.base_norm = ConditionalPixelNorm(widths[0], condition)
        before = [widths[0], *widths[:-1]]
        self.first = nn.ModuleList(
            NormalisedConv(*pair, condition) for pair in zip(before[1:], widths[1:], strict=True)
        )
        self.second = nn.ModuleList(NormalisedConv(width, width, condition) for width in widths)
        self.image = nn.ModuleList(EqualizedConv2d(width, channels, 1, gain=1) for width in widths)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Map ``[N, latent]`` and ``[N, findings]`` to ``[N, channels, side, side]``, about −1..1."""
        condition = torch.cat([latents, labels], 1)
        features = self.base(condition).unflatten(1, (-1, BASE, BASE)).contiguous(memory_format=torch.channels_last)
        features = self.second[0](activate(self.base_norm(features, condition)), condition)
        image = self.image[0](features)
        for first, second, to_image in zip(self.first, self.second[1:], self.image[1:], strict=True):
            features = second(first(double(features), condition), condition)
            image = double(image) + to_image(features)
        return image


class DownBlock(nn.Module):
    """Two 3×3 convolutions and halving, beside a 1×1 convolution of the halved input."""

    def __init__(self, width: int, to_width: int) -> None:
        super().__init__()
        self.first = EqualizedConv2d(width, width, 3)
        self.second = EqualizedConv2d(width, to_width, 3)
        self.skip = EqualizedConv2d(width, to_width, 1, gain=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, width, h, w]`` to ``[N, to_width, h/2, w/2]``."""
        residual = functional.avg_pool2d(activate(self.second(activate(self.first(features)))), 2)
        return (residual + self.skip(functional.avg_pool2d(features, 2))) / math.sqrt(2)


class Discriminator(nn.Module):
    """One score per label; an image's score is the sum of its own labels' scores.

    An image without any label scores 0, whatever it shows: such images get the bit ``no_finding``. With
    `unconditional_term` a further score counts for every image.
    """

    def __init__(self, channels: int, findings: int, widths: list[int], unconditional_term: bool, **_: Any) -> None:
        super().__init__()
        self.image = EqualizedConv2d(channels, widths[-1], 1)
        narrowing = list(reversed(widths))
        self.blocks = nn.ModuleList(DownBlock(*pair) for pair in pairwise(narrowing))
        self.last = EqualizedConv2d(widths[0] + 1, widths[0], 3)
        self.flatten = EqualizedLinear(widths[0] * BASE**2, widths[0])
        self.scores = EqualizedLinear(widths[0], findings + int(unconditional_term), gain=1)
        self.unconditional_term = unconditional_term

    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        """Score images ``[N, channels, side, side]`` under ``[N, findings]`` labels; returns float32 ``[N]``."""
        features = activate(self.image(images.contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            features = block(features)
        features = activate(self.last(append_deviation(features)))
        scores = self.scores(activate(self.flatten(features.flatten(1)))).float()
        if self.unconditional_term:
            labels = torch.cat([labels, torch.ones_like(labels[:, :1])], 1)
        return (scores * labels).sum(1)


def backward(players: Players, batch: Batch, settings: WassersteinSettings) -> dict[str, Tensor]:
    """Add the gradients of one step; see `Family`."""

    def judge(images: Tensor) -> tuple[Tensor, Tensor]:
        score = players.discriminator.score(images, batch.labels)  # type: ignore[operator]
        return score, images.new_zeros(())

    return wasserstein_backward(players, batch, settings, judge)


FAMILY = Family("cpd-gan", Generator, Discriminator, architecture, backward, CPD_GAN)
