"""The two predictive models: a small residual network for a CPU, and the paper's DenseNet-121."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pixel_unshuffle, relu

from synthcohort.classify.weights import load_densenet_weights
from synthcohort.core.atomic import file_digest, read_json, write_json
from synthcohort.core.checkpoint import read_weights, write_weights
from synthcohort.core.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DENSENET_SIDE = 224


def to_input(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Turn uint8 ``[N, C, H, W]`` into what networks take: float32 in [-1, 1], channels last."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return tensor.to(torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)


class Network(nn.Module):
    """What every predictive model offers.

    Parameters
    ----------
    channels : int
        Image channels.
    findings : sequence of str
        Names of the label columns, in the order of the logits.
    resolution : int
        Side of the images in pixels.
    """

    name: str
    head: nn.Module

    def __init__(self, channels: int, findings: Sequence[str], resolution: int) -> None:
        super().__init__()
        self.channels, self.findings, self.resolution = channels, list(findings), resolution

    def features(self, x: Tensor) -> list[Tensor]:
        """Feature maps of `x` (``[N, C, H, W]`` in [-1, 1]) from fine to coarse."""
        raise NotImplementedError

    def pooled(self, x: Tensor) -> Tensor:
        """Penultimate vector, float32 ``[N, D]``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits, float32 ``[N, findings]``; the last layer computes in float32, as coarser scores would tie."""
        pooled = self.pooled(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.head(pooled)


class ResidualBlock(nn.Module):
    """Pre-activation residual block (He et al. 2016), halving the side where `stride` is 2."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False)
        self.skip = nn.Conv2d(width_in, width_out, 1, bias=False) if width_in != width_out else nn.Identity()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, width_in, H, W]`` to ``[N, width_out, H / stride, W / stride]``."""
        y = self.conv1(relu(self.norm1(x)))
        y = self.conv2(relu(self.norm2(y)))
        return y + self.skip(avg_pool2d(x, 2) if self.stride == 2 else x)


class SmallNet(Network):
    """Residual network for 16² to 64² that learns in seconds on a CPU.

    Pixels are unshuffled first (2×2 pixels become channels), so that the widest maps have half the image's side. The
    last map is at most 4², and each doubling of the resolution adds a finer and narrower one.

    Parameters
    ----------
    channels, findings, resolution
        See `Network`.
    width : int
        Feature maps of the coarsest scale; each finer one has half of them.
    """

    name = "small"

    def __init__(self, channels: int, findings: Sequence[str], resolution: int, width: int = 96) -> None:
        super().__init__(channels, findings, resolution)
        stages = max(3, resolution.bit_length() - 3)
        widths = [max(8, width >> (stages - 1 - stage)) for stage in range(stages)]
        self.stem = nn.Conv2d(4 * channels, widths[0], 3, 1, 1, bias=False)
        self.blocks = nn.ModuleList(
            ResidualBlock(widths[max(0, stage - 1)], widths[stage], 1 if stage == 0 else 2) for stage in range(stages)
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        side = resolution >> stages
        self.place = nn.Parameter(torch.empty(widths[-1], side, side).uniform_(-1 / side, 1 / side))
        self.head = nn.Linear(widths[-1], len(self.findings))

    def features(self, x: Tensor) -> list[Tensor]:
        """Feature maps at side/2, side/4, side/8, …; see `Network`."""
        maps = [self.stem(pixel_unshuffle(x, 2))]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps[1:]

    def pooled(self, x: Tensor) -> Tensor:
        """See `Network`; a map's positions are added with learnt weights, as findings have their places."""
        return (relu(self.norm(self.features(x)[-1])).float() * self.place).sum((2, 3))


