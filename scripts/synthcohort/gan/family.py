"""What a family of generators is made of; the trainer knows nothing else about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from synthcohort.gan.guide import Views
from synthcohort.gan.settings import Settings


@dataclass(frozen=True)
class Players:
    """Both networks, and the views of an image that the discriminator scores."""

    generator: nn.Module
    discriminator: nn.Module
    views: Views


@dataclass(frozen=True)
class Batch:
    """What one step, or one part of it, learns from, and when it happens.

    Attributes
    ----------
    images : Tensor
        float ``[N, C, H, W]`` in −1..1.
    labels : Tensor
        float ``[N, findings]`` of 0 and 1.
    latents : Tensor
        float ``[N, latent]``, standard normal.
    mix : Tensor
        float ``[N, 1, 1, 1]``, uniform in 0..1, for objectives that look between real and synthetic images.
    augment : callable
        Maps float images to what a discriminator may see of them, differently at every call.
    step : int
        Steps done before.
    progress : float
        Share of the longest training done before, 0..1.
    """

    images: Tensor
    labels: Tensor
    latents: Tensor
    mix: Tensor
    augment: Callable[[Tensor], Tensor]
    step: int
    progress: float


@dataclass(frozen=True)
class Family:
    """A family: its networks, the gradients of one step, and its settings.

    Attributes
    ----------
    name : str
        As in the config, for example ``"r3-gan"``.
    generator : callable
        ``generator(**architecture)``: a module that maps ``(latents, labels)`` to float images in about −1..1. Its
        attribute ``latent`` is the length of the noise vector.
    discriminator : callable
        ``discriminator(**architecture, feature_widths=...)``: a module with a method ``score(images, labels)`` that
        gives float32 ``[N]``, higher for what it takes for real.
    architecture : callable
        ``architecture(settings, channels, findings)``: the keyword arguments of both, as written to generator.json.
    backward : callable
        ``backward(players, batch, settings)``, with a `Batch`: adds to both networks' gradients; returns named scalars
        of the step, on the device. The trainer zeroes gradients before, and takes both optimisers' step after.
    presets : mapping
        Settings per (scale, resolution).
    guided : bool
        Whether the discriminator also looks at the guide's features.
    training : callable, optional
        A subclass of `Training`, for families whose steps are others than its.
    """

    name: str
    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]
    architecture: Callable[[Any, int, int], dict[str, Any]]
    backward: Callable[[Players, Any, Any], dict[str, Tensor]]
    presets: Mapping[tuple[str, int], Settings]
    guided: bool = False
    training: Callable[..., Any] | None = None
