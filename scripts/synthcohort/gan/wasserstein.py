"""One step of a Wasserstein GAN with gradient penalty, common to the paper's families.

Both players learn from the same fakes, and their gradients are taken before either moves.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from synthcohort.gan.family import Batch, Players
from synthcohort.gan.objective import interpolation_penalty, wasserstein_loss
from synthcohort.gan.settings import WassersteinSettings

Scores = tuple[Tensor, Tensor]
"""Scores ``[N]`` of images, and the auxiliary loss of the discriminator's guess at their labels (0 without one)."""


def wasserstein_backward(
    players: Players, batch: Batch, settings: WassersteinSettings, judge: Callable[[Tensor], Scores]
) -> dict[str, Tensor]:
    """Add both players' gradients.

    Parameters
    ----------
    players, batch, settings
        See `Family`.
    judge : callable
        Maps images to `Scores`, through the discriminator.

    Returns
    -------
    dict
        Named scalars of the step.
    """
    images = batch.augment(batch.images)
    fakes = batch.augment(players.generator(batch.latents, batch.labels)).float()
    seen = fakes.detach().requires_grad_()
    real, real_labels = judge(images)
    fake, fake_labels = judge(seen)

    (gradient,) = torch.autograd.grad(fake_labels - fake.mean(), seen, retain_graph=True)
    fakes.backward(gradient)

    loss = wasserstein_loss(real, fake, settings.drift)
    penalty = interpolation_penalty(lambda between: judge(between)[0], images, seen.detach(), batch.mix)
    (loss + real_labels + fake_labels + settings.penalty * penalty).backward()
    report = {
        "loss_discriminator": loss,
        "score_real": real.mean(),
        "score_fake": fake.mean(),
        "penalty": penalty,
    }
    if real_labels.requires_grad:
        report |= {"label_loss_real": real_labels, "label_loss_fake": fake_labels}
    return {name: value.detach() for name, value in report.items()}
