"""DICOM out: valid CT, CR and DX objects (PS3.3 A.2, A.3, A.26), in any lossless transfer syntax."""

import uuid
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
)

from synthcohort.dicom.encode import NATIVE, TRANSFER_SYNTAXES, Stored, compress

IMPLEMENTATION_UID = UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, 'synthcohort').int}")
CHARACTER_SET = "ISO_IR 192"
SOP_CLASSES = {
    "CT": CTImageStorage,
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
}
# Every attribute that the IOD demands and that a caller may have nothing to say about (types 2 and fixed values).
_COMMON: dict[str, Any] = {
    "SpecificCharacterSet": CHARACTER_SET,
    "StudyDate": "",
    "StudyTime": "",
    "AccessionNumber": "",
    "Manufacturer": "",
    "ReferringPhysicianName": "",
    "PatientName": "",
    "PatientID": "",
    "PatientBirthDate": "",
    "PatientSex": "",
    "StudyID": "",
    "SeriesNumber": "1",
    "InstanceNumber": "1",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "PixelRepresentation": 0,
    "LossyImageCompression": "00",
    "BurnedInAnnotation": "NO",
}
_BY_MODALITY: dict[str, dict[str, Any]] = {
    "CT": {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SliceThickness": "",
        "KVP": "",
        "AcquisitionNumber": "1",
        "PositionReferenceIndicator": "",
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "PatientPosition": "HFS",
    },
    "CR": {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "BodyPartExamined": "CHEST",
        "ViewPosition": "",
        "PatientOrientation": ["L", "F"],
    },
    "DX": {
        "ImageType": ["ORIGINAL", "PRIMARY", ""],
        "PresentationIntentType": "FOR PRESENTATION",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "",
        "PatientOrientation": ["L", "F"],
        "ImageLaterality": "U",
        "DetectorType": "DIRECT",
        "PositionerType": "",
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
    },
}
# SNOMED CT codes, PS3.16 CID 4009 and CID 4010.
_CHEST = ("816094009", "Chest")
_VIEWS = {
    "PA": ("272479007", "postero-anterior"),
    "AP": ("399348003", "antero-posterior"),
    "LL": ("399173006", "left lateral"),
}