class PlainNet(Network):
    """A network of another design than `SmallNet`, for judging what `SmallNet` helped to make.

    Plain pairs of 3×3 convolutions and maximum pooling, down to 4² and one hidden layer (after Simonyan & Zisserman
    2015), with batch normalisation.

    Parameters
    ----------
    channels, findings, resolution
        See `Network`.
    width : int
        Feature maps of the coarsest scale; each finer one has half of them.
    """

    name = "plain"

    def __init__(self, channels: int, findings: Sequence[str], resolution: int, width: int = 96) -> None:
        super().__init__(channels, findings, resolution)
        stages = max(1, resolution.bit_length() - 3)
        widths = [channels, *(max(16, width >> (stages - 1 - stage)) for stage in range(stages))]
        self.blocks = nn.ModuleList(self._block(*pair) for pair in pairwise(widths))
        side = resolution >> stages
        self.hidden = nn.Linear(widths[-1] * side**2, width)
        self.head = nn.Linear(width, len(self.findings))

    @staticmethod
    def _block(width_in: int, width_out: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in (width_in, width_out):
            layers += [nn.Conv2d(width, width_out, 3, padding=1, bias=False), nn.BatchNorm2d(width_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.MaxPool2d(2))

    def features(self, x: Tensor) -> list[Tensor]:
        """Feature maps at side/2, side/4, …; see `Network`."""
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def pooled(self, x: Tensor) -> Tensor:
        """See `Network`; the hidden layer."""
        return relu(self.hidden(self.features(x)[-1].flatten(1))).float()


class DenseNet121(Network):
    """The paper's DenseNet-121 (Huang et al. 2017) at 224², from torchvision.

    Images of one channel are repeated to three; any other number of channels gets a first convolution of its own,
    started from the mean of the colour kernels. ImageNet's normalisation is used where ImageNet's weights are.

    Parameters
    ----------
    channels, findings, resolution
        See `Network`.
    """

    name = "densenet121"
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, findings: Sequence[str], resolution: int) -> None:
        from torchvision.models import densenet121

        super().__init__(channels, findings, resolution)
        self.net = densenet121(weights=None)
        self.net.classifier = nn.Linear(self.net.classifier.in_features, len(self.findings))
        if channels not in (1, 3):
            self.net.features.conv0 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        planes = 3 if channels == 1 else channels
        self.register_buffer("mean", torch.full((1, planes, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, planes, 1, 1), 0.5))

    def load_pretrained(self, weights: str) -> str:
        """Start from ImageNet's weights ('download' or a path); return the SHA-256 of their file."""
        state, digest = load_densenet_weights(weights)
        stem = state["features.conv0.weight"]
        planes = self.mean.shape[1]
        if planes != 3:
            state["features.conv0.weight"] = stem.mean(1, keepdim=True).repeat(1, planes, 1, 1) * (3 / planes)
        else:
            self.mean.copy_(torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
            self.std.copy_(torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        state["classifier.weight"], state["classifier.bias"] = self.net.classifier.weight, self.net.classifier.bias
        self.net.load_state_dict(state)
        return digest

    def features(self, x: Tensor) -> list[Tensor]:
        """Feature maps of the four dense blocks, at 56², 28², 14² and 7²; see `Network`."""
        x = interpolate(x, (DENSENET_SIDE, DENSENET_SIDE), mode="bilinear", antialias=x.shape[-1] > DENSENET_SIDE)
        if self.channels == 1:
            x = x.expand(-1, 3, -1, -1)
        x = (x / 2 + 0.5 - self.mean) / self.std
        maps = []
        for name, layer in self.net.features.named_children():
            x = layer(x)
            if name.startswith("denseblock"):
                maps.append(x)
        return maps

    def pooled(self, x: Tensor) -> Tensor:
        """See `Network`."""
        return relu(self.net.features.norm5(self.features(x)[-1])).float().mean((2, 3))

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """See `Network`; torchvision's own last layer."""
        return self.net.classifier


NETWORKS: dict[str, type[Network]] = {network.name: network for network in (SmallNet, PlainNet, DenseNet121)}


def build_network(name: str, channels: int, findings: Sequence[str], resolution: int, seed: int) -> Network:
    """Make a network; the same seed gives the same weights, whatever was drawn before.

    Parameters
    ----------
    name : {"small", "plain", "densenet121"}
        The config's ``classifier.network``.
    channels, findings, resolution
        See `Network`.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Network
        On the CPU, in training mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](channels, findings, resolution).to(memory_format=torch.channels_last)


def save_classifier(folder: str | Path, network: Network, facts: Mapping[str, Any]) -> None:
    """Write ``classifier.safetensors`` and, last, ``classifier.json``.

    Parameters
    ----------
    folder : str or Path
        Where to write.
    network : Network
        Its weights are written.
    facts : mapping
        What else the JSON is to say: seed, digests, how training ended.
    """
    folder = Path(folder)
    write_weights(folder / "classifier.safetensors", network.state_dict())
    described = {
        "network": network.name,
        "channels": network.channels,
        "findings": network.findings,
        "resolution": network.resolution,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "digest": file_digest(folder / "classifier.safetensors"),
    }
    write_json(folder / "classifier.json", described | dict(facts))


def load_classifier(folder: str | Path, device: torch.device | str = "cpu") -> Network:
    """Read a trained classifier, in evaluation mode and without gradients to its weights.

    Raises
    ------
    UserError
        When a file is missing, damaged, or does not match its digest.
    """
    folder = Path(folder)
    try:
        facts = read_json(folder / "classifier.json")
        matches = file_digest(folder / "classifier.safetensors") == facts["digest"]
    except FileNotFoundError as error:
        raise UserError(f"classifier {folder}: a file is missing; run again to train it.") from error
    if not matches:
        raise UserError(f"classifier {folder}: the weights do not match their digest; delete the folder and run again.")
    network = NETWORKS[facts["network"]](facts["channels"], facts["findings"], facts["resolution"])
    network.load_state_dict(read_weights(folder / "classifier.safetensors"))
    return network.to(memory_format=torch.channels_last).to(device).eval().requires_grad_(False)
