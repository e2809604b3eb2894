"""Synthetic images as DICOM: valid, nobody's, and meaning what the store's grey values mean."""

import io
import json
import shutil
import subprocess
import time

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from release_cases import BONE, BRAIN, FINDINGS, INGESTS, LUNG, SEED, synthetic_store
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError
from synthcohort.release.objects import ObjectWriter, choose_modality

MODALITIES = ["CT", "CR", "DX"]
SYNTHETIC = "(0x0008,0x001c)"
KNOWN = (
    "needed to build DICOMDIR - Study Date",  # there was no study
    "needed to build DICOMDIR - Study Time",
    f"not a recognized standard attribute - {SYNTHETIC}",  # Synthetic Data is younger than the validator
    f"not present in standard DICOM IOD - {SYNTHETIC}",
    "this is a Standard Extended SOP Class",
    "only permitted to be empty when actually unknown",  # Laterality: which part of the body is not known
)
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def written(folder, modality, count=4, seed=SEED, first=1, **settings):
    """Give a store, its files, and what pydicom reads in them."""
    store = synthetic_store(folder, modality, 16, count, first, settings.pop("windows", (BRAIN,)))
    writer = ObjectWriter(store.info, modality, seed, **settings)
    records = store.records.to_dict("records")
    pairs = zip(store.images, records, strict=True)
    files = [writer.write(number, image[0], record)[1] for number, (image, record) in enumerate(pairs, start=1)]
    return store, files, [dcmread(io.BytesIO(file)) for file in files]


def complaints(path):
    check = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    return check.returncode, [line for line in check.stderr.splitlines() if line.startswith(("Error", "Warning"))]


@pytest.mark.parametrize("modality", MODALITIES)
def test_dciodvfy_finds_no_fault(modality, tmp_path):
    assert shutil.which("dciodvfy"), "dciodvfy is missing; run: make system-packages"
    _, files, _ = written(tmp_path / "store", modality, count=2)
    for number, file in enumerate(files):
        (tmp_path / f"{number}.dcm").write_bytes(file)
        code, lines = complaints(tmp_path / f"{number}.dcm")
        assert code == 0
        assert [line for line in lines if not any(word in line for word in KNOWN)] == []
    # But for that attribute nothing is an error, nor out of the ordinary.
    plain = dcmread(io.BytesIO(files[0]))
    del plain.SyntheticData
    plain.save_as(tmp_path / "plain.dcm")
    code, lines = complaints(tmp_path / "plain.dcm")
    assert code == 0
    assert all("DICOMDIR" in line or "<Laterality>" in line for line in lines)
    # Positive control: without an attribute of type 1 the same object is refused.
    broken = dcmread(io.BytesIO(files[0]))
    del broken.BitsStored
    broken.save_as(tmp_path / "broken.dcm")
    code, lines = complaints(tmp_path / "broken.dcm")
    assert code != 0
    assert any("BitsStored" in line for line in lines)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_object_says_that_it_is_synthetic(modality, tmp_path):
    store, _, objects = written(tmp_path, modality)
    for number, dataset in enumerate(objects, start=1):
        assert dataset.PatientName == f"SYNTHETIC^{number:06d}"
        assert dataset.PatientID == f"synthetic-{number:06d}"
        assert dataset[0x0008001C].value == "YES"
        assert list(dataset.ImageType)[:2] == ["DERIVED", "PRIMARY"]
        assert "SYNTHETIC IMAGE" in dataset.PatientComments
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate", "ReferringPhysicianName"):
            assert not dataset[keyword].value
        findings = json.loads(dataset.ImageComments)["findings"]
        assert findings == {name: int(store.records[name].iloc[number - 1]) for name in FINDINGS}


