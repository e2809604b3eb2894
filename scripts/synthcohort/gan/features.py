"""What a stop rule measures distances in: features of the guide, or of Inception-v3 where its weights are given."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from synthcohort.classify.weights import STOP_KEY, load_inception_weights
from synthcohort.core.errors import UserError

BATCH = 100
INCEPTION_SIDE = 299


class Features(Protocol):
    """Maps images to vectors, and says by what."""

    name: str

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images ``[N, C, H, W]`` in −1..1 to ``[N, D]``."""
        ...


class GuideFeatures:
    """The penultimate vector of a classifier trained on real images of the same experiment."""

    def __init__(self, guide: nn.Module) -> None:
        self.guide = guide
        self.name = f"guide ({guide.name})"

    def __call__(self, images: Tensor) -> Tensor:
        """See `Features`."""
        return self.guide.pooled(images)  # type: ignore[operator]


class InceptionFeatures:
    """Inception-v3's pooled features (torchvision's network, at 299²), as in the Fréchet Inception Distance.

    Parameters
    ----------
    weights : str
        ``download`` or the path of a weights file.
    device : torch.device
        Where to compute.
    """

    def __init__(self, weights: str, device: torch.device) -> None:
        from torchvision.models import inception_v3

        state, digest = load_inception_weights(weights)
        self.network = inception_v3(weights=None, init_weights=False)
        try:
            self.network.load_state_dict(state)
        except RuntimeError:
            raise UserError(
                f"{STOP_KEY}: the file does not hold all weights of torchvision's Inception-v3; give another path."
            ) from None
        self.network.fc = nn.Identity()
        self.network.eval().requires_grad_(False).to(device)
        self.name = f"inception-v3 (torchvision, weights {digest[:12]})"

    def __call__(self, images: Tensor) -> Tensor:
        """See `Features`; channels are repeated or left out to make three."""
        images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, [0, 1, -1]]
        large = functional.interpolate(images, (INCEPTION_SIDE, INCEPTION_SIDE), mode="bilinear", antialias=True)
        return self.network(large)


def feature_vectors(features: Features, blocks: Iterable[Tensor]) -> NDArray[np.float32]:
    """Features of blocks of float images, float32 ``[N, D]``."""

    def vectors() -> Iterator[NDArray[np.float32]]:
        for images in blocks:
            for part in images.split(BATCH):
                with torch.no_grad():
                    yield features(part).float().cpu().numpy()

    return np.concatenate(list(vectors()))
