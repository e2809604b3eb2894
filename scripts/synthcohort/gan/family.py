"""What a family of generators is made of; the trainer knows nothing else about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from synthcohort.gan.guide import Views
from synthcohort.gan.presets import Settings


@dataclass(frozen=True)
class Players:
    """Both networks with their optimisers, and the views of an image that the discriminator scores."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    views: Views


@dataclass(frozen=True)
class Batch:
    """What one step learns from, and when it happens.

    Attributes
    ----------
    images : Tensor
        float ``[N, C, H, W]`` in −1..1.
    labels : Tensor
        float ``[N, findings]`` of 0 and 1.
    latents : Tensor
        float ``[N, latent]``, standard normal.
    step : int
        Steps done before.
    progress : float
        Share of the training done before, 0..1.
    """

    images: Tensor
    labels: Tensor
    latents: Tensor
    step: int
    progress: float


@dataclass(frozen=True)
class Family:
    """A family: its networks, one training step, and its settings per resolution.

    Attributes
    ----------
    name : str
        As in the config, for example ``"r3-gan"``.
    generator : callable
        ``generator(**architecture)``: a module that maps ``(latents, labels)`` to float images in about −1..1.
    discriminator : callable
        ``discriminator(**architecture, feature_widths=...)``: a module that maps ``(views, labels)`` to scores.
    architecture : callable
        ``architecture(settings, channels, findings)``: the keyword arguments of both, as written to generator.json.
    step : callable
        ``step(players, batch, settings)``: updates both networks; returns named scalars of the step, on the device.
    presets : mapping
        Settings per resolution.
    """

    name: str
    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]
    architecture: Callable[[Settings, int, int], dict[str, Any]]
    step: Callable[[Players, Batch, Settings], dict[str, Tensor]]
    presets: Mapping[int, Settings]
