"""What is minimised: the relativistic pairing loss with gradient penalties (Huang et al. 2024, arXiv 2501.05441)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """``mean softplus(fake − real)`` over pairs of scores ``[N]``: a real image should beat its fake."""
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
