"""PNG and JPEG files, what a table says of files, and slices: what ingest takes besides plain DICOM files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset_trees import SIDE, generic, grey, ingest, picture, reasons, series
from dicom_files import ct, radiograph, save
from synthcohort.core.errors import UserError
from synthcohort.dicom.reasons import Reason

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # as the releases have them


def test_depth_aspect_and_colour_of_pictures(tmp_path):
    folder = tmp_path / "in"
    deep = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    picture(folder / "deep.png", deep)
    picture(folder / "wide.png", grey(0, 16, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees"
    picture(folder / "turned.jpg", grey(1), quality=95, exif=exif)
    Image.fromarray(grey(2)).convert("P").save(folder / "palette.png")
    picture(folder / "coded.jpg", np.dstack([grey(1)] * 3), quality=90)
    names = ["deep.png", "wide.png", "turned.jpg", "palette.png", "coded.jpg"]
    result = ingest(tmp_path, generic(tmp_path, names))
    assert (result.table["status"] == "accepted").all()
    blocks = deep.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3)) / 65535 * 255
    assert np.abs(result.image("deep.png") - blocks).max() <= 0.51
    assert result.table.loc["deep.png", ["bits_stored", "window_low", "window_high"]].tolist() == [16, 0, 65535]
    wide = result.image("wide.png")
    assert not wide[:4].any()
    assert not wide[12:].any()
    assert np.abs(wide[4:12] - grey(0, 16, 32).reshape(8, 2, 16, 2).mean(axis=(1, 3))).max() <= 0.5
    for name, seed in (("turned.jpg", 1), ("coded.jpg", 1), ("palette.png", 2)):
        assert np.abs(result.image(name) - grey(seed).reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))).max() < 4
    assert result.table["patient_id"].nunique() == 3


def test_each_unfit_picture_gets_its_reason(tmp_path):
    folder = tmp_path / "in"
    opaque = np.dstack([grey()] * 3 + [np.full((32, 32), 255, np.uint8)])
    through = opaque.copy()
    through[0, 0, 3] = 254
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    whole = picture(folder / "fit.png", noise).read_bytes()
    flipped = bytearray(picture(folder / "flipped.png", noise, compress_level=0).read_bytes())
    flipped[len(flipped) // 2] ^= 1  # one pixel, which nothing but a checksum tells
    (folder / "flipped.png").write_bytes(flipped)
    (folder / "cut.png").write_bytes(whole[:-200])
    (folder / "cut header.png").write_bytes(whole[:20])
    (folder / "cut.jpg").write_bytes(picture(folder / "fit.jpg", noise).read_bytes()[:-300])
    picture(folder / "colour.png", np.dstack([grey(), grey(), grey(1) // 2]))
    Image.fromarray(grey()).convert("CMYK").save(folder / "cmyk.jpg")
    picture(folder / "through.png", through)
    picture(folder / "small.png", grey(0, 15, 12))
    picture(folder / "large.png", grey(0, 41, 40))
    picture(folder / "black.png", np.zeros((32, 32), np.uint8))
    frames = [Image.fromarray(grey(seed)) for seed in range(2)]
    frames[0].save(folder / "film.png", save_all=True, append_images=frames[1:])
    save(radiograph(PatientID=""), folder / "x-ray.dcm")
    expected = {
        "flipped.png": Reason.UNDECODABLE,
        "cut.png": Reason.CUT_OFF,
        "cut header.png": Reason.CUT_OFF,
        "cut.jpg": Reason.CUT_OFF,
        "colour.png": Reason.COLOUR,
        "cmyk.jpg": Reason.COLOUR,
        "through.png": Reason.TRANSPARENT,
        "small.png": Reason.TOO_SMALL,
        "large.png": Reason.TOO_LARGE,
        "black.png": Reason.CONSTANT,
        "film.png": Reason.MULTI_FRAME,
    }
    names = ["fit.png", "fit.jpg", "x-ray.dcm", *expected]
    result = ingest(tmp_path, generic(tmp_path, names), maximum_pixels=40 * 40)
    found = reasons(result)
    assert {name: found.get(name) for name in expected} == {name: reason.value for name, reason in expected.items()}
    assert len(found) == len(expected)
    assert len(result.store) == 3  # among them DICOM without a patient ID, which the table tells


def test_the_limit_of_pixels_is_the_configs_alone(tmp_path, monkeypatch):
    picture(tmp_path / "in" / "a.png", grey(0, 64, 64))
    picture(tmp_path / "in" / "b.png", grey(1, 16, 16))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own guard would refuse both
    result = ingest(tmp_path, generic(tmp_path, ["a.png", "b.png"]), maximum_pixels=64 * 64 - 1)
    assert reasons(result) == {"a.png": Reason.TOO_LARGE.value}
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pictures_without_a_patient_column(tmp_path):
    picture(tmp_path / "in" / "a.png", grey())
    with pytest.raises(
        UserError, match=r"do not say whose they are; name its column of patient IDs in 'data\.patient'"
    ):
        ingest(tmp_path, generic(tmp_path, ["a.png"], patient=None))
    # A picture that no row names is a stray one among DICOM files.
    save(radiograph(), tmp_path / "in" / "x-ray.dcm")
    result = ingest(tmp_path, generic(tmp_path, ["x-ray.dcm"], patient=None))
    assert reasons(result) == {"a.png": Reason.NOT_DICOM.value}


def test_a_blank_patient_is_not_guessed(tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name, grey())
    data = generic(tmp_path, ["a.png", "b.png"])
    pd.DataFrame({"file": ["a.png", "b.png"], "patient": ["", "x"], "bleed": [0, 1]}).to_csv(data.labels, index=False)
    assert reasons(ingest(tmp_path, data)) == {"a.png": Reason.NO_PATIENT.value}


def test_pictures_are_no_ct(tmp_path):
    picture(tmp_path / "in" / "a.png", grey())
    save(ct(), tmp_path / "in" / "b.dcm")
    result = ingest(tmp_path, generic(tmp_path, ["a.png", "b.dcm"]), modalities=["CT"])
    assert reasons(result) == {"a.png": Reason.NO_UNITS.value}


def test_columns_of_the_table_go_before_the_files(tmp_path):
    # Files from a careless de-identification: every patient is called the same.
    for number in range(4):
        save(radiograph(number=number, patient="ANON", ViewPosition=""), tmp_path / "in" / f"{number}")
    data = generic(tmp_path, list("0123"), view="view")
    table = pd.read_csv(data.labels, dtype=str).assign(view=["PA", "lateral", "AP", ""])
    table.to_csv(data.labels, index=False)
    result = ingest(tmp_path, data)
    assert reasons(result) == {"1": Reason.NOT_FRONTAL.value}
    assert result.table.loc[list("0123"), "view"].tolist() == ["PA", "other", "AP", ""]
    assert result.table["patient_id"].nunique() == 2
    assert result.store.info.finding_names == ["bleed"]


@pytest.mark.parametrize(
    ("patients", "form"), [(["7", "7", "8"], "csv"), ([7.0, 7.0, np.nan], "parquet"), (["07", "07", "7"], "csv")]
)
def test_patient_ids_are_text(tmp_path, patients, form):
    for name in "abc":
        picture(tmp_path / "in" / name, grey(), format="PNG")
    data = generic(tmp_path, ["a"])
    table = pd.DataFrame({"file": list("abc"), "patient": patients, "bleed": [0, 1, 0]})
    labels = tmp_path / f"labels.{form}"
    table.to_csv(labels, index=False) if form == "csv" else table.to_parquet(labels)
    ingest(tmp_path, data.model_copy(update={"labels": str(labels)}))
    private = pd.read_parquet(tmp_path / "private/files.parquet").set_index("path")["patient_id"]
    wanted = [str(patient).removesuffix(".0").replace("nan", "") for patient in patients]
    assert private.loc[list("abc")].tolist() == wanted


def test_rows_that_give_one_file_two_patients(tmp_path):
    picture(tmp_path / "in" / "a.png", grey())
    data = generic(tmp_path, ["a.png"])
    Path(data.labels).write_text("file,patient,bleed\na.png,x,1\na.png,y,1\n")
    with pytest.raises(
        UserError, match="rows 1 and 2 below the heading name the same file in column 'file' but differ"
    ):
        ingest(tmp_path, data)


@pytest.mark.parametrize(("step", "places"), [(1, "012345"), (2, "024"), (3, "03"), (9, "0")])
def test_every_nth_slice_of_each_series(tmp_path, step, places):
    result = ingest(tmp_path, series(tmp_path), modalities=["CT"], slice_step=step, maximum_rejected=0)
    kept = result.table.index[result.table["status"] == "accepted"].sort_values()
    assert sorted(path[-5] for path in kept) == sorted(places * 2)
    assert set(reasons(result).values()) <= {Reason.SLICE.value}


def test_only_labelled_slices_are_counted(tmp_path):
    data = series(tmp_path)
    table = pd.read_csv(data.labels)
    table[table["file"].str.contains("place[1-5]")].to_csv(data.labels, index=False)
    result = ingest(tmp_path, data, modalities=["CT"], slice_step=2)
    kept = result.table.index[result.table["status"] == "accepted"]
    assert {path[-5] for path in kept} == {"1", "3", "5"}