def test_no_two_images_share_a_uid_and_a_seed_repeats_them(tmp_path):
    _, _, first = written(tmp_path / "a", "CT")
    _, again, _ = written(tmp_path / "b", "CT")
    assert again == written(tmp_path / "c", "CT")[1]
    # The same names from another store, under another seed or with another header are other objects.
    _, _, other_images = written(tmp_path / "d", "CT", first=100)
    _, _, other_seed = written(tmp_path / "e", "CT", seed=8)
    _, _, other_header = written(tmp_path / "f", "CT", field_of_view=200.0)
    everything = [*first, *other_images, *other_seed, *other_header]
    uids = [dataset[keyword].value for dataset in everything for keyword in (*UIDS, "FrameOfReferenceUID")]
    assert len(set(uids)) == len(uids) == 64
    assert all(uid.is_valid for uid in uids)


@pytest.mark.parametrize(("low", "high"), [BRAIN, BONE, LUNG, (20.5, 61.25)])
def test_ct_gives_back_hounsfield_units(low, high, tmp_path):
    store, _, objects = written(tmp_path, "CT", windows=((low, high), BONE))
    for image, dataset in zip(store.images, objects, strict=True):
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.PixelRepresentation) == (16, 12, 0)
        assert dataset.RescaleType == "HU"
        units = apply_modality_lut(dataset.pixel_array, dataset)
        np.testing.assert_allclose(units, low + image[0] / 255 * (high - low), atol=1e-5 * (high - low))
        assert (units.min(), units.max()) == pytest.approx((low, high), abs=1e-4)
        # Shown in the file's own window, black and white are the store's.
        shown = apply_voi_lut(units, dataset)
        shown = (shown - shown.min()) / (shown.max() - shown.min()) * 255
        np.testing.assert_allclose(shown, image[0], atol=0.01)


@pytest.mark.parametrize("modality", ["CR", "DX"])
def test_radiographs_are_shown_as_they_are(modality, tmp_path):
    store, _, objects = written(tmp_path, modality)
    for image, dataset in zip(store.images, objects, strict=True):
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (8, 8, 7)
        np.testing.assert_array_equal(dataset.pixel_array, image[0])
        np.testing.assert_allclose(apply_voi_lut(dataset.pixel_array, dataset), image[0], atol=1e-9)


def test_spacing_is_plausible_and_can_be_told(tmp_path):
    assert written(tmp_path / "a", "CT")[2][0].PixelSpacing == [250 / 16] * 2
    assert written(tmp_path / "b", "DX")[2][0].ImagerPixelSpacing == [400 / 16] * 2
    chest = written(tmp_path / "c", "CT", field_of_view=360.0)[2][0]
    assert chest.PixelSpacing == [22.5, 22.5]
    # The middle of the image is the origin: its corner's centre lies 7.5 pixels away.
    assert chest.ImagePositionPatient == [-7.5 * 22.5, -7.5 * 22.5, 0]


def test_ct_without_hounsfield_units_is_refused(tmp_path):
    store = synthetic_store(tmp_path, "DX", 16, 2, 1)
    with pytest.raises(UserError, match=r"no Hounsfield units, as protocol\.scale_each_image is on"):
        ObjectWriter(store.info, "CT", SEED)


@pytest.mark.parametrize(
    ("ingest", "modality"),
    [
        (INGESTS["CT"], "CT"),
        (INGESTS["DX"], "DX"),
        (INGESTS["CR"], "CR"),
        ({"modalities": ["DX"], "frontal_only": False}, "CR"),
    ],
)
def test_dx_is_written_only_where_the_view_is_known(ingest, modality):
    assert choose_modality(Ingest.model_validate(ingest)) == modality


@pytest.mark.parametrize("modality", ["CT", "DX"])
def test_at_least_200_images_a_second_and_core(modality, tmp_path):
    store = synthetic_store(tmp_path / "store", modality, 256, 200, 1)
    writer = ObjectWriter(store.info, modality, SEED)
    records, images = store.records.to_dict("records"), np.array(store.images)
    began = time.process_time()
    for number, (image, record) in enumerate(zip(images, records, strict=True)):
        (tmp_path / f"{number}.dcm").write_bytes(writer.write(number, image[0], record)[1])
    assert len(images) / (time.process_time() - began) > 200
