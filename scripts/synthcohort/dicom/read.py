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
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
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
from synthcohort.dicom.picture import is_picture, picture_header
from synthcohort.dicom.reasons import Reason, UnfitError

PIXEL_DATA = Tag(0x7FE0, 0x0010)
_PREAMBLE, _PREFIX = 128, b"DICM"
_META_GROUP = 0x0002
_MEDIA_CLASS, _TRANSFER_SYNTAX = Tag(_META_GROUP, 0x0002), Tag(_META_GROUP, 0x0010)
_META_WANTED = frozenset({int(_MEDIA_CLASS), int(_TRANSFER_SYNTAX)})
_META_TAGS = range(_META_GROUP << 16, (_META_GROUP + 1) << 16)
_CHARACTER_SET = Tag(0x0008, 0x0005)
_HEADER_TAGS: list[BaseTag | int] = [*TAGS]  # plain integers: pydicom's tags compare slowly
_PIXELS = int(PIXEL_DATA)
_TAGS_BEFORE_PIXELS = range(_PIXELS)
_ALL_TAGS: list[BaseTag | int] = [*_HEADER_TAGS, _PIXELS]
_WANTED = frozenset({*TAGS, int(_CHARACTER_SET)})
_SHORT = {vr.encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_16}  # PS3.5 7.1.2: 16 bits of length
_LONG = {vr.encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_32}
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
            head = file.read(_HEAD)
            if is_picture(head):
                file.seek(0)
                return picture_header(file)
            return _read(file, head, maximum_pixels)[1]
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
    return _read(io.BytesIO(data), data, maximum_pixels, whole=True)


def _read(file: BinaryIO, head: bytes, maximum_pixels: int, whole: bool = False) -> tuple[Dataset, Header]:
    """Read a header; where `head`, the beginning of `file`, is the whole of it, the pixel data too."""
    try:
        if head[_PREAMBLE : _PREAMBLE + len(_PREFIX)] != _PREFIX:
            raise UnfitError(Reason.NOT_DICOM)
        found, start = _scan(head, _PREAMBLE + len(_PREFIX), False, _META_WANTED, _META_TAGS)
        file.seek(start)
        found += data_element_generator(file, False, True, _behind_meta)
        meta = {element.tag: element for element in found}
        if _plain_text(meta.get(_MEDIA_CLASS)) == MEDIA_DIRECTORY:
            raise UnfitError(Reason.DICOMDIR)
        transfer_syntax = _plain_text(meta.get(_TRANSFER_SYNTAX))
        start = file.tell()
        if transfer_syntax == DeflatedExplicitVRLittleEndian:
            head, start = _inflate(file.read(), _byte_limit(maximum_pixels)), 0
            file = io.BytesIO(head)
        dataset = _read_dataset(file, head, start, transfer_syntax, whole)
        return dataset, parse_header(dataset, transfer_syntax)
    except (MemoryError, UnfitError):
        raise
    except OSError as error:
        raise UnfitError(Reason.CANNOT_OPEN) from error
    except EOFError as error:  # a value of undefined length without its end: compressed pixels, or a sequence
        raise UnfitError(Reason.CUT_OFF if whole else Reason.DAMAGED) from error
    except Exception as error:  # a hostile or broken file may raise anything
        raise UnfitError(Reason.DAMAGED) from error


def _read_dataset(file: BinaryIO, head: bytes, start: int, transfer_syntax: str, whole: bool) -> Dataset:
    implicit, little = transfer_syntax == ImplicitVRLittleEndian, transfer_syntax != ExplicitVRBigEndian
    found: list[RawDataElement | DataElement] = []
    if little:
        found, start = _scan(head, start, implicit, _WANTED, _TAGS_BEFORE_PIXELS)
    file.seek(start)
    if not whole:
        found += data_element_generator(file, implicit, little, _at_pixels, specific_tags=_HEADER_TAGS)
    else:
        deferred = _DEFERRED if transfer_syntax in _DEFERRABLE else None
        found += data_element_generator(file, implicit, little, defer_size=deferred, specific_tags=_ALL_TAGS)
    elements = {element.tag: element for element in found}
    pixels = elements.get(PIXEL_DATA)
    if whole and isinstance(pixels, RawDataElement) and pixels.value is None and pixels.length:
        # Native pixels are looked at where they lie: a copy of each file would cost as much as reading it.
        value: Any = memoryview(head)[pixels.value_tell : pixels.value_tell + pixels.length]
        elements[PIXEL_DATA] = pixels._replace(value=value)
    dataset = Dataset(elements)
    dataset.set_original_encoding(implicit, little, convert_encodings(text_values(dataset, _CHARACTER_SET)))
    return dataset


def _scan(
    data: bytes, position: int, implicit: bool, wanted: frozenset[int], tags: range
) -> tuple[list[RawDataElement | DataElement], int]:
    """Pick the wanted elements from plain little-endian ones: pydicom takes five times as long to pass over others.

    Returns
    -------
    elements : list of pydicom.dataelem.RawDataElement
        As pydicom would give them.
    position : int
        How far that went: up to a tag that is none of `tags`, the end, or the first element that is out of the
        ordinary, for pydicom.
    """
    kept: list[RawDataElement | DataElement] = []
    end, name = len(data), None
    while position + 12 <= end:
        group, element, vr, length = _EXPLICIT.unpack_from(data, position)
        value = position + 8
        if implicit:
            (length,) = _LENGTH.unpack_from(data, position + 4)
        elif not (name := _SHORT.get(vr)):
            if not (name := _LONG.get(vr)):
                break
            (length,) = _LENGTH.unpack_from(data, value)
            value += 4
        tag = group << 16 | element
        if tag not in tags or length == _UNDEFINED_LENGTH or value + length > end:
            break
        if tag in wanted:
            content: Any = data[value : value + length] if length else empty_value_for_VR(name, raw=True)
            kept.append(RawDataElement(BaseTag(tag), name, length, content, value, implicit, True))
        position = value + length
    return kept, position


def _plain_text(element: RawDataElement | DataElement | None) -> str:
    """Take a value of the file's meta information as text (PS3.10 7.1), the first of several, without padding."""
    value = None if element is None else element.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.partition("\\")[0].strip(" \0")


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
