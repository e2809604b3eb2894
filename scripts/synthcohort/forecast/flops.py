"""Floating-point operations and weights of networks, counted on the meta device: nothing is computed or allocated."""

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from synthcohort.classify.networks import build_network
from synthcohort.gan.family import Batch, Players
from synthcohort.gan.guide import Views
from synthcohort.gan.registry import load_family
from synthcohort.gan.settings import DPSettings, Settings

IMAGES = 4
BACKWARD = 3  # a forward and a backward pass cost about three forward passes


class FlopCounter(TorchDispatchMode):
    """Adds up the operations of convolutions and products, also where gradients are differentiated."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count and call."""
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=out) if count else 0
        return out


class Networks(NamedTuple):
    """Both players of a generator's training.

    Attributes
    ----------
    sampling, scoring : float
        FLOPs of a synthetic image, and of one that the discriminator looks at.
    generator, discriminator : int
        Weights.
    """

    sampling: float
    scoring: float
    generator: int
    discriminator: int


def count_networks(family: str, settings: Settings, channels: int, findings: int) -> Networks:
    """Count a family's networks."""
    return _count_networks(family, _essential(settings), channels, findings)


def training_flops(family: str, settings: Settings, channels: int, findings: int) -> float:
    """FLOPs per real image shown, with the penalties; without augmentation and a guide's features."""
    return _training_flops(family, _essential(settings), channels, findings)


def _essential(settings: Settings) -> Settings:
    """Drop what changes no operation, so that each network is counted once."""
    return replace(settings, kimg=1.0, tick_kimg=1.0, ema_kimg=1.0, horizontal_flip=False, augmentation=0.0)


def _players(family: str, settings: Settings, channels: int, findings: int) -> tuple[Players, Tensor, Tensor, Tensor]:
    """Both networks, and images, labels and latents for them."""
    chosen, side = load_family(family), settings.resolution
    with torch.device("meta"):
        images, labels = torch.zeros(IMAGES, channels, side, side), torch.zeros(IMAGES, findings)
        latents = torch.zeros(IMAGES, settings.latent)
        views, architecture = Views(None, images), chosen.architecture(settings, channels, findings)
        generator = chosen.generator(**architecture)
        discriminator = chosen.discriminator(**architecture, feature_widths=views.feature_widths)
    return Players(generator, discriminator, views), images, labels, latents


@cache
def _count_networks(family: str, settings: Settings, channels: int, findings: int) -> Networks:
    players, images, labels, latents = _players(family, settings, channels, findings)
    with torch.device("meta"), torch.no_grad():
        with FlopCounter() as sampling:
            players.generator(latents, labels)
        with FlopCounter() as scoring:
            players.discriminator.score(images, labels)  # type: ignore[operator]
    weights = (_weights(network) for network in (players.generator, players.discriminator))
    return Networks(sampling.total / IMAGES, scoring.total / IMAGES, *weights)


@cache
def _training_flops(family: str, settings: Settings, channels: int, findings: int) -> float:
    if isinstance(settings, DPSettings):  # its step cannot be taken on the meta device
        networks = _count_networks(family, settings, channels, findings)
        return BACKWARD * (2 * networks.scoring + networks.sampling / settings.discriminator_steps)
    players, images, labels, latents = _players(family, settings, channels, findings)
    interval = getattr(settings, "penalty_interval", 1)
    totals = []
    for step in range(min(2, interval)):  # the first step of an interval has the penalties, the others are alike
        with torch.device("meta"), FlopCounter() as counter:
            batch = Batch(images, labels, latents, torch.zeros(IMAGES, 1, 1, 1), lambda seen: seen, step, 0.5)
            load_family(family).backward(players, batch, settings)
        totals.append(counter.total)
    return (totals[0] + (interval - 1) * totals[-1]) / (IMAGES * interval)


@cache
def classifier_flops(network: str, channels: int, side: int) -> float:
    """FLOPs of one image's forward pass through a classifier."""
    with torch.device("meta"), torch.no_grad(), FlopCounter() as counter:
        build_network(network, channels, ["finding"], side, 0).eval().pooled(torch.zeros(1, channels, side, side))
    return float(counter.total)


def _weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