def make_uid(*names: object) -> UID:
    """Derive a UID from what it names: the same names give the same UID (PS3.5 B.2, a name-based UUID under 2.25)."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '|'.join(map(str, names))).int}")


def decimal_string(value: float) -> str:
    """Write a number as a DS of at most 16 characters (PS3.5 6.2)."""
    return f"{value:.8g}"


@cache
def _template(modality: str) -> Dataset:
    dataset = Dataset()
    set_attributes(dataset, {**_COMMON, **_BY_MODALITY[modality], "SOPClassUID": SOP_CLASSES[modality]})
    dataset.Modality = modality
    if modality == "DX":
        dataset.AnatomicRegionSequence = [_code(*_CHEST)]
        dataset.AcquisitionContextSequence = []
    return dataset


def new_object(modality: str) -> Dataset:
    """Make an object that holds all that its IOD demands, short of identity, geometry and pixels.

    Parameters
    ----------
    modality : {"CT", "CR", "DX"}
        Which image object; DX is the one for presentation.

    Returns
    -------
    pydicom.Dataset
        A copy of its own, as from `copy_object`.
    """
    return copy_object(_template(modality))


def copy_object(dataset: Dataset) -> Dataset:
    """Copy an object without its file meta information: attributes may be set, items of sequences are shared."""
    copied = Dataset()
    for element in dataset:
        # pydicom sets a present attribute by changing its element, so elements must not be shared.
        copied.add(DataElement(element.tag, element.VR, element.value, already_converted=True))
    return copied


def set_attributes(dataset: Dataset, attributes: Mapping[str, Any]) -> None:
    """Set attributes by keyword, for example ``{"PatientID": "17"}``."""
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)


def set_view(dataset: Dataset, view: str) -> None:
    """Set the view of a radiograph: ``PA``, ``AP`` or ``LL`` (left lateral)."""
    dataset.ViewPosition = view
    if dataset.Modality == "DX":
        item = _code(*_VIEWS[view])
        item.ViewModifierCodeSequence = []
        dataset.ViewCodeSequence = [item]


def set_pixels(
    dataset: Dataset,
    stored: Stored,
    bits_stored: int,
    photometric: str = "MONOCHROME2",
    padding: int | None = None,
) -> None:
    """Put stored values into an object; they are encoded when it is written.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The object.
    stored : numpy.ndarray
        uint16 or int16 ``[rows, columns]``, within `bits_stored`.
    bits_stored : int
        Bits that carry the value, at most 16 (PS3.5 8.1.1).
    photometric : {"MONOCHROME1", "MONOCHROME2"}
        Whether small values are shown white or black.
    padding : int, optional
        Stored value of pixels that are not part of the image (PS3.3 C.7.5.1.1.2).
    """
    signed = int(stored.dtype.kind == "i")
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = signed
    dataset.PhotometricInterpretation = photometric
    if dataset.Modality == "DX":
        dataset.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    if padding is not None:
        dataset.add_new(0x00280120, "SS" if signed else "US", padding)
    dataset.add_new(0x7FE00010, "OW", stored.astype("<i2" if signed else "<u2", copy=False).tobytes())


def set_rescale(dataset: Dataset, slope: float, intercept: float, units: str) -> None:
    """Set the line from stored values to units, for example ``HU`` (PS3.3 C.11.1)."""
    dataset.RescaleSlope = decimal_string(slope)
    dataset.RescaleIntercept = decimal_string(intercept)
    dataset.RescaleType = units


def window_of(low: float, high: float, exact: bool = False) -> tuple[float, float]:
    """Find centre and width of the window that shows `low` black and `high` white.

    The function LINEAR counts whole values and is shifted by half of one (PS3.3 C.11.2.1.2.1); LINEAR_EXACT, which
    `exact` asks for, is not (C.11.2.1.3.2).
    """
    width = high - low if exact else high - low + 1
    return low + width / 2, width


def set_windows(
    dataset: Dataset,
    windows: Sequence[tuple[float, float]],
    explanations: Sequence[str] = (),
    exact: bool = False,
) -> None:
    """Set one or several (centre, width) windows, the first being the one to use (PS3.3 C.11.2)."""
    dataset.WindowCenter = [decimal_string(center) for center, _ in windows]
    dataset.WindowWidth = [decimal_string(width) for _, width in windows]
    if explanations:
        dataset.WindowCenterWidthExplanation = list(explanations)
    if exact:
        dataset.VOILUTFunction = "LINEAR_EXACT"


def set_voi_lut(dataset: Dataset, first: int, table: NDArray[np.uint16], bits: int) -> None:
    """Set a VOI LUT: `table[i]`, of `bits` bits, is shown for the value ``first + i`` (PS3.3 C.11.2.1.1)."""
    item = Dataset()
    item.add_new(0x00283002, "US", [len(table) % 65536, first, bits])
    item.LUTExplanation = "NORMAL"
    item.add_new(0x00283006, "OW", table.astype("<u2").tobytes())
    dataset.VOILUTSequence = [item]


def element_bytes(dataset: Dataset, syntax: str) -> dict[int, bytes]:
    """Encode each element of a data set (PS3.5 7.1), by tag, as it stands in a file of a transfer syntax.

    What many files share needs encoding only once: see `file_bytes`.
    """
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == "implicit"
    character_set = dataset.get("SpecificCharacterSet", CHARACTER_SET)
    ends = {}
    for element in dataset:
        write_data_element(buffer, element, character_set)
        ends[int(element.tag)] = buffer.tell()
    value, starts = buffer.getvalue(), [0, *ends.values()]
    return {tag: value[start:end] for start, (tag, end) in zip(starts, ends.items(), strict=False)}


def file_bytes(dataset: Dataset, syntax: str, shared: Mapping[int, bytes] | None = None) -> bytes:
    """Write an object as a DICOM file (PS3.10 7.1) into memory, its pixels as they are.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The object, at least its `SOPClassUID` and `SOPInstanceUID`.
    syntax : str
        Name of the transfer syntax that its pixels are in, one of `TRANSFER_SYNTAXES`.
    shared : mapping, optional
        From `element_bytes`: the elements that `dataset` lacks.

    Returns
    -------
    bytes
        The same object gives the same bytes.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = TRANSFER_SYNTAXES[syntax]
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "SYNTHCOHORT"
    head = b"".join(element_bytes(meta, "explicit").values())
    length = Dataset()
    length.add_new(0x00020000, "UL", len(head))
    elements = {**(shared or {}), **element_bytes(dataset, syntax)}
    body = b"".join(elements[tag] for tag in sorted(elements))
    if syntax == "deflated":
        body = _deflate(body)
    return b"".join([bytes(128), b"DICM", *element_bytes(length, "explicit").values(), head, body])


def _deflate(body: bytes) -> bytes:
    """Compress a data set without zlib's frame, to even length (PS3.5 A.5)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(body) + compressor.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def dicom_bytes(dataset: Dataset, syntax: str, shared: Mapping[int, bytes] | None = None) -> bytes:
    """Encode the native pixels of an object in `syntax`, in place, and write it as `file_bytes` does."""
    if syntax not in NATIVE:
        dtype = "<i2" if dataset.PixelRepresentation else "<u2"
        stored = np.frombuffer(dataset.PixelData, dtype).reshape(dataset.Rows, dataset.Columns)
        put_stream(dataset, compress(stored, dataset.BitsStored, dataset.PhotometricInterpretation, syntax))
    return file_bytes(dataset, syntax, shared)


def put_stream(dataset: Dataset, stream: bytes) -> None:
    """Replace an object's pixels by the compressed stream of one frame (PS3.5 A.4)."""
    element = DataElement(0x7FE00010, "OB", encapsulate([stream]))
    element.is_undefined_length = True
    dataset.add(element)


def _code(value: str, meaning: str) -> Dataset:
    """Make a coded entry of SNOMED CT (PS3.3 section 8)."""
    item = Dataset()
    set_attributes(item, {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning})
    return item
