"""Does a compressed image hold what its DICOM header says? Decoders do not look.

A cut-off JPEG 2000 stream decodes without an error, and a stream may declare a far larger image than the header that
was checked against the limit.
"""

import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.uid import JPEG2000, JPEG2000Lossless

from synthcohort.dicom.header import Header
from synthcohort.dicom.reasons import Reason, UnfitError

START_OF_IMAGE = b"\xff\xd8"
START_OF_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC, then SIZ, which must follow at once (ISO 15444-1 A.5)
JPEG_COMPLAINT = b"JPEG data"  # "Corrupt JPEG data: …" of libjpeg
END = b"\xff\xd9"
# Start-of-frame markers: C0–CF but DHT (C4), JPG (C8) and DAC (CC); F7 is JPEG-LS's (ISO 14495-1 C.1.1).
START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


def check_codestream(fragments: list[bytes], header: Header) -> None:
    """Compare a compressed frame with its header.

    Parameters
    ----------
    fragments : list of bytes
        The frame's fragments (PS3.5 A.4).
    header : Header
        With `rows`, `columns` and `bits_allocated`.

    Raises
    ------
    UnfitError
        When there is more than one frame, when the end is missing, or when size, samples or depth differ.
    """
    jpeg2000 = header.transfer_syntax in (JPEG2000, JPEG2000Lossless)
    start = START_OF_CODESTREAM if jpeg2000 else START_OF_IMAGE
    if sum(fragment.startswith(start) for fragment in fragments) > 1:
        raise UnfitError(Reason.FRAMES)
    frame = b"".join(fragments)
    if not frame.rstrip(b"\0").endswith(END):
        raise UnfitError(Reason.CUT_OFF)
    try:
        rows, columns, samples, bits = _jpeg2000_size(frame) if jpeg2000 else _jpeg_size(frame)
    except (IndexError, ValueError, struct.error) as error:
        raise UnfitError(Reason.UNDECODABLE) from error
    if (rows, columns, samples) != (header.rows, header.columns, 1) or bits > header.bits_allocated:
        raise UnfitError(Reason.CODESTREAM)


@contextmanager
def captured_stderr(complaints: list[bytes]) -> Iterator[None]:
    """Collect what native code writes to stderr; it is appended to `complaints` when the block is left.

    libjpeg decodes corrupted data as far as it can, and says so there and nowhere else.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile(buffering=0) as collected:
        os.dup2(collected.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            collected.seek(0)
            complaints.append(collected.read())


def _jpeg2000_size(frame: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, samples and bits from the SIZ segment (ISO 15444-1 A.5.1)."""
    segment = frame[frame.index(START_OF_CODESTREAM) + 6 :]  # behind SOC, SIZ and Lsiz
    right, bottom, left, top = struct.unpack(">4I", segment[2:18])
    (samples,) = struct.unpack(">H", segment[34:36])
    return bottom - top, right - left, samples, (segment[36] & 0x7F) + 1


def _jpeg_size(frame: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, samples and bits from the start-of-frame segment (ISO 10918-1 B.2.2)."""
    position = 2
    while frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        (length,) = struct.unpack(">H", frame[position + 2 : position + 4])
        if marker in START_OF_FRAME:
            bits, rows, columns, samples = struct.unpack(">BHHB", frame[position + 4 : position + 10])
            return rows, columns, samples, bits
        position += 2 + length
    raise ValueError("no start-of-frame segment")
