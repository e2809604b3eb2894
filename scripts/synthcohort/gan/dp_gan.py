"""dp-gan: a small GAN whose discriminator is trained with differential privacy (Xie et al. 2018, arXiv 1802.06739).

Only the discriminator sees patients, and only through clipped gradients with noise, so the generator, which learns
from the discriminator alone, is private as well. Rebuilt with what helps under noise: few weights, group normalisation,
which looks at one image at a time, and several steps of the discriminator per step of the generator (Bie et al. 2023,
arXiv 2302.02936).
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from synthcohort.gan.dp_training import PrivateBatch, PrivateTraining
from synthcohort.gan.family import Family, Players
from synthcohort.gan.layers import ProjectionScore, activate, initialise
from synthcohort.gan.presets import DP_GAN
from synthcohort.gan.settings import DPSettings

BASE = 4  # side of the smallest feature map
GROUPS = 4
GENERATOR_FACTOR = 4  # the generator gets no noise, so it can afford so many times the discriminator's channels


def architecture(settings: DPSettings, channels: int, findings: int) -> dict[str, Any]:
    """Keyword arguments of both networks."""
    return {"channels": channels, "findings": findings, "widths": list(settings.widths), "latent": settings.latent}


def normalise(width: int) -> nn.GroupNorm:
    """Normalise each image by itself (Wu & He 2018), where batch normalisation would mix patients."""
    return nn.GroupNorm(min(GROUPS, width), width)


class Generator(nn.Module):
    """From a noise vector and labels to an image: 4², doubling by nearest neighbour and 3×3 convolutions."""

    def __init__(self, channels: int, findings: int, widths: list[int], latent: int) -> None:
        super().__init__()
        self.latent = latent
        wide = [GENERATOR_FACTOR * width for width in widths]
        self.base = initialise(nn.Linear(latent + findings, wide[0] * BASE**2))
        self.norms = nn.ModuleList(normalise(width) for width in wide)
        self.convs = nn.ModuleList(
            initialise(nn.Conv2d(width, to_width, 3, padding=1)) for width, to_width in pairwise(wide)
        )
        self.image = initialise(nn.Conv2d(wide[-1], channels, 3, padding=1), gain=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Map ``[N, latent]`` and ``[N, findings]`` to ``[N, channels, side, side]`` in −1..1."""
        features = self.base(torch.cat([latents, labels], 1)).unflatten(1, (-1, BASE, BASE))
        features = activate(self.norms[0](features))
        for conv, norm in zip(self.convs, self.norms[1:], strict=True):
            features = activate(norm(conv(functional.interpolate(features, scale_factor=2, mode="nearest"))))
        return self.image(features).tanh()


class Discriminator(nn.Module):
    """Strided 4×4 convolutions down to 4², then a projection score of all that is left."""

    def __init__(self, channels: int, findings: int, widths: list[int], **_: Any) -> None:
        super().__init__()
        narrowing = [channels, *reversed(widths[:-1])]
        self.convs = nn.ModuleList(
            initialise(nn.Conv2d(width, to_width, 4, stride=2, padding=1)) for width, to_width in pairwise(narrowing)
        )
        # None after the first convolution: it would take away how bright an image is.
        self.norms = nn.ModuleList([nn.Identity(), *(normalise(width) for width in narrowing[2:])])
        self.projection = ProjectionScore(narrowing[-1] * BASE**2, findings)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Score images ``[N, channels, side, side]`` under ``[N, findings]`` labels; returns float32 ``[N]``."""
        features = images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            features = activate(norm(conv(features)))
        return self.projection(features.flatten(1), labels).float()

    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        """Score images, as every family's discriminator does."""
        return self(images, labels)


def pair_gradients(
    discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Differentiate the discriminator's loss of each patient by its weights.

    A patient's loss is that of the patient's image and of one fake under the same labels, ``softplus(−real) +
    softplus(fake)`` (Goodfellow et al. 2014). Clipping a pair as a whole bounds all that the patient adds, the fake's
    labels included; and as what real and fake images have in common cancels in a pair, it is the difference that is
    left to be clipped. Clipping real images alone, beside exact gradients of fakes, would tilt the loss to the fakes.

    Parameters
    ----------
    discriminator : module
        Maps images and labels to scores, each image by itself.
    real, fake : Tensor
        float ``[N, C, H, W]``.
    labels : Tensor
        float ``[N, findings]``.

    Returns
    -------
    gradients : dict of Tensor
        Per weight ``[N, *weight]``.
    scores : Tensor
        ``[N, 2]``: of the real image and of the fake.
    """
    weights = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    if len(real) == 0:
        return {name: weight.new_zeros(0, *weight.shape) for name, weight in weights.items()}, real.new_zeros(0, 2)

    def loss(weights: dict[str, Tensor], real: Tensor, fake: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        scores = functional_call(discriminator, weights, (torch.stack([real, fake]), labels.expand(2, -1)))
        return functional.softplus(-scores[0]) + functional.softplus(scores[1]), scores

    # vmap computes each patient's gradient apart: no operation can mix patients.
    return vmap(grad(loss, has_aux=True), (None, 0, 0, 0))(weights, real, fake, labels)


def backward(players: Players, batch: PrivateBatch, settings: DPSettings) -> dict[str, Tensor]:
    """Leave each patient's gradient in the discriminator's ``grad_sample``, and now and then the generator's gradient.

    The optimiser clips the former and adds noise. The generator learns from fakes under labels of the noisy histogram.
    """
    # bfloat16 would round norms, and so let a patient's gradient be longer than the clip norm.
    with torch.autocast(batch.images.device.type, enabled=False):
        report = {}
        with torch.no_grad():
            fakes = batch.augment(players.generator(batch.latents, batch.labels))
            images = batch.augment(batch.images)
        gradients, scores = pair_gradients(players.discriminator, images, fakes, batch.labels)
        for name, weight in players.discriminator.named_parameters():
            weight.grad_sample = gradients[name]  # type: ignore[attr-defined]
        if len(scores):
            real, fake = scores.detach().unbind(1)
            loss = functional.softplus(-real) + functional.softplus(fake)
            report = {"loss_discriminator": loss.mean(), "score_real": real.mean(), "score_fake": fake.mean()}
        if (batch.step + 1) % settings.discriminator_steps == 0:
            report["loss_generator"] = teach_generator(players, batch)
    return report


def teach_generator(players: Players, batch: PrivateBatch) -> Tensor:
    """Add the gradient of the non-saturating loss ``softplus(−fake)`` to the generator."""
    fakes = players.generator(batch.own_latents, batch.own_labels)
    loss = functional.softplus(-players.discriminator(fakes, batch.own_labels)).mean()
    (gradient,) = torch.autograd.grad(loss, fakes)
    fakes.backward(gradient)
    return loss.detach()


FAMILY = Family("dp-gan", Generator, Discriminator, architecture, backward, DP_GAN, training=PrivateTraining)
