"""Layers of the paper's families: equalised learning rate and what takes the place of batch normalisation.

After Karras et al. 2018 (arXiv 1710.10196), sections 3 and 4.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GAIN = math.sqrt(2)  # He et al. 2015


class EqualizedConv2d(nn.Conv2d):
    """A convolution that keeps its side; weights are drawn from N(0, 1) and scaled by ``gain / √fan-in`` at run time.

    The scaling makes Adam's step equally large, relative to the weights' range, in every layer.
    """

    def __init__(self, width: int, to_width: int, side: int, gain: float = GAIN, bias: bool = True) -> None:
        super().__init__(width, to_width, side, padding=side // 2, bias=bias)
        self.scale = gain / math.sqrt(width * side**2)

    def reset_parameters(self) -> None:
        """Draw the weights."""
        _draw(self)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, width, h, w]`` to ``[N, to_width, h, w]``."""
        return functional.conv2d(features, self.weight * self.scale, self.bias, padding=self.padding)


class EqualizedLinear(nn.Linear):
    """A linear map with weights as in `EqualizedConv2d`."""

    def __init__(self, width: int, to_width: int, gain: float = GAIN, bias: float = 0.0) -> None:
        self.bias_start = bias
        super().__init__(width, to_width)
        self.scale = gain / math.sqrt(width)

    def reset_parameters(self) -> None:
        """Draw the weights."""
        _draw(self)
        nn.init.constant_(self.bias, self.bias_start)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, width]`` to ``[N, to_width]``."""
        return functional.linear(features, self.weight * self.scale, self.bias)


def _draw(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def pixel_norm(features: Tensor) -> Tensor:
    """Divide each position's feature vector (dimension 1) by its root mean square."""
    return features * torch.rsqrt(features.float().square().mean(1, keepdim=True) + 1e-8).to(features.dtype)


class ConditionalPixelNorm(nn.Module):
    """Pixel norm, then scale and shift each channel by a linear map of the condition (latents and labels)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.scale = EqualizedLinear(condition, width, gain=1, bias=1.0)
        self.shift = EqualizedLinear(condition, width, gain=1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map ``[N, width, h, w]`` under a condition ``[N, condition]``."""
        return pixel_norm(features) * self.scale(condition)[..., None, None] + self.shift(condition)[..., None, None]


def append_deviation(features: Tensor, group: int = 4) -> Tensor:
    """Append one channel that says how much the images of a group differ (minibatch standard deviation).

    Groups are neighbours in the batch: `group` images, or the largest smaller number that divides the batch.

    Parameters
    ----------
    features : Tensor
        ``[N, C, h, w]``.
    group : int
        Images per group, at most.

    Returns
    -------
    Tensor
        ``[N, C + 1, h, w]``.
    """
    count, _, height, width = features.shape
    size = next(size for size in range(min(group, count), 0, -1) if count % size == 0)
    grouped = features.float().unflatten(0, (-1, size))
    # In this form the gradient is finite where all images of a group are equal.
    deviation = (grouped.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    channel = deviation.repeat_interleave(size).view(-1, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([features, channel.to(features.dtype)], 1)


def double(features: Tensor) -> Tensor:
    """Double the side (nearest neighbour)."""
    return functional.interpolate(features, scale_factor=2, mode="nearest")
