"""Small DICOM files for the tests of ingest, written without the library under test."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from synthcohort.dicom.encode import compress

ROOT_UID = "1.2.826.0.1.3680043.8.498."


def ct_values(side: int = 32, columns: int | None = None, seed: int = 0) -> np.ndarray:
    """int16 ``[side, columns]`` Hounsfield units: air around a disc of noisy tissue with a bright spot."""
    columns = columns or side
    y, x = np.mgrid[:side, :columns]
    radius = np.hypot((y + 0.5) / side - 0.5, (x + 0.5) / columns - 0.5)
    noise = np.random.default_rng(seed).integers(-20, 20, (side, columns))
    values = np.where(radius < 0.35, 40 + noise, -1000)
    values[radius < 0.05] = 900
    return values.astype(np.int16)


def ct(values: np.ndarray | None = None, number: int = 1, patient: str = "P1", **changes: Any) -> Dataset:
    """A CT slice of Hounsfield units; `changes` set attributes, None deletes them."""
    values = ct_values() if values is None else values
    dataset = _object("CT", CTImageStorage, values + 1024, number, patient)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    dataset.PixelSpacing = [0.5, 0.5]
    return change(dataset, **changes)


def radiograph(values: np.ndarray | None = None, number: int = 1, patient: str = "P1", **changes: Any) -> Dataset:
    """A CR image of 12-bit unsigned values, without window and rescale unless given."""
    values = np.arange(32 * 32).reshape(32, 32) * 4 if values is None else values
    dataset = _object("CR", ComputedRadiographyImageStorage, values, number, patient)
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.ViewPosition = "PA"
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    return change(dataset, **changes)


def _object(modality: str, sop_class: UID, values: np.ndarray, number: int, patient: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"{ROOT_UID}{number}"
    dataset.StudyInstanceUID = f"{ROOT_UID}{number}.1"
    dataset.Modality = modality
    dataset.PatientID, dataset.PatientName = patient, "Planted^Name"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.add_new(0x7FE00010, "OW", values.astype("<u2").tobytes())
    return dataset


def change(dataset: Dataset, **changes: Any) -> Dataset:
    """Set attributes by keyword; None deletes."""
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write a file; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def real(name: str) -> Path:
    """One of the real files in pydicom's wheel."""
    path = get_testdata_file(name, download=False)
    assert path is not None
    return Path(str(path))


def in_every_syntax(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """Write the same pixels in nine lossless transfer syntaxes, with dcmtk, GDCM and pydicom."""
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmtk is not installed")
    plain = save(dataset, folder / "explicit.dcm")
    files = {"explicit": plain}
    for name, program in {
        "implicit": ["dcmconv", "+ti"],
        "big endian": ["dcmconv", "+tb"],
        "deflated": ["dcmconv", "+td"],
        "rle": ["dcmcrle"],
        "jpeg lossless": ["dcmcjpeg", "+e1"],
        "jpeg lossless process 14": ["dcmcjpeg", "+el"],
        "jpeg-ls": ["dcmcjpls"],
    }.items():
        files[name] = folder / f"{name}.dcm"
        subprocess.run([*program, plain, files[name]], check=True, capture_output=True)
    files["jpeg 2000"] = save(jpeg2000(dcmread(plain)), folder / "jpeg 2000.dcm")
    written = {dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID for path in files.values()}
    assert {ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless} < written
    assert len(written) == 9
    return files


def patch(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes that stand exactly once in a file."""
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def jpeg2000(dataset: Dataset) -> Dataset:
    """Compress a data set in place to JPEG 2000 lossless."""
    frame = compress(dataset.pixel_array, dataset.BitsStored, dataset.PhotometricInterpretation, "jpeg-2000")
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return dataset
