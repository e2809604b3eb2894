"""r3-gan: a relativistic GAN kept stable by R1 and R2, without normalisation (Huang et al. 2024, arXiv 2501.05441).

Added to the paper: several labels by projection, heads on the guide's features, and one backward pass for both players.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthcohort.gan.family import Batch, Family, Players
from synthcohort.gan.guide import FeatureHead
from synthcohort.gan.layers import Down, ProjectionScore, ResidualBlock, Up, activate, initialise
from synthcohort.gan.objective import discriminator_loss, gradient_penalties
from synthcohort.gan.presets import R3_GAN
from synthcohort.gan.settings import R3Settings

BASE = 4  # side of the smallest feature map
HEAD_WIDTH = 64
PENALTY_FLOOR = 0.07  # the penalties fall to this share of their weight …
PENALTY_DECAY = 0.7  # … over this share of the training: late on, finer differences may count


def architecture(settings: R3Settings, channels: int, findings: int) -> dict[str, Any]:
    """Keyword arguments of both networks."""
    return {
        "resolution": settings.resolution,
        "channels": channels,
        "findings": findings,
        "widths": list(settings.widths),
        "blocks": settings.blocks,
        "latent": settings.latent,
    }


def patch_side(resolution: int, widths: list[int]) -> int:
    """Side of the pixel block that one position of the widest map stands for."""
    return resolution // (BASE * 2 ** (len(widths) - 1))


class Generator(nn.Module):
    """From a noise vector and labels to an image: 4² → residual blocks, doubling → pixel shuffle."""

    def __init__(
        self, resolution: int, channels: int, findings: int, widths: list[int], blocks: int, latent: int
    ) -> None:
        super().__init__()
        self.latent = latent
        self.patch = patch_side(resolution, widths)
        self.base = initialise(nn.Linear(latent + findings, widths[0] * BASE**2), gain=1)
        layers: list[nn.Module] = []
        for number, width in enumerate(widths):
            if number:
                layers.append(Up(widths[number - 1], width))
            layers += [ResidualBlock(width) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.image = initialise(nn.Conv2d(widths[-1], channels * self.patch**2, 3, padding=1), gain=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Map ``[N, latent]`` and ``[N, findings]`` to ``[N, channels, side, side]``, about −1..1."""
        features = self.base(torch.cat([latents, labels], 1)).unflatten(1, (-1, BASE, BASE))
        features = self.body(features.contiguous(memory_format=torch.channels_last))
        return functional.pixel_shuffle(self.image(activate(features)), self.patch)


class ImageDiscriminator(nn.Module):
    """The generator's mirror image: pixel unshuffle → residual blocks, halving → 4² → projection score."""

    def __init__(self, resolution: int, channels: int, findings: int, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.patch = patch_side(resolution, widths)
        self.image = initialise(nn.Conv2d(channels * self.patch**2, widths[-1], 3, padding=1), gain=1)
        layers: list[nn.Module] = []
        for number in reversed(range(len(widths))):
            layers += [ResidualBlock(widths[number]) for _ in range(blocks)]
            if number:
                layers.append(Down(widths[number], widths[number - 1]))
        self.body = nn.Sequential(*layers)
        self.flatten = initialise(nn.Linear(widths[0] * BASE**2, widths[0]))
        self.score = ProjectionScore(widths[0], findings)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Score images ``[N, channels, side, side]`` under ``[N, findings]`` labels; returns ``[N]``."""
        patches = functional.pixel_unshuffle(images, self.patch).contiguous(memory_format=torch.channels_last)
        features = activate(self.body(self.image(patches)))
        return self.score(activate(self.flatten(features.flatten(1))), labels)


class Discriminator(nn.Module):
    """One score per view: of the image, and of each of the guide's feature maps."""

    def __init__(self, feature_widths: list[int], findings: int, latent: int, **image: Any) -> None:
        super().__init__()
        self.image = ImageDiscriminator(findings=findings, **image)
        self.heads = nn.ModuleList(FeatureHead(width, HEAD_WIDTH, findings) for width in feature_widths)

    def forward(self, views: list[Tensor], labels: Tensor) -> Tensor:
        """Score K views ``[N, ...]`` of N images under ``[N, findings]`` labels; returns float32 ``[K, N]``."""
        heads = [self.image, *self.heads]
        return torch.stack([head(view, labels).float() for head, view in zip(heads, views, strict=True)])

    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        """Score images alone; returns float32 ``[N]``."""
        return self.image(images, labels).float()


def backward(players: Players, batch: Batch, settings: R3Settings) -> dict[str, Tensor]:
    """Add both players' gradients from one pass through the discriminator; see `Family`.

    Both losses depend on d = real score − fake score. The discriminator's has the derivative −σ(−d), the generator's
    σ(d): so each fake's gradient for the generator is the discriminator's times −σ(d) / σ(−d) = −exp(d).
    """
    count = len(batch.images)
    fakes = batch.augment(players.generator(batch.latents, batch.labels))
    fake_views = players.views(fakes)
    with torch.no_grad():
        real_views = players.views(batch.augment(batch.images))
    views = [
        torch.cat([real, fake.detach().to(real.dtype)]).requires_grad_()
        for real, fake in zip(real_views, fake_views, strict=True)
    ]
    labels = batch.labels.repeat(2, 1)
    scores = players.discriminator(views, labels)
    real, fake = scores.unflatten(1, (2, count)).unbind(1)
    weights = [1.0] + [settings.guide_weight] * (len(views) - 1)
    losses = [weight * discriminator_loss(*pair) for weight, *pair in zip(weights, real, fake, strict=True)]

    torch.stack(losses).sum().backward()
    turn = -(real - fake).detach().clamp(max=30).exp()
    gradients = [
        view.grad[count:] * factor.view(-1, *[1] * (view.dim() - 1))  # type: ignore[index]
        for view, factor in zip(views, turn, strict=True)
    ]
    torch.autograd.backward(fake_views, [g.to(v.dtype) for g, v in zip(gradients, fake_views, strict=True)])

    report = {"loss_discriminator": losses[0], "score_real": real[0].mean(), "score_fake": fake[0].mean()}
    if batch.step % settings.penalty_interval == 0:
        report["penalty"] = penalise(
            players, [view.detach().requires_grad_() for view in views], labels, batch, settings
        )
    return {name: value.detach() for name, value in report.items()}


def penalise(players: Players, views: list[Tensor], labels: Tensor, batch: Batch, settings: R3Settings) -> Tensor:
    """Add the gradients of R1 and R2 on every view; return their sum on images, without γ."""
    penalties = gradient_penalties(players.discriminator(views, labels), views)
    decay = PENALTY_FLOOR ** min(1.0, batch.progress / PENALTY_DECAY)
    # The batch holds as many fakes as reals: its mean is (R1 + R2) / 2.
    factor = 2 * decay * settings.penalty_interval
    gammas = [settings.penalty] + [settings.guide_weight * settings.guide_penalty] * (len(views) - 1)
    torch.stack([factor * gamma * penalty for gamma, penalty in zip(gammas, penalties, strict=True)]).sum().backward()
    return 2 * penalties[0]


FAMILY = Family("r3-gan", Generator, Discriminator, architecture, backward, R3_GAN, guided=True)
