"""From a file's bytes to its header: no more is read than is asked for, and no word of pydicom's gets out.

pydicom's messages and warnings quote the file, and so could name a patient. Its `dcmread` is not used: it builds a data
set several times over, inflates without a limit, and takes a file that ends too early for one without attributes.
"""

import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from synthcohort.dicom.header import MEDIA_DIRECTORY, TAGS, Header, parse_header, text_values
from synthcohort.dicom.picture import MAGIC_BYTES, is_picture, picture_header
from synthcohort.dicom.reasons import Reason, UnfitError

PIXEL_DATA = Tag(0x7FE0, 0x0010)
_PREAMBLE, _PREFIX = 128, b"DICM"
_META_GROUP = 0x0002
_MEDIA_CLASS, _TRANSFER_SYNTAX = Tag(_META_GROUP, 0x0002), Tag(_META_GROUP, 0x0010)
_CHARACTER_SET = Tag(0x0008, 0x0005)
_HEADER_TAGS: list[BaseTag | int] = [*TAGS]  # plain integers: pydicom's tags compare slowly
_PIXELS = int(PIXEL_DATA)
_ALL_TAGS: list[BaseTag | int] = [*_HEADER_TAGS, _PIXELS]
_WANTED = frozenset({*TAGS, int(_CHARACTER_SET)})
_SHORT = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_16)  # PS3.5 7.1.2: 16 bits of length
_LONG = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_EXPLICIT, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<L")
_HEAD = 1 << 16  # bytes of a file that hold most headers
_INFLATION_STEP = 1 << 20
_DEFERRED = 1 << 18  # bytes; of our attributes only pixel data is ever this long
# Compressed pixels are never deferred: where they end stands nowhere but in themselves.
_DEFERRABLE = frozenset({ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian})


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
        When it cannot be opened, is no DICOM, PNG or JPEG, or holds no readable header.
    """
    try:
        with open(path, "rb") as file:
            if is_picture(file.read(MAGIC_BYTES)):
                file.seek(0)
                return picture_header(file)
            file.seek(0)
            return _read(file, maximum_pixels)[1]
    except OSError as error:
        raise UnfitError(Reason.CANNOT_OPEN) from error


def read_image(data: bytes, maximum_pixels: int) -> tuple[Dataset, Header]:
    """Parse a whole file that is in memory.

    Returns
    -------
    dataset : pydicom.Dataset
        With pixel data still encoded; for `decode.decode`.
    header : Header

    Raises
    ------
    UnfitError
        As for `read_header`.
    """
    return _read(io.BytesIO(data), maximum_pixels, data)


def _read(file: BinaryIO, maximum_pixels: int, data: bytes | None = None) -> tuple[Dataset, Header]:
    """Read a header, and the pixel data where `data`, the bytes behind `file`, is given."""
    try:
        if file.read(_PREAMBLE + len(_PREFIX))[_PREAMBLE:] != _PREFIX:
            raise UnfitError(Reason.NOT_DICOM)
        meta = Dataset({element.tag: element for element in data_element_generator(file, False, True, _behind_meta)})
        if text_values(meta, _MEDIA_CLASS)[0] == MEDIA_DIRECTORY:
            raise UnfitError(Reason.DICOMDIR)
        transfer_syntax = text_values(meta, _TRANSFER_SYNTAX)[0]
        if transfer_syntax == DeflatedExplicitVRLittleEndian:
            inflated = _inflate(file.read(), _byte_limit(maximum_pixels))
            file, data = io.BytesIO(inflated), None if data is None else inflated
        dataset = _read_dataset(file, transfer_syntax, data)
        return dataset, parse_header(dataset, transfer_syntax)
    except (MemoryError, UnfitError):
        raise
    except OSError as error:
        raise UnfitError(Reason.CANNOT_OPEN) from error
    except EOFError as error:  # a value of undefined length without its end: compressed pixels, or a sequence
        raise UnfitError(Reason.DAMAGED if data is None else Reason.CUT_OFF) from error
    except Exception as error:  # a hostile or broken file may raise anything
        raise UnfitError(Reason.DAMAGED) from error


def _read_dataset(file: BinaryIO, transfer_syntax: str, data: bytes | None) -> Dataset:
    implicit, little = transfer_syntax == ImplicitVRLittleEndian, transfer_syntax != ExplicitVRBigEndian
    start = file.tell()
    found: list[RawDataElement | DataElement] = []
    if little:
        head = file.read(_HEAD) if data is None else memoryview(data)[start:]
        wanted, length = _wanted_elements(head, implicit)
        found += data_element_generator(io.BytesIO(wanted), implicit, little)
        file.seek(start + length)
    if data is None:
        found += data_element_generator(file, implicit, little, _at_pixels, specific_tags=_HEADER_TAGS)
    else:
        deferred = _DEFERRED if transfer_syntax in _DEFERRABLE else None
        found += data_element_generator(file, implicit, little, defer_size=deferred, specific_tags=_ALL_TAGS)
    elements = {element.tag: element for element in found}
    pixels = elements.get(PIXEL_DATA)
    if data is not None and isinstance(pixels, RawDataElement) and pixels.value is None and pixels.length:
        # Native pixels are looked at where they lie: a copy of each file would cost as much as reading it.
        value: Any = memoryview(data)[pixels.value_tell : pixels.value_tell + pixels.length]
        elements[PIXEL_DATA] = pixels._replace(value=value)
    dataset = Dataset(elements)
    dataset.set_original_encoding(implicit, little, convert_encodings(text_values(dataset, _CHARACTER_SET)))
    return dataset


def _wanted_elements(data: bytes | memoryview, implicit: bool) -> tuple[bytes, int]:
    """Pick the wanted elements from the beginning of a data set: pydicom takes five times as long to pass over others.

    Returns
    -------
    elements : bytes
        As they stand in `data`.
    length : int
        How far that went: up to the pixels, the end, or the first element that is out of the ordinary, for pydicom.
    """
    kept, position, end = [], 0, len(data)
    while position + 12 <= end:
        group, element, vr, length = _EXPLICIT.unpack_from(data, position)
        value = position + 8
        if implicit:
            (length,) = _LENGTH.unpack_from(data, position + 4)
        elif vr in _LONG:
            (length,) = _LENGTH.unpack_from(data, value)
            value += 4
        elif vr not in _SHORT:
            break
        tag = group << 16 | element
        if tag >= _PIXELS or length == _UNDEFINED_LENGTH or value + length > end:
            break
        if tag in _WANTED:
            kept.append(data[position : value + length])
        position = value + length
    return b"".join(kept), position


def _behind_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != _META_GROUP


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= _PIXELS


def _byte_limit(maximum_pixels: int) -> int:
    """Room for 16-bit pixels and as much again, and for a generous header."""
    return 4 * maximum_pixels + (64 << 20)


def _inflate(data: bytes, limit: int) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5), unless it would fill the memory."""
    inflater, parts, size = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    while not inflater.eof:
        parts.append(inflater.decompress(data, _INFLATION_STEP))
        size += len(parts[-1])
        if size > limit:
            raise UnfitError(Reason.TOO_LARGE)
        if not parts[-1] and not inflater.unconsumed_tail:
            raise UnfitError(Reason.CUT_OFF)
        data = inflater.unconsumed_tail
    return b"".join(parts)
