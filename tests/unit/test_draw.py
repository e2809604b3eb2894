"""Drawn cohorts: what is written can be read back exactly, is valid DICOM, and is the same every time."""

import hashlib
import importlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from synthcohort.core.atomic import file_digest, read_json, value_digest
from synthcohort.core.cohort_config import Ingest, Phantom
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.preprocess import render_file
from synthcohort.dicom.reasons import Reason, UnfitError
from synthcohort.dicom.render import Renderer
from synthcohort.phantoms import draw
from synthcohort.phantoms.draw import draw_cohort
from synthcohort.phantoms.faults import FAULTS, WITHOUT_UID, assign_faults
from synthcohort.phantoms.variety import Storage, choose_storage, store_pixels

SIDE = 40
PATIENTS = {"head": 36, "chest": 90}
MODALITIES = {"head": {"CT"}, "chest": {"CR", "DX"}}
REASONS = {
    "missing_rescale": Reason.NO_RESCALE,
    "localizer": Reason.LOCALIZER,
    "zero_slope": Reason.RESCALE,
    "lateral_view": Reason.NOT_FRONTAL,
    "for_processing": Reason.FOR_PROCESSING,
    "zero_window": Reason.WINDOW,
    "cut_pixels": Reason.SHORT,
    "text_file": Reason.NOT_DICOM,
    "no_pixels": Reason.NO_PIXELS,
    "illegal_bits": Reason.BITS,
    "wrong_modality": Reason.MODALITY,
    "cut_jpeg": Reason.CUT_OFF,
    "burned_in": Reason.BURNED_IN,
    "empty_file": Reason.NOT_DICOM,
    "short_pixels": Reason.SHORT,
    "colour": Reason.COLOUR,
    "unlabelled": Reason.NO_LABEL,
    "multi_frame": Reason.MULTI_FRAME,
    "duplicate": Reason.DUPLICATE,
    "png_file": Reason.NOT_DICOM,
    "cut_header": Reason.DAMAGED,
    "blank": Reason.CONSTANT,
}


def phantom(anatomy: str, **changes: object) -> Phantom:
    values = {
        "anatomy": anatomy,
        "patients": PATIENTS[anatomy],
        "side": SIDE,
        "seed": 5,
        "unfit_share": 0.12,
        **changes,
    }
    return Phantom.model_validate(values)


Drawn = tuple[str, Path, pd.DataFrame]
"""Anatomy, folder and ground truth of a drawn cohort."""


def draw_one(anatomy: str, folder: Path) -> Drawn:
    draw_cohort(phantom(anatomy), f"{anatomy}-phantom", folder)
    return anatomy, folder, pd.read_parquet(folder / "truth.parquet")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw_one("head", tmp_path_factory.mktemp("head"))


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw_one("chest", tmp_path_factory.mktemp("chest"))


@pytest.fixture(params=["head", "chest"])
def drawn(request: pytest.FixtureRequest) -> Drawn:
    return request.getfixturevalue(request.param)


def good_files(folder: Path, truth: pd.DataFrame) -> Iterator[tuple[pd.Series, Dataset]]:
    for _, row in truth[truth["fault"] == ""].iterrows():
        yield row, dcmread(folder / "dicom" / row["path"])


def drawings(anatomy: str, chosen: Phantom) -> dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]]:
    """Image and mask as drawn, by patient, study and instance."""
    module = importlib.import_module(f"synthcohort.phantoms.{anatomy}")
    plan = module.plan_images(chosen.patients, chosen.seed, chosen.minimum_prevalence)
    result = {}
    for rows in np.array_split(np.arange(len(plan)), 8):
        drawing = module.draw_images(plan.iloc[rows], chosen.side, chosen.seed)
        keys = plan.iloc[rows][["patient", "study", "instance"]].itertuples(index=False, name=None)
        result.update(dict(zip(keys, zip(drawing.images, drawing.masks, strict=True), strict=True)))
    return result


