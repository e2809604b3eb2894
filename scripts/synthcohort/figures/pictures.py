"""Laying out images on a page measured in inches."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

Images = NDArray[np.uint8]
GAP = 0.06
"""Gap between two images, in image widths."""
CHARACTER = 0.048
"""Width of an average character at 6 pt, inches."""


def first_channel(images: NDArray[Any]) -> Images:
    """Drop all channels but the first: several windows shown at once would make colours that mean nothing."""
    return np.asarray(images[:, 0] if images.ndim == 4 else images, np.uint8)


def wrap(text: str, width: float) -> str:
    """Break each line of 6 pt text that is wider than `width` inches."""
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, int(width / CHARACTER)))


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure whose one panel counts inches from its upper left corner."""
    figure = Figure((width, height))
    panel = figure.add_axes((0, 0, 1, 1))
    panel.set(xlim=(0, width), ylim=(height, 0))
    panel.axis("off")
    return figure, panel


def place_image(panel: Axes, image: Images, x: float, y: float, side: float) -> None:
    """Show one image with its upper left corner at (x, y), `side` inches wide."""
    bottom = y + side * image.shape[0] / image.shape[1]
    picture = AxesImage(panel, interpolation="nearest", extent=(x, x + side, bottom, y))
    picture.set_data(np.repeat(image[..., None], 3, axis=-1))  # grey as RGB: a colour map takes twice as long
    panel.add_image(picture)
