"""What a DICOM header says, as plain typed values; whatever cannot be understood is a reason, never an exception."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from synthcohort.dicom.reasons import Reason, UnfitError

# Text from a file gets into a table only when it is one of these words: any other could name a patient.
# fmt: off
MODALITIES = frozenset({
    "AR", "BI", "BMD", "CR", "CT", "DG", "DOC", "DX", "ECG", "EM", "EPS", "ES", "FID", "GM", "HC", "HD", "IO",
    "IVOCT", "IVUS", "KO", "LS", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPT", "OPV", "OT", "PLAN", "PR", "PT",
    "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD", "RTSTRUCT", "SC", "SEG", "SM",
    "SMR", "SR", "TG", "US", "VA", "XA", "XC",
})
COLOURS = frozenset({
    "RGB", "ARGB", "HSV", "CMYK", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT",
    "YBR_RCT",
})
# fmt: on
PHOTOMETRIC = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", *COLOURS})
FRONTAL_WORDS = {
    "AP": "AP",
    "PA": "PA",
    "ANTEROPOSTERIOR": "AP",
    "POSTEROANTERIOR": "PA",
    "FRONTAL": "frontal",
}
FRONTAL_CODES = {
    "R-10206": "AP",
    "399348003": "AP",
    "R-10214": "PA",
    "272479007": "PA",
    "R-10202": "frontal",
    "399033003": "frontal",
}  # SNOMED RT and CT codes of PS3.16 CID 4010
LATERAL_WORDS = (
    "OTHER",
    "LL",
    "RL",
    "LATERAL",
    "LAT",
    "LARGELATERAL",
    "LLD",
    "RLD",
    "LLO",
    "RLO",
    "RAO",
    "LAO",
    "RPO",
    "LPO",
)
FOR_PROCESSING_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.1.1.1"})
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
LARGEST = 2.0**31
"""No integer of a header means anything from here on."""
PICTURES = frozenset({"PNG", "JPEG"})
"""What stands for the transfer syntax of files that are no DICOM."""

# fmt: off
_KEYWORDS = (
    "ImageType", "SyntheticData", "SOPClassUID", "SOPInstanceUID", "Modality", "PresentationIntentType", "PatientID",
    "ViewPosition", "StudyInstanceUID", "SeriesInstanceUID", "ImagePositionPatient", "ViewCodeSequence",
    "ImagerPixelSpacing", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
    "PixelSpacing", "PixelAspectRatio", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "BurnedInAnnotation", "WindowCenter", "WindowWidth",
    "RescaleIntercept", "RescaleSlope", "RescaleType", "VOILUTFunction", "ModalityLUTSequence", "VOILUTSequence",
    "PresentationLUTShape",
)
# fmt: on
_PLAIN_TEXT = frozenset({"CS", "DS", "IS", "UI"})
_CODED_TEXT = frozenset({"LO", "SH"})
"""In the file's character set, which agrees with ASCII up to an escape sequence (PS3.5 6.1.2.5)."""
_PARTED = frozenset(b"\x1b\\")
"""Escape, and what stands between several values: pydicom strips each of them."""
_PLAIN_INTEGERS = frozenset({"US", "SS"})
TAGS: dict[int, str] = {tag_for_keyword(keyword) or 0: keyword for keyword in _KEYWORDS}
"""Every attribute that is read; reading nothing else is what makes an index of a million files affordable."""


