"""PNG and JPEG files as images of one grey channel: their size in front, their pixels when asked for.

Only size and pixels are taken from them: no text, no EXIF (its rotation neither), no resolution.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcohort.dicom.header import PICTURES, Header
from synthcohort.dicom.reasons import Reason, UnfitError

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
GREY_TOLERANCE = 3
"""Levels of 255 by which the channels of a grey image may differ after lossy compression."""
OPAQUE = 255


def is_picture(start: bytes) -> bool:
    """Whether a file that starts so is PNG or JPEG."""
    return start.startswith(MAGIC)


def picture_header(file: BinaryIO) -> Header:
    """Read the size and depth of a picture and none of its pixels.

    Raises
    ------
    UnfitError
        When the file is damaged.
    """
    with _opened(file) as image:
        columns, rows = image.size
        bits = 16 if image.mode.startswith("I") else 8
        return Header(
            transfer_syntax=image.format or "",
            sop_class="",
            sop_instance_uid="",
            study_uid="",
            series_uid="",
            position=(),
            patient_id="",
            modality="",
            image_type=(),
            synthetic=False,
            intent="",
            view="",
            burned_in="",
            samples=1,
            photometric="MONOCHROME2",
            frames=getattr(image, "n_frames", 1),
            rows=rows,
            columns=columns,
            bits_allocated=bits,
            bits_stored=bits,
            high_bit=bits - 1,
            signed=0,
            spacing=(1.0, 1.0),
            padding=None,
            slope=None,
            intercept=None,
            rescale_type="",
            window_centers=(),
            window_widths=(),
            window_function="",
            presentation_shape="",
            modality_lut=None,
            voi_lut=None,
        )


def decode_picture(data: bytes) -> NDArray[Any]:
    """Decode a picture whose header has passed `check.check_header`.

    Returns
    -------
    numpy.ndarray
        ``[rows, columns]`` of uint8, or uint16 where the file is 16-bit greyscale. Colour channels that all say the
        same are one grey channel.

    Raises
    ------
    UnfitError
        When the file is damaged, in colour, or transparent anywhere.
    """
    with _opened(io.BytesIO(data), Reason.UNDECODABLE) as image:
        if image.mode.startswith("I"):
            return np.asarray(image).astype(np.uint16)
        if image.has_transparency_data:
            pixels = np.asarray(image.convert("RGBA"))
            if (pixels[..., 3] != OPAQUE).any():
                raise UnfitError(Reason.TRANSPARENT)
            return _grey(pixels[..., :3])
        if image.mode in ("1", "L"):
            return np.asarray(image.convert("L"))
        if image.mode in ("P", "RGB"):
            return _grey(np.asarray(image.convert("RGB")))
        raise UnfitError(Reason.COLOUR)


def _grey(channels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One channel of ``[rows, columns, 3]``, if all three say the same."""
    if int(np.ptp(channels, axis=-1).max()) > GREY_TOLERANCE:
        raise UnfitError(Reason.COLOUR)
    return np.ascontiguousarray(channels[..., 1])


@contextmanager
def _opened(file: BinaryIO, damaged: Reason = Reason.DAMAGED) -> Iterator[Image.Image]:
    """Open a picture for a moment; whatever Pillow raises in it becomes a reason."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # `ingest.maximum_pixels` is the limit, and is checked before pixels are decoded
    try:
        with warnings.catch_warnings(), Image.open(file, formats=sorted(PICTURES)) as image:
            warnings.simplefilter("ignore")
            yield image
    except (MemoryError, UnfitError):
        raise
    except Exception as error:  # a hostile or broken file may raise anything
        raise UnfitError(Reason.CUT_OFF if "truncated" in str(error).lower() else damaged) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
