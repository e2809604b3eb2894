"""What the discriminator looks at: the image, and frozen features of the guide (Sauer et al. 2021, arXiv 2111.01007).

The guide is a classifier trained on the same experiment's real images, so its features are in-domain: they show the
generator early which details carry the findings.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthcohort.gan.data import images_at_once
from synthcohort.gan.layers import ProjectionScore, activate, initialise


class Guide(Protocol):
    """A module with feature maps."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Map float images ``[N, C, H, W]`` in −1..1 to feature maps."""
        ...


class Views:
    """The image itself, followed by the guide's feature maps, each channel scaled to mean 0 and variance 1.

    Parameters
    ----------
    guide : module with ``features(images)``, optional
        Frozen here and set to evaluation; without a guide the image is the only view.
    sample : Tensor
        Real images, float ``[N, C, H, W]`` in −1..1, from which the scaling is measured.
    """

    def __init__(self, guide: nn.Module | None, sample: Tensor) -> None:
        self.guide = guide
        self.scaling: list[tuple[Tensor, Tensor]] = []
        if guide is None:
            return
        guide.eval().requires_grad_(False)
        blocks = sample.split(images_at_once(sample.shape[-1], len(sample)))
        found = []
        for images in blocks:
            with torch.no_grad():
                features = guide.features(images)  # type: ignore[operator]
            found.append([torch.std_mean(feature.float(), (0, 2, 3), keepdim=True) for feature in features])
        for layer in zip(*found, strict=True):
            deviations, means = (torch.stack(part) for part in zip(*layer, strict=True))
            shares = torch.tensor([len(images) / len(sample) for images in blocks]).to(means).view(-1, 1, 1, 1, 1)
            mean = (shares * means).sum(0)
            deviation = (shares * (deviations**2 + (means - mean) ** 2)).sum(0).sqrt()
            self.scaling.append((mean, 1 / deviation.clamp_min(1e-3)))

    @property
    def feature_widths(self) -> list[int]:
        """Channels of each feature map."""
        return [mean.shape[1] for mean, _ in self.scaling]

    def __call__(self, images: Tensor) -> list[Tensor]:
        """View float images; gradients flow through the guide to the images."""
        if self.guide is None:
            return [images]
        features = self.guide.features(images)  # type: ignore[operator]
        return [
            images,
            *((feature - mean) * scale for feature, (mean, scale) in zip(features, self.scaling, strict=True)),
        ]


class FeatureHead(nn.Module):
    """A light discriminator on one feature map: a strided 3×3 and a 1×1 convolution, mean, projection score."""

    def __init__(self, features: int, width: int, findings: int) -> None:
        super().__init__()
        self.first = initialise(nn.Conv2d(features, width, 3, stride=2))
        self.second = initialise(nn.Conv2d(width, width, 1))
        self.score = ProjectionScore(width, findings)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Score feature maps ``[N, C, h, w]`` under ``[N, findings]`` labels; returns ``[N]``."""
        # Padded by hand: on maps of 2² and less some weights see padding only, and oneDNN, where it pads itself, leaves
        # their gradients uninitialised.
        padded = functional.pad(features, (1, 1, 1, 1))
        hidden = activate(self.second(activate(self.first(padded))))
        return self.score(hidden.mean((2, 3)), labels)
