"""Lossless encoding of pixel values into DICOM transfer syntaxes (PS3.5 8.2 and annex A.4)."""

from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

Stored = NDArray[np.integer[Any]]
"""uint16 or int16 ``[rows, columns]``: pixel values as they stand in the file."""

NATIVE = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
ENCAPSULATED = {
    "rle": (RLELossless, gdcm.TransferSyntax.RLELossless),
    "jpeg-lossless": (JPEGLossless, gdcm.TransferSyntax.JPEGLosslessProcess14),
    "jpeg-lossless-sv1": (JPEGLosslessSV1, gdcm.TransferSyntax.JPEGLosslessProcess14_1),
    "jpeg-ls": (JPEGLSLossless, gdcm.TransferSyntax.JPEGLSLossless),
    "jpeg-2000": (JPEG2000Lossless, gdcm.TransferSyntax.JPEG2000Lossless),
}
TRANSFER_SYNTAXES: dict[str, UID] = {**NATIVE, **{name: uid for name, (uid, _) in ENCAPSULATED.items()}}
"""The transfer syntaxes that can be written, all lossless, by short name."""


def compress(stored: Stored, bits_stored: int, photometric: str, syntax: str) -> bytes:
    """Encode stored values losslessly.

    Parameters
    ----------
    stored : numpy.ndarray
        uint16 or int16 ``[rows, columns]``.
    bits_stored : int
        Bits that carry the value.
    photometric : {"MONOCHROME1", "MONOCHROME2"}
        As in the object.
    syntax : str
        One of `ENCAPSULATED`.

    Returns
    -------
    bytes
        The one frame's bit stream.

    Raises
    ------
    ValueError
        When the encoder refuses.
    """
    # The image must come from a writer that stays alive: GDCM frees one that was made in Python a second time.
    writer = gdcm.ImageWriter()
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((stored.shape[1], stored.shape[0], 1))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits_stored, bits_stored - 1, int(stored.dtype.kind == "i")))
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(photometric))
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(stored.tobytes())
    image.SetDataElement(element)
    converter = gdcm.ImageChangeTransferSyntax()
    converter.SetTransferSyntax(gdcm.TransferSyntax(ENCAPSULATED[syntax][1]))
    converter.SetInput(image)
    if not converter.Change():
        raise ValueError(f"{syntax}: GDCM cannot encode {stored.dtype} with {bits_stored} bits stored")
    fragments = converter.GetOutput().GetDataElement().GetSequenceOfFragments()
    parts = [fragments.GetFragment(number).GetByteValue() for number in range(fragments.GetNumberOfFragments())]
    return b"".join(part.GetBuffer().encode("utf-8", "surrogateescape") for part in parts)
