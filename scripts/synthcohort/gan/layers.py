"""Layers that the families share. None of them normalises: penalties on the discriminator keep training stable."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2


def activate(features: Tensor) -> Tensor:
    """Leaky ReLU with the field's usual slope of 0.2."""
    return functional.leaky_relu(features, SLOPE)


def initialise(layer: nn.Module, gain: float = math.sqrt(2 / (1 + SLOPE**2))) -> nn.Module:
    """Scale the weights so that activations keep their variance (He et al. 2015); biases start at 0.

    A gain of 0 makes the layer start at zero, so that a residual block starts as the identity.
    """
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """``x + conv(act(conv(act(x))))`` with 3×3 convolutions; the last one starts at zero, so it begins as identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = initialise(nn.Conv2d(width, width, 3, padding=1))
        self.last = initialise(nn.Conv2d(width, width, 3, padding=1), gain=0)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, width, h, w]``."""
        return features + self.last(activate(self.first(activate(features))))


class Up(nn.Module):
    """Change the width by a 1×1 convolution, then double the side (nearest neighbour): in this order it is cheap."""

    def __init__(self, width: int, to_width: int) -> None:
        super().__init__()
        self.project = initialise(nn.Conv2d(width, to_width, 1), gain=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, width, h, w]`` to ``[N, to_width, 2h, 2w]``."""
        return functional.interpolate(self.project(features), scale_factor=2, mode="nearest")


class Down(nn.Module):
    """Halve the side by averaging 2×2 pixels, then change the width by a 1×1 convolution."""

    def __init__(self, width: int, to_width: int) -> None:
        super().__init__()
        self.project = initialise(nn.Conv2d(width, to_width, 1), gain=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, width, h, w]`` to ``[N, to_width, h/2, w/2]``."""
        return self.project(functional.avg_pool2d(features, 2))


class ProjectionScore(nn.Module):
    """Score a feature vector as real, given its labels: ``(u + V y) · f`` (Miyato & Koyama 2018), multi-label.

    The unconditional term ``u`` judges realism whatever the labels, so that an all-zero label vector is scored too.
    """

    def __init__(self, features: int, findings: int) -> None:
        super().__init__()
        self.unconditional = initialise(nn.Linear(features, 1), gain=1)
        self.conditional = initialise(nn.Linear(findings, features, bias=False), gain=1)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Score ``[N, features]`` under float ``[N, findings]`` labels; returns ``[N]``."""
        match = (self.conditional(labels) * features).sum(1) / math.sqrt(features.shape[1])
        return self.unconditional(features).squeeze(1) + match


def float_images(images: Tensor) -> Tensor:
    """uint8 0–255 to float −1..1."""
    return images.float() / 127.5 - 1


def byte_images(images: Tensor) -> Tensor:
    """Float −1..1 to uint8 0–255, clipped and rounded."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to the device, its convolutions in the layout that is fast on both CPUs and cards."""
    return network.to(device).to(memory_format=torch.channels_last)
