"""From a file's bytes to its header and its stored pixel values, with every silent failure of decoding made loud.

pydicom's messages and warnings quote the file, and so could name a patient: nothing of them leaves this module.
"""

import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.errors import InvalidDicomError
from pydicom.pixels import get_decoder
from pydicom.tag import Tag
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
from synthcohort.dicom.header import MEDIA_DIRECTORY, TAGS, Header, parse_header, text_value
from synthcohort.dicom.reasons import Reason, UnfitError

Stored = NDArray[Any]
"""``[rows, columns]`` of 8- or 16-bit integers as they stand in the file."""

# One named decoder each: when the named one fails, pydicom would otherwise try others, and some return garbage.
DECODERS: dict[str, str] = {
    ImplicitVRLittleEndian: "",
    ExplicitVRLittleEndian: "",
    DeflatedExplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    RLELossless: "pydicom",
    JPEGBaseline8Bit: "gdcm",
    JPEGExtended12Bit: "gdcm",  # 8 bits only: nothing that we may ship decodes 12
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "gdcm",
    JPEG2000: "gdcm",
}
# Little-endian pixels are looked at where they lie: copying and asking pydicom would cost more than all the rest.
IN_PLACE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian})
PIXEL_DATA = Tag(0x7FE0, 0x0010)
MEDIA_CLASS, TRANSFER_SYNTAX = Tag(0x0002, 0x0002), Tag(0x0002, 0x0010)
_HEADER_TAGS = list(TAGS.values())
_ALL_TAGS = [*_HEADER_TAGS, PIXEL_DATA]
_INFLATION_STEP = 1 << 20
_DEFERRED = 1 << 18  # bytes; of our attributes only pixel data is ever this long


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom, whose warnings quote values: wrap every loop over files in it."""
    log = logging.getLogger("pydicom")
    mode, level = pydicom.config.settings.reading_validation_mode, log.level
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        pydicom.config.settings.reading_validation_mode = mode


def read_bytes(path: str | Path, maximum_pixels: int) -> bytes:
    """Read a whole file, unless it is far larger than its image may be.

    Raises
    ------
    UnfitError
        When it cannot be opened or is too large.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _byte_limit(maximum_pixels):
                raise UnfitError(Reason.TOO_LARGE)
            return file.read()
    except OSError as error:
        raise UnfitError(Reason.CANNOT_OPEN) from error


def read_header(path: str | Path, maximum_pixels: int) -> Header:
    """Read a file's header and none of its pixels.

    Raises
    ------
    UnfitError
        When it cannot be opened, is no DICOM or holds no readable header.
    """
    try:
        with open(path, "rb") as file:
            return _read(file, maximum_pixels, pixels=False)[1]
    except OSError as error:
        raise UnfitError(Reason.CANNOT_OPEN) from error


def read_image(data: bytes, maximum_pixels: int) -> tuple[Dataset, Header]:
    """Parse a whole file that is in memory.

    Returns
    -------
    dataset : pydicom.Dataset
        With pixel data still encoded; for `decode`.
    header : Header

    Raises
    ------
    UnfitError
        As for `read_header`.
    """
    dataset, header = _read(io.BytesIO(data), maximum_pixels, pixels=True)
    element = dataset.get_item(PIXEL_DATA)
    if isinstance(element, RawDataElement) and element.value is None:  # put off: look at it where it lies
        value: Any = memoryview(data)[element.value_tell : element.value_tell + element.length]
        if header.transfer_syntax not in IN_PLACE:
            value = bytes(value)
        dataset[PIXEL_DATA] = element._replace(value=value)
    return dataset, header


def _read(file: BinaryIO, maximum_pixels: int, pixels: bool) -> tuple[Dataset, Header]:
    try:
        deflated = _refuse_inflation(file, _byte_limit(maximum_pixels))
        dataset = pydicom.dcmread(
            file,
            defer_size=_DEFERRED if pixels and not deflated else None,
            specific_tags=_ALL_TAGS if pixels else _HEADER_TAGS,
            stop_before_pixels=not pixels,
        )
        if text_value(dataset.file_meta, MEDIA_CLASS) == MEDIA_DIRECTORY:
            raise UnfitError(Reason.DICOMDIR)
        return dataset, parse_header(dataset, text_value(dataset.file_meta, TRANSFER_SYNTAX))
    except (MemoryError, UnfitError):
        raise
    except OSError as error:
        raise UnfitError(Reason.CANNOT_OPEN) from error
    except InvalidDicomError as error:
        raise UnfitError(Reason.NOT_DICOM) from error
    except Exception as error:  # a hostile or broken file may raise anything
        raise UnfitError(Reason.DAMAGED) from error


def _byte_limit(maximum_pixels: int) -> int:
    """Room for 16-bit pixels and as much again, and for a generous header."""
    return 4 * maximum_pixels + (64 << 20)


def _refuse_inflation(file: BinaryIO, limit: int) -> bool:
    """Refuse a deflated file (PS3.5 A.5) that would fill the memory, before pydicom inflates it at one go.

    Returns whether the file is deflated.
    """
    start = file.read(1024)
    deflated = DeflatedExplicitVRLittleEndian.encode() in start and len(start) > 144
    if deflated:
        (length,) = struct.unpack("<I", start[140:144])
        file.seek(144 + length)
        inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        rest = file.read()
        while rest and not inflater.eof and size <= limit:
            size += len(inflater.decompress(rest, _INFLATION_STEP))
            rest = inflater.unconsumed_tail
        if size > limit:
            raise UnfitError(Reason.TOO_LARGE)
    file.seek(0)
    return deflated


def decode(dataset: Dataset, header: Header) -> tuple[Stored, NDArray[np.bool_] | None]:
    """Decode a checked header's pixel data.

    Parameters
    ----------
    dataset : pydicom.Dataset
        From `read_image`.
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
        if syntax.is_encapsulated:
            _check_encapsulated(data, header)
        else:
            _check_length(len(data), header)
        stored = _native(data, header) if syntax in IN_PLACE else _decode(dataset, syntax)
    except (MemoryError, UnfitError):
        raise
    except Exception as error:  # decoders raise what they like
        raise UnfitError(Reason.UNDECODABLE) from error
    if stored.shape != (header.rows, header.columns):
        raise UnfitError(Reason.CODESTREAM)
    padding = _padding_mask(stored, header)
    return _clear_unused_bits(stored, header), padding


def _native(data: bytes | memoryview, header: Header) -> Stored:
    """Look at little-endian pixels as they are (PS3.5 8.2)."""
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


def _check_encapsulated(data: bytes, header: Header) -> None:
    """One frame, whole, of the size in the header (PS3.5 A.4)."""
    buffer = io.BytesIO(data)
    offsets = parse_basic_offsets(buffer)
    fragments = list(generate_fragments(buffer))
    if not fragments:
        raise UnfitError(Reason.NO_PIXELS)
    if len(offsets) > 1:
        raise UnfitError(Reason.FRAMES)
    if header.transfer_syntax == RLELossless:
        if len(fragments) > 1:  # each fragment is one frame (PS3.5 A.4.2)
            raise UnfitError(Reason.FRAMES)
    else:
        check_codestream(fragments, header)


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