@dataclass(frozen=True, eq=False)
class Lut:
    """A lookup table (PS3.3 C.11.1 and C.11.2): stored input `first` gives ``values[0]``."""

    first: int
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Header:
    """One file's header. Absent integers are 0 (`frames` 1, `high_bit` and `signed` -1), senseless ones -1, or NaN."""

    transfer_syntax: str
    sop_class: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    position: tuple[float, ...]
    """Of the first pixel, in millimetres along z, y and x (PS3.3 C.7.6.2.1.1); empty when unknown."""
    patient_id: str
    modality: str
    image_type: tuple[str, ...]
    synthetic: bool
    """Whether the file says that nothing in it was measured (Synthetic Data, PS3.3 C.12.1)."""
    intent: str
    view: str
    """AP, PA, frontal, other (known not to be frontal) or empty (unknown)."""
    burned_in: str
    samples: int
    photometric: str
    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: int
    spacing: tuple[float, float]
    """Vertical and horizontal distance of pixel centres, in millimetres or as a mere ratio; (1, 1) when unknown."""
    padding: tuple[int, int] | None
    """Lowest and highest stored value that means "nothing was measured here"."""
    slope: float | None
    intercept: float | None
    rescale_type: str
    window_centers: tuple[float, ...]
    window_widths: tuple[float, ...]
    window_function: str
    presentation_shape: str
    modality_lut: Lut | None
    voi_lut: Lut | None

    @property
    def is_picture(self) -> bool:
        """Whether this is a PNG or JPEG file, which says nothing but its size."""
        return self.transfer_syntax in PICTURES


def parse_header(dataset: Dataset, transfer_syntax: str) -> Header:
    """Take a header's values out of a data set.

    pydicom converts values on access, so this raises whatever a damaged file makes it raise.

    Raises
    ------
    UnfitError
        When a lookup table cannot be used.
    """
    values: dict[str, Any] = dict.fromkeys(_KEYWORDS)
    for element in list(dataset.values()):
        keyword = TAGS.get(int(element.tag))
        if keyword:
            values[keyword] = _value(dataset, element)
    signed = _integer(values["PixelRepresentation"], absent=-1)
    return Header(
        transfer_syntax=transfer_syntax,
        sop_class=_text(values["SOPClassUID"]),
        sop_instance_uid=_text(values["SOPInstanceUID"]),
        study_uid=_text(values["StudyInstanceUID"]),
        series_uid=_text(values["SeriesInstanceUID"]),
        position=_position(values["ImagePositionPatient"]),
        patient_id=_text(values["PatientID"]),
        modality=_text(values["Modality"]),
        image_type=tuple(_text(value) for value in _several(values["ImageType"])),
        synthetic=_text(values["SyntheticData"]) == "YES",
        intent=_text(values["PresentationIntentType"]),
        view=_view(values["ViewPosition"], values["ViewCodeSequence"]),
        burned_in=_text(values["BurnedInAnnotation"]),
        samples=_integer(values["SamplesPerPixel"]),
        photometric=_text(values["PhotometricInterpretation"]),
        frames=_integer(values["NumberOfFrames"], absent=1),
        rows=_integer(values["Rows"]),
        columns=_integer(values["Columns"]),
        bits_allocated=_integer(values["BitsAllocated"]),
        bits_stored=_integer(values["BitsStored"]),
        high_bit=_integer(values["HighBit"], absent=-1),
        signed=signed,
        spacing=_spacing(values),
        padding=_padding(values["PixelPaddingValue"], values["PixelPaddingRangeLimit"], signed == 1),
        slope=_number(values["RescaleSlope"]),
        intercept=_number(values["RescaleIntercept"]),
        rescale_type=_text(values["RescaleType"]),
        window_centers=_numbers(values["WindowCenter"]),
        window_widths=_numbers(values["WindowWidth"]),
        window_function=_text(values["VOILUTFunction"]),
        presentation_shape=_text(values["PresentationLUTShape"]),
        modality_lut=_lut(values["ModalityLUTSequence"]),
        voi_lut=_lut(values["VOILUTSequence"]),
    )


