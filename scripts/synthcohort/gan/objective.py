"""What is minimised: the relativistic pairing loss, the Wasserstein loss, and the penalties on gradients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """``mean softplus(fake − real)`` over pairs of scores ``[N]``: a real image should beat its fake.

    The relativistic pairing loss (Jolicoeur-Martineau 2018; Huang et al. 2024, arXiv 2501.05441).
    """
    return functional.softplus(fake - real).mean()


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """``mean softplus(real − fake)``: the same pairs, the other way round."""
    return functional.softplus(real - fake).mean()


def gradient_penalties(scores: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Half the squared norm of each score's gradient with respect to its own input, averaged over the batch.

    Of real images this is R1 (Mescheder et al. 2018), of fake ones R2, both still to be multiplied by γ.

    Parameters
    ----------
    scores : Tensor
        ``[K, N]``; score k of image i depends on ``inputs[k][i]`` only.
    inputs : sequence of Tensor
        K tensors ``[N, ...]`` that require gradients.

    Returns
    -------
    list of Tensor
        K scalars that can be differentiated again.
    """
    gradients = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return [gradient.float().square().sum() / (2 * len(gradient)) for gradient in gradients]


def wasserstein_loss(real: Tensor, fake: Tensor, drift: float) -> Tensor:
    """``mean fake − mean real + drift · mean real²`` of a critic's scores ``[N]``.

    After Gulrajani et al. 2017; the drift term as in Karras et al. 2018, appendix A.1.
    """
    return fake.mean() - real.mean() + drift * real.square().mean()


def interpolation_penalty(score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """``mean (‖∇ score(x)‖ − 1)²`` at random points x between real and fake images (Gulrajani et al. 2017).

    Parameters
    ----------
    score : callable
        Maps images to scores ``[N]``. Where it compares images with each other, the gradient is that of the sum.
    real, fake : Tensor
        ``[N, C, H, W]``, without gradients.
    mix : Tensor
        ``[N, 1, 1, 1]`` in 0..1: the share of the fake image.

    Returns
    -------
    Tensor
        A scalar that can be differentiated again, still to be multiplied by λ.
    """
    between = real.lerp(fake, mix).requires_grad_()
    (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    # The small term keeps the root differentiable at 0.
    norms = (gradient.float().flatten(1).square().sum(1) + 1e-12).sqrt()
    return (norms - 1).square().mean()


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of an auxiliary classifier against labels that share a sum of 1 (as in Karras et al. 2018).

    An image without any label says nothing about the classifier and counts 0.

    Parameters
    ----------
    logits, labels : Tensor
        ``[N, findings]``; labels of 0 and 1.
    """
    shares = labels / labels.sum(1, keepdim=True).clamp_min(1)
    return -(shares * functional.log_softmax(logits, 1)).sum(1).mean()
