"""What a discriminator may see of an image, so that it cannot learn a few images by heart.

Differentiable augmentation of real *and* synthetic images (Zhao et al. 2020, arXiv 2006.10738; Karras et al. 2020,
arXiv 2006.06676). Each kind is applied to an image with a probability below 1, so that the plain image stays the
likeliest and augmentations do not leak into samples. None mirrors: side can carry meaning.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

KINDS = ("translation", "scaling", "rotation", "intensity", "cutout")
TRANSLATION = 0.125  # at most, share of the side
SCALING = 0.15  # standard deviation of the logarithm of the scale
ROTATION = math.radians(10)  # standard deviation
BRIGHTNESS, CONTRAST = 0.2, 0.2  # standard deviations: of a shift in −1..1, of the logarithm of a factor
CUTOUT = 0.4  # side of the square that is blanked, share of the side


class Augmentation:
    """Augments batches, differently at every call, as the random stream goes on.

    Parameters
    ----------
    kinds : sequence of str
        Which of `KINDS`.
    probability : float
        Of each kind, for each image.
    stream : numpy.random.Generator
        Where all randomness comes from.
    size : int
        Images of the whole batch.
    part : slice
        The images of it that are given.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        probability: float,
        stream: np.random.Generator,
        size: int,
        part: slice = slice(None),
    ) -> None:
        self.kinds, self.probability, self.stream, self.size, self.part = kinds, probability, stream, size, part

    def __call__(self, images: Tensor) -> Tensor:
        """Augment float images ``[N, C, H, W]`` in −1..1."""
        if self.probability == 0 or not self.kinds:
            return images
        applied = self._uniform(len(KINDS)) < self.probability
        on = {kind: applied[:, number] & (kind in self.kinds) for number, kind in enumerate(KINDS)}
        normal = torch.from_numpy(self.stream.standard_normal((self.size, 4), dtype=np.float32)[self.part])
        where = self._uniform(4)
        images = self._move(images, on, normal, where)
        if "intensity" in self.kinds:
            factor = torch.where(on["intensity"], (CONTRAST * normal[:, 2]).exp(), 1.0)
            shift = torch.where(on["intensity"], BRIGHTNESS * normal[:, 3], 0.0)
            images = images * _per_image(factor, images) + _per_image(shift, images)
        if "cutout" in self.kinds:
            images = self._cut(images, on["cutout"], where[:, 2:])
        return images

    def _uniform(self, columns: int) -> Tensor:
        return torch.from_numpy(self.stream.random((self.size, columns), dtype=np.float32)[self.part])

    def _move(self, images: Tensor, on: dict[str, Tensor], normal: Tensor, where: Tensor) -> Tensor:
        """Translate, scale and rotate in one resampling; what enters from outside continues the edge."""
        if not {"translation", "scaling", "rotation"} & set(self.kinds):
            return images
        scale = torch.where(on["scaling"], (SCALING * normal[:, 0]).exp(), 1.0)
        angle = torch.where(on["rotation"], ROTATION * normal[:, 1], 0.0)
        shift = torch.where(on["translation"][:, None], (where[:, :2] * 2 - 1) * 2 * TRANSLATION, 0.0)
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        matrix = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
        affine = torch.cat([matrix, shift[:, :, None]], 2).to(images.device)
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        return functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)

    def _cut(self, images: Tensor, on: Tensor, where: Tensor) -> Tensor:
        """Blank a square, which may reach over the edge."""
        side = images.shape[-1]
        pixels = torch.arange(side, dtype=torch.float32)
        near = [(pixels[None] + 0.5 - where[:, axis, None] * side).abs() < CUTOUT * side / 2 for axis in range(2)]
        square = near[0][:, :, None] & near[1][:, None, :] & on[:, None, None]
        return images.masked_fill(square[:, None].to(images.device), -1.0)


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device, images.dtype).view(-1, 1, 1, 1)
