"""prog-gan: progressive growing (Karras et al. 2018, arXiv 1710.10196) with an auxiliary classifier.

The paper's other family (Odena et al. 2017 for the classifier). It is trained in stages, 8², 16², 32², …; each takes
over the networks of the one before, and its new layers fade in.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthcohort.core.plan import FIRST_STAGE
from synthcohort.gan.equalized import EqualizedConv2d, EqualizedLinear, append_deviation, double, pixel_norm
from synthcohort.gan.family import Batch, Family, Players
from synthcohort.gan.layers import activate
from synthcohort.gan.objective import label_loss
from synthcohort.gan.presets import PROG_GAN
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
    }


class Growing(nn.Module):
    """What both networks share: `fade`, the weight of the newest side's layers, 0 at its start and 1 when grown."""

    fade: Tensor

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.sides = [BASE * 2**level for level in range(len(widths))]
        self.side = self.sides[-1]
        self.grown = self.side > FIRST_STAGE
        self.register_buffer("fade", torch.ones(()))


class Generator(Growing):
    """Convolutions with pixel norm; only the newest side (and, while fading, the one before) makes an image."""

    def __init__(self, channels: int, findings: int, widths: list[int], latent: int) -> None:
        super().__init__(widths)
        self.latent = latent
        self.base = EqualizedLinear(latent + findings, widths[0] * BASE**2, gain=2**0.5 / 4)
        before = [widths[0], *widths[:-1]]
        pairs = dict(zip(self.sides, zip(before, widths, strict=True), strict=True))
        self.first = nn.ModuleDict(
            {str(side): EqualizedConv2d(pairs[side][0], pairs[side][1], 3) for side in self.sides[1:]}
        )
        self.second = nn.ModuleDict({str(side): EqualizedConv2d(pairs[side][1], pairs[side][1], 3) for side in pairs})
        self.image = nn.ModuleDict(
            {str(side): EqualizedConv2d(pairs[side][1], channels, 1, gain=1) for side in self.sides[1:][-2:]}
        )

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Map ``[N, latent]`` and ``[N, findings]`` to ``[N, channels, side, side]``, about −1..1."""
        condition = pixel_norm(torch.cat([latents, labels], 1))
        features = self.base(condition).unflatten(1, (-1, BASE, BASE)).contiguous(memory_format=torch.channels_last)
        features = _normalised(self.second[str(BASE)](_normalised(features)))
        for side in self.sides[1:]:
            coarse = features
            features = _normalised(self.first[str(side)](double(features)))
            features = _normalised(self.second[str(side)](features))
        image = self.image[str(self.side)](features)
        if not self.grown:
            return image
        return torch.lerp(double(self.image[str(self.side // 2)](coarse)), image, self.fade.to(image.dtype))


def _normalised(features: Tensor) -> Tensor:
    return pixel_norm(activate(features))


class Discriminator(Growing):
    """The generator's mirror image, with minibatch standard deviation, a score, and a guess at the labels."""

    def __init__(self, channels: int, findings: int, widths: list[int], **_: Any) -> None:
        super().__init__(widths)
        before = [widths[0], *widths[:-1]]
        pairs = dict(zip(self.sides, zip(widths, before, strict=True), strict=True))
        self.image = nn.ModuleDict(
            {str(side): EqualizedConv2d(channels, pairs[side][0], 1) for side in self.sides[1:][-2:]}
        )
        self.first = nn.ModuleDict(
            {str(side): EqualizedConv2d(pairs[side][0], pairs[side][0], 3) for side in self.sides[1:]}
        )
        self.second = nn.ModuleDict(
            {str(side): EqualizedConv2d(pairs[side][0], pairs[side][1], 3) for side in self.sides[1:]}
        )
        self.last = EqualizedConv2d(widths[0] + 1, widths[0], 3)
        self.flatten = EqualizedLinear(widths[0] * BASE**2, widths[0])
        self.scores = EqualizedLinear(widths[0], 1 + findings, gain=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Score images ``[N, channels, side, side]``; returns float32 ``[N]`` and label logits ``[N, findings]``."""
        images = images.contiguous(memory_format=torch.channels_last)
        features = self._down(activate(self.image[str(self.side)](images)), self.side)
        if self.grown:
            coarse = activate(self.image[str(self.side // 2)](functional.avg_pool2d(images, 2)))
            features = torch.lerp(coarse.to(features.dtype), features, self.fade.to(features.dtype))
        for side in reversed(self.sides[1:-1]):
            features = self._down(features, side)
        features = activate(self.last(append_deviation(features)))
        scores = self.scores(activate(self.flatten(features.flatten(1)))).float()
        return scores[:, 0], scores[:, 1:]

    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        """Score images; the labels do not count here. Returns float32 ``[N]``."""
        return self(images)[0]

    def _down(self, features: Tensor, side: int) -> Tensor:
        features = activate(self.second[str(side)](activate(self.first[str(side)](features))))
        return functional.avg_pool2d(features, 2)


def backward(players: Players, batch: Batch, settings: WassersteinSettings) -> dict[str, Tensor]:
    """Add the gradients of one step; see `Family`."""
    length = min(settings.fade_kimg / settings.kimg, 0.5)
    fade = min(1.0, batch.progress / length) if players.generator.grown else 1.0
    for network in (players.generator, players.discriminator):
        network.fade.fill_(fade)  # type: ignore[operator]

    def judge(images: Tensor) -> tuple[Tensor, Tensor]:
        scores, logits = players.discriminator(images)
        return scores, settings.label_weight * label_loss(logits, batch.labels)

    blended = replace(batch, images=blend(batch.images, fade))
    return wasserstein_backward(players, blended, settings, judge) | {"fade": batch.images.new_tensor(fade)}


def blend(images: Tensor, fade: float) -> Tensor:
    """Mix images with their own halved and doubled version, as the generator's images are mixed while fading."""
    if fade == 1:
        return images
    return double(functional.avg_pool2d(images, 2)).lerp(images, fade)


FAMILY = Family("prog-gan", Generator, Discriminator, architecture, backward, PROG_GAN)
