"""From encoded pixel data to stored values, with every silent failure of decoding made loud."""

import io
import struct
from contextlib import nullcontext
from typing import Any

import numpy as np
from imagecodecs import packbits_decode
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from synthcohort.dicom.codestream import JPEG_COMPLAINT, captured_stderr, check_codestream
from synthcohort.dicom.header import Header
from synthcohort.dicom.read import PIXEL_DATA
from synthcohort.dicom.reasons import Reason, UnfitError

Stored = NDArray[Any]
"""``[rows, columns]`` of 8- or 16-bit integers as they stand in the file."""

# One named decoder each: when the named one fails, pydicom would otherwise try others, and some return garbage.
# Without a name it is decoded here.
DECODERS: dict[str, str] = {
    ImplicitVRLittleEndian: "",
    ExplicitVRLittleEndian: "",
    DeflatedExplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    RLELossless: "",
    JPEGBaseline8Bit: "gdcm",
    JPEGExtended12Bit: "gdcm",  # 8 bits only: nothing that we may ship decodes 12
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "gdcm",
    JPEG2000: "gdcm",
}
RLE_SLACK = 1 << 16
"""Bytes that a segment may decode to beyond its pixels: some writers pad."""
NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian})


def decode(dataset: Dataset, header: Header) -> tuple[Stored, NDArray[np.bool_] | None]:
    """Decode a checked header's pixel data.

    Parameters
    ----------
    dataset : pydicom.Dataset
        From `read.read_image`.
    header : Header
        That has passed `check.check_header`.

    Returns
    -------
    stored : numpy.ndarray
        ``[rows, columns]``, values of exactly `bits_stored` bits, signed or not.
    padding : numpy.ndarray or None
        bool ``[rows, columns]``: where nothing was measured (PS3.3 C.7.5.1.1.2); None where that is nowhere.

    Raises
    ------
    UnfitError
        When there are no pixels, too few or too many, or when they cannot be decoded.
    """
    syntax = UID(header.transfer_syntax)
    try:
        element = dataset.get_item(PIXEL_DATA)
        data: Any = element.value if element is not None else b""
        if not data:
            raise UnfitError(Reason.NO_PIXELS)
        if syntax == RLELossless:
            stored = _decode_rle(_fragments(data, header)[0], header)
        elif syntax.is_encapsulated:
            check_codestream(_fragments(data, header), header)
            stored = _decode(dataset, syntax)
        else:
            _check_length(len(data), header)
            stored = _native(data, header) if syntax in NATIVE else _decode(dataset, syntax)
    except (MemoryError, UnfitError):
        raise
    except Exception as error:  # decoders raise what they like
        raise UnfitError(Reason.UNDECODABLE) from error
    if stored.shape != (header.rows, header.columns):
        raise UnfitError(Reason.CODESTREAM)
    padding = _padding_mask(stored, header)
    return _clear_unused_bits(stored, header), padding


def _native(data: bytes | memoryview, header: Header) -> Stored:
    """Look at little-endian pixels as they are (PS3.5 8.2); asking pydicom would cost more than all the rest."""
    pixels = np.frombuffer(data, f"<{'i' if header.signed else 'u'}{header.bits_allocated // 8}")
    return pixels[: header.rows * header.columns].reshape(header.rows, header.columns)


def _decode(dataset: Dataset, syntax: UID) -> Stored:
    complaints: list[bytes] = []
    with captured_stderr(complaints) if DECODERS[syntax] == "gdcm" else nullcontext():
        # Unused high bits of native data are cleared later, after the padding value was looked for among them.
        stored, _ = get_decoder(syntax).as_array(
            dataset,
            raw=True,
            decoding_plugin=DECODERS[syntax],
            allow_excess_frames=False,  # type: ignore[arg-type]
            correct_unused_bits=syntax.is_encapsulated,  # type: ignore[arg-type]
        )
    if any(JPEG_COMPLAINT in complaint for complaint in complaints):
        raise UnfitError(Reason.UNDECODABLE)
    return stored


def _check_length(length: int, header: Header) -> None:
    expected = header.rows * header.columns * header.bits_allocated // 8
    if length < expected:
        raise UnfitError(Reason.SHORT)
    if length > expected + expected % 2:
        raise UnfitError(Reason.LONG)


def _fragments(data: bytes, header: Header) -> list[bytes]:
    """Take the one frame's fragments out of their capsule (PS3.5 A.4)."""
    buffer = io.BytesIO(data)
    offsets = parse_basic_offsets(buffer)
    fragments = list(generate_fragments(buffer))
    if not fragments:
        raise UnfitError(Reason.NO_PIXELS)
    # With run-length encoding each fragment is one frame (PS3.5 A.4.2).
    if len(offsets) > 1 or (header.transfer_syntax == RLELossless and len(fragments) > 1):
        raise UnfitError(Reason.FRAMES)
    return fragments


def _decode_rle(frame: bytes, header: Header) -> Stored:
    """Put a run-length encoded image together: its most significant bytes lie in the first segment (PS3.5 annex G).

    pydicom takes four times as long, and pylibjpeg-rle panics at damaged segments.
    """
    count, *offsets = struct.unpack_from("<16L", frame)
    pixels, size = header.rows * header.columns, header.bits_allocated // 8
    if count != size:
        raise UnfitError(Reason.CODESTREAM)
    stored = np.empty((pixels, size), np.uint8)
    for segment, end in enumerate([*offsets[1:size], len(frame)]):
        decoded = packbits_decode(frame[offsets[segment] : end], out=pixels + RLE_SLACK)
        stored[:, size - 1 - segment] = np.frombuffer(decoded, np.uint8, pixels)
    values = stored.view(f"<{'i' if header.signed else 'u'}{size}").reshape(header.rows, header.columns)
    return _clear_unused_bits(values, header)


def _padding_mask(stored: Stored, header: Header) -> NDArray[np.bool_] | None:
    if header.padding is None:
        return None
    low, high = header.padding
    mask = stored == low if low == high else (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _clear_unused_bits(stored: Stored, header: Header) -> Stored:
    """Sign-extend or zero what stands above `bits_stored`, if anything does (PS3.5 8.1.1: overlays once did)."""
    if header.bits_stored == header.bits_allocated:
        return stored
    values = 1 << header.bits_stored
    low = -values // 2 if header.signed else 0
    if low <= stored.min() and stored.max() < low + values:
        return stored
    shift = header.bits_allocated - header.bits_stored
    stored = stored.astype(stored.dtype.newbyteorder("="))
    return (stored << shift) >> shift
