"""Reading passes over what it is not asked for; pydicom alone, which parses every element, must find the same."""

import random
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_files
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_files import ct, radiograph, save
from synthcohort.dicom import read
from synthcohort.dicom.header import Header, Lut
from synthcohort.dicom.reasons import UnfitError

REAL = sorted({Path(name) for name in get_testdata_files() if name.endswith(".dcm")})
MAXIMUM_PIXELS = 1 << 22
PATIENT_ID = Tag(0x0010, 0x0020)


def found(data: bytes, path: Path) -> list[Any]:
    """What both ways of reading say of a file, pixels included; the reason where it is unfit."""
    path.write_bytes(data)
    result: list[Any] = []
    for attempt in (
        lambda: (None, read.read_header(path, MAXIMUM_PIXELS)),
        lambda: read.read_image(data, MAXIMUM_PIXELS),
    ):
        try:
            dataset, header = attempt()
        except UnfitError as unfit:
            result.append(unfit.reason)
        else:
            result.append((plain(header), pixels(dataset)))
    return result


def pixels(dataset: Dataset | None) -> bytes | str:
    try:
        element = None if dataset is None else dataset.get_item(read.PIXEL_DATA)
        return b"" if element is None else bytes(element.value or b"")
    except NotImplementedError:  # damaged; `decode` makes a reason of it
        return "undecodable"


def plain(header: Header) -> str:
    """All values as text, by which NaN equals NaN."""
    luts = [(lut.first, lut.values.tolist()) for lut in (header.modality_lut, header.voi_lut) if isinstance(lut, Lut)]
    return repr((astuple(replace(header, modality_lut=None, voi_lut=None)), luts))


def check(data: bytes, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    ours = found(data, path)
    with monkeypatch.context() as patch:
        patch.setattr(read, "_scan", lambda data, position, *others: ([], position))
        assert ours == found(data, path)
    return ours


def test_real_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readable = 0
    for path in REAL:
        result = check(path.read_bytes(), tmp_path / "file", monkeypatch)
        readable += isinstance(result[0], tuple)
    assert readable > 70


def crowded(dataset: Dataset, implicit: bool, path: Path) -> bytes:
    """Add what lies around wanted elements in real files: private blocks, sequences, long and empty values."""
    block = dataset.private_block(0x0009, "BEFORE", create=True)
    for number in range(8):
        block.add_new(number, "DS", "1.25" if number % 3 else "")
    block.add_new(0x50, "OB", bytes(range(256)))
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.PatientID = "1.2.3", "of somebody else"
    dataset.ReferencedStudySequence = [item, item]
    dataset["ReferencedStudySequence"].is_undefined_length = path.name.endswith("undefined")
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return save(dataset, path).read_bytes()


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("kind", ["defined", "undefined"])
def test_damaged_files(implicit: bool, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, reasons, fit = random.Random(f"{implicit}{kind}"), set(), 0
    for dataset in (ct(), radiograph(WindowCenter="100", WindowWidth="50")):
        whole = crowded(dataset, implicit, tmp_path / kind)
        result = check(whole, tmp_path / "file", monkeypatch)
        assert all(isinstance(part, tuple) and "P1" in part[0] and "somebody" not in part[0] for part in result)
        ends = len(whole) - len(dataset.PixelData)
        for _ in range(60):
            cut = whole[: draw.randrange(132, ends)]
            flipped = bytearray(whole)
            for _ in range(draw.randrange(1, 4)):
                flipped[draw.randrange(132, ends)] = draw.randrange(256)
            for data in (cut, bytes(flipped)):
                result = check(data, tmp_path / "file", monkeypatch)
                fit += isinstance(result[1], tuple)
                reasons.update(part for part in result if not isinstance(part, tuple))
    assert reasons
    assert fit > 50


def test_most_elements_are_passed_over_at_once(tmp_path: Path) -> None:
    whole = crowded(ct(), False, tmp_path / "defined")
    start = whole.index(b"\x08\x00\x08\x00CS")
    wanted, end = read._scan(whole, start, False, read._WANTED, read._TAGS_BEFORE_PIXELS)
    assert end == len(whole) - 32 * 32 * 2 - 12  # up to the pixels
    assert sum(element.length for element in wanted) < 600


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    "patient", ["12 \\34", "M\u00fcller", "\x1b$B", "P1\0", " P1", "", "A^B=C", "12\\"], ids=lambda value: repr(value)
)
def test_patient_ids_are_read_as_pydicom_reads_them(
    patient: str, implicit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ct(SpecificCharacterSet="ISO_IR 100")
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    value = patient.encode("latin-1")
    dataset._dict[PATIENT_ID] = RawDataElement(
        PATIENT_ID, "LO", len(value), value + b" " * (len(value) % 2), 0, implicit, True
    )
    parsed = check(save(dataset, tmp_path / "written").read_bytes(), tmp_path / "file", monkeypatch)
    assert isinstance(parsed[0], tuple)
    with read.quiet_pydicom():
        values = dcmread(tmp_path / "written").PatientID
    assert read.read_header(tmp_path / "written", MAXIMUM_PIXELS).patient_id == str(values or "").strip(" \0")
