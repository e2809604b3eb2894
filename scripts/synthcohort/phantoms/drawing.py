"""What drawing a batch of simulated images gives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawing:
    """A batch of drawn images with their lesions.

    Attributes
    ----------
    images : numpy.ndarray
        float32 ``[n, side, side]``: Hounsfield units (head) or presentation values 0–1, 1 = white = dense (chest).
    masks : numpy.ndarray
        uint16 ``[n, side, side]``: bit k is set where finding k (in the order of the anatomy's FINDINGS) shows.
    spacing : numpy.ndarray
        float32 ``[n]``: side of a pixel in millimetres.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.uint16]
    spacing: NDArray[np.float32]