def _value(dataset: Dataset, element: DataElement | RawDataElement) -> Any:
    """One attribute's value; plain ones without pydicom's conversion, which would cost more than reading the file."""
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        content = element.value
        if element.VR in _PLAIN_TEXT or (element.VR in _CODED_TEXT and content.isascii() and not _PARTED & {*content}):
            values = content.decode("ascii", "replace").rstrip(" \0").split("\\")
            return values if len(values) > 1 else values[0]
        if element.VR in _PLAIN_INTEGERS and len(content) == 2:
            order: Literal["little", "big"] = "little" if element.is_little_endian else "big"
            return int.from_bytes(content, order, signed=element.VR == "SS")
    return dataset[element.tag].value


def text_values(dataset: Dataset, tag: BaseTag) -> list[str]:
    """One attribute's values as text, without the padding at their ends; one empty text when absent."""
    element = dataset.get_item(tag)
    return [_text(value) for value in _several(None if element is None else _value(dataset, element))] or [""]


def view_of(position: str) -> str:
    """Tell a view from the words for it: AP, PA, frontal, other (known not to be frontal) or nothing (unknown)."""
    words = "".join(character for character in position.upper() if character.isalpha())
    if words in LATERAL_WORDS or words.startswith("OBLI"):
        return "other"
    return FRONTAL_WORDS.get(words, "")


def known(word: str, vocabulary: frozenset[str]) -> str:
    """Return the word if it is in the vocabulary, else nothing: what a table may keep of a file's text."""
    return word if word in vocabulary else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip(" \0").encode("utf-8", "backslashreplace").decode()


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, bytes, int, float)) else list(value)


def _number(value: Any) -> float | None:
    """One number; None when absent or empty, NaN when it is something else."""
    values = _several(value)
    if not values:
        return None
    try:
        return float(values[0]) if len(values) == 1 else math.nan
    except (TypeError, ValueError):
        return math.nan


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(math.nan if number is None else number for number in map(_number, _several(value)))


def _integer(value: Any, absent: int = 0) -> int:
    number = _number(value)
    if number is None:
        return absent
    return int(number) if abs(number) < LARGEST and number == int(number) else -1


def _spacing(values: dict[str, Any]) -> tuple[float, float]:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        numbers = _numbers(values[keyword])
        if numbers:
            return (numbers[0], numbers[1]) if len(numbers) == 2 else (math.nan, math.nan)
    return (1.0, 1.0)


def _position(value: Any) -> tuple[float, ...]:
    numbers = _numbers(value)
    return numbers[::-1] if len(numbers) == 3 and all(map(math.isfinite, numbers)) else ()


def _padding(value: Any, limit: Any, signed: bool) -> tuple[int, int] | None:
    if _number(value) is None:
        return None
    # Writers confuse the two's complement of this attribute: take the value that the pixels can have.
    first = _as_stored(_integer(value), signed)
    last = _as_stored(_integer(limit, absent=first), signed)
    return min(first, last), max(first, last)


def _as_stored(value: int, signed: bool) -> int:
    if signed and value > 0x7FFF:
        return value - 0x10000
    return value + 0x10000 if not signed and value < 0 else value


def _view(position: Any, codes: Any) -> str:
    if view := view_of(_text(position)):
        return view
    for item in codes or []:
        code = _text(item.get("CodeValue"))
        if code:
            return FRONTAL_CODES.get(code, "other")
    return ""


def _lut(items: Any) -> Lut | None:
    """First lookup table of a sequence."""
    if not items:
        return None
    try:
        descriptor = [int(value) for value in items[0]["LUTDescriptor"].value]
        data = items[0]["LUTData"].value
        entries = descriptor[0] or 0x10000
        if isinstance(data, bytes):
            data = np.frombuffer(data, "<u2" if len(data) >= 2 * entries else "u1")
        values = np.asarray(data, np.float32)
    except Exception as error:
        raise UnfitError(Reason.LUT) from error
    if values.ndim != 1 or len(values) < entries or entries < 2 or values[:entries].min() == values[:entries].max():
        raise UnfitError(Reason.LUT)
    return Lut(descriptor[1], values[:entries])
