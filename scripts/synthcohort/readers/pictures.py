"""What is sent to readers for an image: its grey values, enlarged, and nothing else."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcohort.core.atomic import atomic_path, file_digest
from synthcohort.core.errors import UserError

Pixels = NDArray[np.uint8]


def enlarge(image: Pixels, side: int) -> Pixels:
    """Bring an image to the side at which readers see it, by bicubic interpolation (Keys 1981).

    Parameters
    ----------
    image : numpy.ndarray
        uint8 ``[C, H, W]``; of several channels the first is shown, as several windows at once would make colours that
        mean nothing.
    side : int
        At least H and W.

    Returns
    -------
    numpy.ndarray
        uint8 ``[side, side]``.

    Raises
    ------
    UserError
        When the image is larger than `side`.
    """
    if max(image.shape[-2:]) > side:
        raise UserError(
            f"config key readers.side: images of {image.shape[-1]} pixels would be shown at {side}, with less "
            f"detail than they have; set it to at least {max(image.shape[-2:])}."
        )
    return np.asarray(Image.fromarray(image[0]).resize((side, side), Image.Resampling.BICUBIC))


def write_pictures(path: Path, pictures: list[Pixels], mode: int = 0o644) -> str:
    """Write pictures of one size behind one another; return the file's digest.

    Bare grey values have no header, no compression and no name: every picture is sent as the same number of bytes.
    """
    with atomic_path(path, mode) as temporary:
        with open(temporary, "wb") as file:
            for picture in pictures:
                file.write(np.ascontiguousarray(picture).data)
        return file_digest(temporary)


class Pictures:
    """Reads single pictures of a file by `write_pictures`, from any thread.

    Parameters
    ----------
    path : Path
        The file.
    side : int
        Side of every picture.
    digest : str
        What the file's digest must be.

    Raises
    ------
    UserError
        When the file is missing, or was changed after it was built.
    """

    def __init__(self, path: Path, side: int, digest: str) -> None:
        if not path.is_file() or file_digest(path) != digest:
            raise UserError(
                f"reader study {path.parent.name}: {path.name} is missing or was changed after it was built; copy the "
                "folder again from where it was built."
            )
        self._size = side * side
        self._file = os.open(path, os.O_RDONLY)

    def __getitem__(self, number: int) -> bytes:
        return os.pread(self._file, self._size, number * self._size)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