def shown(dataset: Dataset, row: pd.Series) -> np.ndarray:
    """Presentation values 0–1 of a radiograph by pydicom's own functions; the stored range where nothing is said."""
    values, largest = dataset.pixel_array, (1 << row["bits"]) - 1
    if row["window"] == "lut":
        values = apply_voi_lut(values, dataset) / 65535
    elif row["window"] == "none":
        values = values / largest
    else:  # pydicom scales a window to the range that the stored values span in modality units
        values = apply_voi_lut(apply_modality_lut(values, dataset).astype(float), dataset)
        values = (values - row["intercept"]) / (row["slope"] * largest)
    return 1 - values if dataset.PhotometricInterpretation == "MONOCHROME1" else values


def matched(row: pd.Series, image: np.ndarray, written: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the drawn image that was written, and where it lies in the written matrix."""
    rows = np.arange(len(image)) + row["top"]
    columns = np.arange(len(image)) + row["left"]
    inside_rows, inside_columns = (rows >= 0) & (rows < len(written)), (columns >= 0) & (columns < written.shape[1])
    return image[np.ix_(inside_rows, inside_columns)], written[np.ix_(rows[inside_rows], columns[inside_columns])]


def test_every_pixel_can_be_recovered_within_half_a_quantum(drawn: Drawn) -> None:
    anatomy, folder, truth = drawn
    images = drawings(anatomy, phantom(anatomy))
    windows = set()
    for row, dataset in good_files(folder, truth):
        image, _ = images[row["patient"], row["study"], row["instance"]]
        stored = dataset.pixel_array
        if anatomy == "head":
            low, high = (float(row[end]) * row["slope"] + row["intercept"] for end in ("low", "high"))
            drawn_part, written = matched(row, np.clip(image, low, high), apply_modality_lut(stored, dataset))
            tolerance = row["slope"] / 2 + 1e-3
        else:
            drawn_part, written = matched(row, np.clip(image, 0, 1), shown(dataset, row))
            tolerance = 0.5 * (1 + abs(row["bend"])) / (row["high"] - row["low"]) + 1e-5
        kept = np.ones_like(drawn_part, bool)
        if not np.isnan(row["padding"]):
            kept = matched(row, image, stored)[1] != row["padding"]
        assert kept.mean() > 0.7
        assert np.abs(drawn_part - written)[kept].max() <= tolerance, row["path"]
        windows.add(row["window"])
    assert windows == ({"none", "one", "several"} if anatomy == "head" else {"none", "one", "several", "exact", "lut"})


def test_truth_says_what_stands_in_the_files(drawn: Drawn) -> None:
    anatomy, folder, truth = drawn
    for row, dataset in good_files(folder, truth):
        assert row["sop_instance_uid"] == dataset.SOPInstanceUID
        assert row["patient_id"] == dataset.PatientID
        assert row["modality"] == dataset.Modality
        assert (row["rows"], row["columns"]) == (dataset.Rows, dataset.Columns)
        assert (row["bits"], row["signed"]) == (dataset.BitsStored, bool(dataset.PixelRepresentation))
        assert row["photometric"] == dataset.PhotometricInterpretation
        assert row["rescale"] == ("RescaleSlope" in dataset)
        assert float(dataset.get("RescaleSlope", 1)) == row["slope"]
        assert np.isnan(row["padding"]) == ("PixelPaddingValue" not in dataset)
        assert (row["window"] in ("none", "lut")) == ("WindowCenter" not in dataset)
        assert row["sha256"] == file_digest(folder / "dicom" / row["path"])
        assert row["patient_id"] in row["path"]
        assert str(dataset.PatientName).startswith("PHANTOM^")
        assert "SIMULATED" in dataset.ImageComments
    assert set(truth["modality"]) == MODALITIES[anatomy]
    assert truth["path"].is_unique
    listed = {path.relative_to(folder / "dicom").as_posix() for path in (folder / "dicom").rglob("*") if path.is_file()}
    assert listed == set(truth["path"])


def test_masks_follow_their_images_and_lie_in_files_only_where_there_is_a_lesion(
    drawn: Drawn,
) -> None:
    anatomy, folder, truth = drawn
    images = drawings(anatomy, phantom(anatomy))
    found = 0
    for _, row in truth[truth["fault"] == ""].iterrows():
        path = folder / "masks" / f"{row['sop_instance_uid']}.png"
        _, mask = images[row["patient"], row["study"], row["instance"]]
        if row["circular"]:
            y, x = np.indices(mask.shape) - (SIDE - 1) / 2
            mask = np.where(np.hypot(x, y) <= SIDE / 2, mask, 0)
        assert path.exists() == mask.any() == (row["mask_sha256"] != "")
        if path.exists():
            found += 1
            picture = Image.open(path)
            assert picture.mode == "I;16"
            written = np.asarray(picture)
            assert written.shape == (row["rows"], row["columns"])
            drawn_part, written_part = matched(row, mask, written)
            np.testing.assert_array_equal(drawn_part, written_part)
            assert np.count_nonzero(written) == np.count_nonzero(mask)  # margins cut no lesion
    assert found == len(list((folder / "masks").iterdir())) > 10


def test_unfit_files_are_as_many_as_asked_for_and_each_is_rejected_for_its_own_reason(
    drawn: Drawn, tmp_path: Path
) -> None:
    anatomy, folder, truth = drawn
    good = int((truth["fault"] == "").sum())
    assert (truth["fault"] != "").sum() == round(good * 0.12 / 0.88)
    assert set(truth["fault"]) - {""} == set(FAULTS[anatomy])
    ingest = Ingest.model_validate({"modalities": sorted(MODALITIES[anatomy]), "maximum_rejected": 0.5})
    index = index_folder(folder / "dicom", folder / "labels.csv", "sop_instance_uid", [], ingest, SIDE, tmp_path, 1)
    table = index.table.merge(pd.read_parquet(tmp_path / "files.parquet")[["file_id", "path"]], on="file_id")
    found = dict(zip(table["path"], table["reason"], strict=True))
    renderer = Renderer(ingest, [SIDE])
    for row in truth.itertuples():
        reason = found[row.path]
        if not reason:
            try:
                render_file((folder / "dicom" / row.path).read_bytes(), renderer, SIDE)
            except UnfitError as error:
                reason = error.reason.value
        # pydicom takes a file that ends in its meta information for one that says nothing.
        expected = {REASONS[row.fault].value} if row.fault else {""}
        assert reason in expected | ({Reason.MODALITY.value} if row.fault == "cut_header" else set()), row.fault


def test_label_table_is_what_a_user_would_have(drawn: Drawn) -> None:
    _, folder, truth = drawn
    labels = pd.read_csv(folder / "labels.csv")
    findings = [finding["name"] for finding in read_json(folder / "findings.json")]
    assert list(labels.columns) == ["sop_instance_uid", *findings]
    assert labels["sop_instance_uid"].is_unique
    assert set(labels[findings].to_numpy().ravel()) == {0, 1}
    expected = truth[~truth["fault"].isin([*WITHOUT_UID, "duplicate", "unlabelled"])].set_index("sop_instance_uid")
    assert set(labels["sop_instance_uid"]) == set(expected.index)
    pd.testing.assert_frame_equal(
        labels.set_index("sop_instance_uid").sort_index(), expected[findings].sort_index(), check_dtype=False
    )


def test_manifest_counts_and_vouches_for_every_byte(drawn: Drawn) -> None:
    anatomy, folder, truth = drawn
    manifest = read_json(folder / "manifest.json")
    assert manifest["files"] == len(truth)
    assert manifest["images"] == (truth["fault"] == "").sum()
    assert sum(manifest["faults"].values()) == manifest["files"] - manifest["images"]
    assert manifest["parameters"]["phantom"] == phantom(anatomy).model_dump(mode="json")
    assert manifest["parameters_digest"] == value_digest(manifest["parameters"])
    listing = ""
    for row in truth.sort_values("path").itertuples():
        mask = folder / "masks" / f"{row.sop_instance_uid}.png"
        digest = file_digest(mask) if row.mask_sha256 else ""
        listing += f"{row.path} {file_digest(folder / 'dicom' / row.path)} {digest}\n"
    assert manifest["files_digest"] == hashlib.sha256(listing.encode()).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in folder.rglob("*") if path.is_file()}


def test_two_processes_write_the_same_bytes_as_one(head: Drawn, tmp_path: Path) -> None:
    anatomy, folder, truth = head
    assert len(truth) > 2 * draw.CHUNK_IMAGES
    draw_cohort(phantom(anatomy), f"{anatomy}-phantom", tmp_path, processes=2)
    assert tree(tmp_path) == tree(folder)


def test_a_killed_drawing_goes_on_and_leaves_nothing_of_another(
    head: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anatomy, folder, _ = head
    draw_cohort(phantom(anatomy, patients=10, seed=9), f"{anatomy}-phantom", tmp_path)
    began = []

    def die_in_the_third(chunk: draw.Chunk) -> int:
        began.append(chunk.number)
        if len(began) == 3:
            next(chunk._records())  # one file is there, its chunk is not finished
            raise KeyboardInterrupt
        return finish(chunk)

    finish = draw.Chunk.draw
    monkeypatch.setattr(draw.Chunk, "draw", die_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        draw_cohort(phantom(anatomy), f"{anatomy}-phantom", tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "dicom").rglob("IM*.dcm")}
    draw_cohort(phantom(anatomy), f"{anatomy}-phantom", tmp_path)
    assert tree(tmp_path) == tree(folder)
    kept = sum(path.stat().st_mtime_ns == time for path, time in before.items())
    assert kept >= len(before) - draw.CHUNK_IMAGES > 0  # finished chunks were not drawn again


def test_dciodvfy_finds_no_fault_in_the_good_files(drawn: Drawn) -> None:
    assert shutil.which("dciodvfy"), "dciodvfy is missing; run: make system-packages"
    anatomy, folder, truth = drawn
    good = truth[(truth["fault"] == "") & (truth["syntax"] != "deflated")]  # dciodvfy cannot inflate
    varied = good.drop_duplicates(["modality", "syntax", "window", "photometric", "rescale", "signed"])
    for modality in MODALITIES[anatomy]:
        chosen = varied[varied["modality"] == modality].head(10)
        assert len(chosen) == 10
        for path in chosen["path"]:
            check = subprocess.run(["dciodvfy", str(folder / "dicom" / path)], capture_output=True, text=True)
            assert check.returncode == 0, check.stderr
            assert "Error" not in check.stderr
            assert "Warning" not in check.stderr


def test_dciodvfy_would_find_a_fault(head: Drawn, tmp_path: Path) -> None:
    """Positive control: without an attribute of type 1 the same object is refused."""
    _, folder, truth = head
    good = truth[(truth["fault"] == "") & (truth["syntax"] == "explicit")]
    dataset = dcmread(folder / "dicom" / good["path"].iloc[0])
    del dataset.BitsStored
    dataset.save_as(tmp_path / "bad.dcm")
    check = subprocess.run(["dciodvfy", str(tmp_path / "bad.dcm")], capture_output=True, text=True)
    assert check.returncode != 0
    assert "Error" in check.stderr


def storages(anatomy: str) -> list[Storage]:
    return [choose_storage(anatomy, ("PA", "AP")[seed % 2], 128, seed) for seed in range(1500)]


def test_storage_varies_over_all_that_the_iods_allow() -> None:
    head, chest = storages("head"), storages("chest")
    assert {storage.bits for storage in head} == {12, 13, 14, 15, 16}
    assert {storage.signed for storage in head} == {False, True}
    assert all(storage.rescale for storage in head)
    assert len({storage.syntax for storage in head}) == len({storage.syntax for storage in chest}) == 8
    assert any(storage.circular for storage in head)
    assert min(min(storage.margins) for storage in head) < 0 < max(max(storage.margins) for storage in head)
    assert {storage.bits for storage in chest} == {10, 12, 13, 14, 15, 16}
    for modality in ("CR", "DX"):
        some = [storage for storage in chest if storage.modality == modality]
        assert {storage.photometric for storage in some} == {"MONOCHROME1", "MONOCHROME2"}
        assert any(storage.padding is not None for storage in some)
        assert ("none" in {storage.window for storage in some}) == (modality == "CR")
    for storage in head + chest:
        smallest, largest = (
            (-(1 << storage.bits - 1), (1 << storage.bits - 1) - 1)
            if storage.signed
            else (
                0,
                (1 << storage.bits) - 1,
            )
        )
        assert smallest <= storage.low < storage.high <= largest
        if storage.padding is not None:
            assert smallest <= storage.padding <= largest
            assert not storage.low <= storage.padding <= storage.high
        top, bottom, left, right = storage.margins
        assert max(top + bottom, left + right) >= 0  # one side is never shorter than drawn
    native = np.mean([storage.syntax in ("explicit", "implicit") for storage in head + chest])
    assert 0.57 < native < 0.67


def plain_ct(**changes: object) -> Storage:
    values = {
        "modality": "CT", "syntax": "explicit", "bits": 12, "signed": False, "photometric": "MONOCHROME2",
        "rescale": True, "slope": 1.0, "intercept": -1024.0, "low": 0, "high": 4095, "padding": None,
        "circular": False, "window": "one", "bend": 0.0, "margins": (0, 0, 0, 0), **changes,
    }  # fmt: skip
    return Storage(**values)  # type: ignore[arg-type]


def test_margins_are_cut_and_added_and_never_reach_into_a_lesion() -> None:
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    mask = np.zeros((8, 8), np.uint16)
    mask[1, 4] = 2
    stored, framed, offset = store_pixels(image, mask, plain_ct(margins=(-3, 2, 1, -2), padding=4000, high=3999))
    assert stored.shape == framed.shape == (8 - 1 + 2, 8 + 1 - 2)  # the cut at the top stops before row 1
    assert offset == (-1, 1)
    np.testing.assert_array_equal(stored[:7, 1:], image[1:, :6] + 1024)
    assert (stored[7:] == 4000).all()
    assert (stored[:, 0] == 4000).all()
    assert framed[0, 5] == 2
    assert np.count_nonzero(framed) == 1


def test_only_the_circle_is_image_where_padding_surrounds_it() -> None:
    storage = plain_ct(signed=True, bits=16, intercept=0.0, low=-1024, high=30000, padding=-2000, circular=True)
    mask = np.full((64, 64), 1, np.uint16)
    stored, framed, _ = store_pixels(np.full((64, 64), 30.4, np.float32), mask, storage)
    outside = stored == -2000
    assert outside[0, 0]
    assert not outside[32, 0]
    assert outside.mean() == pytest.approx(1 - np.pi / 4, abs=0.01)
    assert (stored[~outside] == 30).all()
    np.testing.assert_array_equal(framed == 0, outside)


def test_hounsfield_units_outside_the_stored_range_are_clipped_not_wrapped() -> None:
    image = np.array([[-3000, -1024], [3071, 9000]], np.float32)
    stored, _, _ = store_pixels(image, np.zeros((2, 2), np.uint16), plain_ct())
    np.testing.assert_array_equal(stored, [[0, 0], [4095, 4095]])


def test_no_unfit_files_when_none_are_asked_for() -> None:
    assert assign_faults("head", 1000, 0.0, 1) == {}
    faults = assign_faults("head", 10_000, 0.02, 1)
    assert len(faults) == 204
    counts = pd.Series(faults).value_counts()
    assert counts.max() - counts.min() <= 1
