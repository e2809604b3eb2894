"""Attribution: which places of an image a classifier's answer for a finding comes from, by three methods."""

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, softplus

from synthcohort.classify.networks import (
    DENSENET_SIDE,
    DenseNet121,
    Network,
    PlainNet,
    SmallNet,
    build_network,
    to_input,
)
from synthcohort.core.store import Images

BLACK = -1.0
"""What blank means: the store's value 0 in every channel (a network's input is in [-1, 1]), black as in the paper."""
DENSENET_PATCH = 4
"""Side of an occluded patch on DenseNet-121's 224² input, as in the paper."""
PATCHES = 8
"""Patches along a side of the other networks' input."""
STEPS = 32
"""Points between black and the image at which Integrated Gradients takes gradients."""
SMALLEST_MAP = 4
"""Side of the smallest feature maps that Grad-CAM is taken from; 2² cannot tell places."""
PIXELS = 2**19
"""Pixels whose gradients are computed at a time: 512 images of 32², 10 of 224²; four times as many without."""

Maps = NDArray[np.float32]


def attribution_maps(network: Network, images: Images, finding: int, method: str) -> Maps:
    """Attribute a classifier's answer for one finding to places, in images that have the finding.

    In every map a positive value says that the place speaks for the finding; units differ between methods.

    Parameters
    ----------
    network : Network
        A trained classifier in evaluation mode, on the device where it is to compute.
    images : numpy.ndarray
        uint8 ``[n, C, H, W]``, positive for the finding.
    finding : int
        Position of the finding among the network's.
    method : str
        A name in `METHODS`.

    Returns
    -------
    numpy.ndarray
        float32 ``[n, H, W]``, at the images' side. A network that ignores its input has maps that are 0 everywhere.

    Raises
    ------
    ValueError
        When the network is in training mode, in which images of a batch act on each other.
    """
    if network.training:
        raise ValueError("attribution needs a network in evaluation mode")
    if not len(images):
        return np.empty((0, *images.shape[2:]), np.float32)
    maps = METHODS[method](network, _network_input(network, images), finding)
    return interpolate(maps[:, None].float(), images.shape[2:], mode="area")[:, 0].cpu().numpy()


def untrained(network: Network, seed: int) -> Network:
    """Give a network of the same design that has learnt nothing, as a control of what maps owe to the image alone.

    Maps that look the same without training explain the image, not the classifier (Adebayo et al., Sanity checks for
    saliency maps, 2018).
    """
    fresh = build_network(network.name, network.channels, network.findings, network.resolution, seed)
    return fresh.to(next(network.parameters()).device).eval().requires_grad_(False)


@torch.no_grad()
def occlusion(network: Network, inputs: Tensor, finding: int) -> Tensor:
    """Increase of the finding's loss (binary cross entropy, its label being 1) when a patch is blanked.

    Patches tile the input without overlap: `DENSENET_PATCH` pixels a side for DenseNet-121, else `PATCHES` of them
    along a side.

    Parameters
    ----------
    network : Network
        A classifier in evaluation mode.
    inputs : torch.Tensor
        float32 ``[n, C, h, w]`` at the side that the network computes at.
    finding : int
        Position of the finding.

    Returns
    -------
    torch.Tensor
        float64 ``[n, h, w]``: each pixel has its patch's value, in nats.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, 2014; as in DuMont Schütte et al. 2021.
    """
    side = inputs.shape[-1]
    patch = DENSENET_PATCH if isinstance(network, DenseNet121) else max(1, side // PATCHES)
    places = torch.arange(side, device=inputs.device) // patch  # of each row and column among the patches
    cells = int(places[-1]) + 1
    patch_of = places[:, None] * cells + places
    batch = 4 * _batch(side)

    def loss(images: Tensor) -> Tensor:
        # In float64, as the loss of a sure answer changes by less than float32 resolves.
        return softplus(-network(images)[:, finding].double())

    whole = torch.cat([loss(part) for part in inputs.split(batch)])
    pairs = torch.arange(len(inputs) * cells**2, device=inputs.device)
    blanked = []
    for part in pairs.split(batch):
        hidden = patch_of == (part % cells**2)[:, None, None]
        blanked.append(loss(inputs[part // cells**2].masked_fill(hidden[:, None], BLACK)))
    increase = torch.cat(blanked).view(len(inputs), cells**2) - whole[:, None]
    return increase[:, patch_of]


def integrated_gradients(network: Network, inputs: Tensor, finding: int) -> Tensor:
    """Integrate the logit's gradient from a black image to each image, times their difference, summed over channels.

    Pixels that are black have no attribution, whatever the network makes of them. A map's sum is the image's logit
    less that of a black image.

    Parameters
    ----------
    network, inputs, finding
        See `occlusion`.

    Returns
    -------
    torch.Tensor
        float32 ``[n, h, w]``, in logits.

    References
    ----------
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, 2017; the rule is Gauss and Legendre's.
    """
    method, batch = IntegratedGradients(network), _batch(inputs.shape[-1])
    parts = [
        method.attribute(part.requires_grad_(), BLACK, finding, n_steps=STEPS, internal_batch_size=batch).detach()
        for part in inputs.split(max(1, batch // STEPS))
    ]
    return torch.cat(parts).sum(1)


def grad_cam(network: Network, inputs: Tensor, finding: int) -> Tensor:
    """Weight a layer's feature maps with the mean gradient of the logit, sum them, and enlarge the sum.

    The maps are the coarsest that have at least `SMALLEST_MAP` pixels a side. Unlike the original, this keeps what is
    negative: without it up to half of a classifier's maps of the phantoms were 0 everywhere, and so had no order.

    The mean gradient forgets at which place a map counts: where a network weights places, as `SmallNet` does, Grad-CAM
    is a blunter tool than the other two.

    Parameters
    ----------
    network, inputs, finding
        See `occlusion`.

    Returns
    -------
    torch.Tensor
        float32 ``[n, h, w]``.

    References
    ----------
    Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization, 2017.
    """
    method = LayerGradCam(network, _grad_cam_layer(network))
    parts = [
        method.attribute(part.requires_grad_(), finding).detach() for part in inputs.split(_batch(inputs.shape[-1]))
    ]
    return interpolate(torch.cat(parts).float(), inputs.shape[2:], mode="bilinear")[:, 0]


METHODS: dict[str, Callable[[Network, Tensor, int], Tensor]] = {
    "occlusion": occlusion,
    "integrated_gradients": integrated_gradients,
    "grad_cam": grad_cam,
}
"""The methods by name, in the order in which they are shown."""


def _network_input(network: Network, images: Images) -> Tensor:
    """Images at the side that the network computes at: DenseNet-121 enlarges them itself, if they are not so before."""
    inputs = to_input(images, next(network.parameters()).device)
    if not isinstance(network, DenseNet121):
        return inputs
    return interpolate(inputs, (DENSENET_SIDE,) * 2, mode="bilinear", antialias=inputs.shape[-1] > DENSENET_SIDE)


def _grad_cam_layer(network: Network) -> nn.Module:
    if isinstance(network, DenseNet121):
        return network.net.features.norm5
    assert isinstance(network, SmallNet | PlainNet)
    sides = [network.resolution >> number + 1 for number in range(len(network.blocks))]
    return network.blocks[max(0, sum(side >= SMALLEST_MAP for side in sides) - 1)]


def _batch(side: int) -> int:
    return max(1, PIXELS // side**2)
