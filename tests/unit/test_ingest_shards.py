"""Shards and their cache: the same stores however the work was cut, interrupted or repeated."""

import os
import stat

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pyarrow.parquet import ParquetFile
from pydicom import dcmread

from dicom_files import change, ct, ct_values, in_every_syntax, save
from synthcohort.core import atomic
from synthcohort.core.cohort_config import Ingest, Window
from synthcohort.core.errors import UserError
from synthcohort.core.store import ImageStore
from synthcohort.dicom import index as index_module
from synthcohort.dicom import preprocess
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Masks, Shard, preprocess_shard
from synthcohort.dicom.reasons import Reason

SIDES = [8, 16]
COUNT = 12


@pytest.fixture
def cohort(tmp_path):
    """Twelve slices, one of them cut off; every second one shows a lesion in its mask."""
    (tmp_path / "masks").mkdir()
    for number in range(COUNT):
        values = ct_values(seed=number)
        path = save(ct(values, number=number, patient=f"P{number // 3}"), tmp_path / "in" / f"i{number}")
        if number % 2:
            mask = np.zeros(values.shape, np.uint16)
            mask[8:16, 8 : 8 + number] = 2
            Image.fromarray(mask).save(tmp_path / "masks" / f"1.2.826.0.1.3680043.8.498.{number}.png")
    path.write_bytes(path.read_bytes()[:-10])
    return tmp_path


def labels():
    return pd.DataFrame({"file": [f"i{n}" for n in range(COUNT + 2)], "odd": [0, 1] * 7, "rare": [0.0] * 7 + [1.0] * 7})


def ingest(shards=2, **changes):
    return Ingest(shards=shards, maximum_rejected=0.5, **changes)


def indexed(cohort, policy):
    return index_folder(cohort / "in", labels(), "file", [], policy, max(SIDES), cohort / "private", seed=1)


def run(cohort, output, policy=None, masks=False, sides=SIDES):
    """Index, preprocess all shards, merge; return the final index."""
    policy = policy or ingest()
    index = indexed(cohort, policy)
    lesions = Masks(cohort / "masks", ["rare", "odd"]) if masks else None
    shard = Shard("test", True, cohort / "in", cohort / "private", policy, sides, index.findings, lesions)
    folders = [output / "shards" / str(number) for number in range(policy.shards)]
    for number, folder in enumerate(folders):
        preprocess_shard(shard, number, index.parts(), folder)
    merge_shards(index.parts(), folders, output / "store", output / "index.parquet", sides, policy.maximum_rejected)
    return pd.read_parquet(output / "index.parquet")


def stores(output):
    return [ImageStore(output / "store" / f"{side:03d}") for side in SIDES]


def file_bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_store_holds_what_the_index_accepts_in_its_order(cohort):
    index = run(cohort, cohort / "out")
    accepted = index[index["status"] == "accepted"]
    assert len(accepted) == COUNT - 1
    assert index.loc[index["status"] == "rejected", "reason"].tolist() == [Reason.SHORT.value]
    paths = pd.read_parquet(cohort / "private" / "files.parquet").set_index("file_id")["path"]
    for store, side in zip(stores(cohort / "out"), SIDES, strict=True):
        assert store.images.shape == (COUNT - 1, 1, side, side)
        assert store.records["image_id"].tolist() == accepted["image_id"].tolist()
        assert store.info.finding_names == ["odd", "rare"]
        assert store.info.units == "HU"
        assert store.info.windows == [(0, 80)]
        assert store.info.simulated
        assert store.info.policy["hounsfield_range"] == [-1024, 3071]
        for image, file_id, odd in zip(store.images, store.records["image_id"], store.records["odd"], strict=True):
            number = int(paths[file_id][1:])
            blocks = np.clip(ct_values(seed=number), 0, 80).reshape(side, 32 // side, side, 32 // side)
            assert np.abs(image[0] - blocks.mean(axis=(1, 3)) / 80 * 255).max() <= 0.51
            assert odd == number % 2
    assert (store.records["windowed"] == "fixed").all()


def test_the_number_of_shards_changes_nothing(cohort):
    run(cohort, cohort / "one", ingest(1))
    run(cohort, cohort / "many", ingest(9))  # some of them empty
    assert file_bytes(cohort / "one" / "store") == file_bytes(cohort / "many" / "store")


def test_what_is_in_memory_at_a_time_changes_nothing(cohort, monkeypatch):
    whole = run(cohort, cohort / "one", ingest(5), masks=True)
    for module in (atomic, index_module):
        monkeypatch.setattr(module, "ROWS", 2)
    parts = run(cohort, cohort / "many", ingest(5), masks=True)
    assert ParquetFile(cohort / "many" / "index.parquet").num_row_groups == COUNT // 2
    assert parts.equals(whole)
    for one, many in zip(stores(cohort / "one"), stores(cohort / "many"), strict=True):
        assert many.records.equals(one.records)
        assert np.array_equal(many.images, one.images)
        assert many.info.digests["masks.npy"] == one.info.digests["masks.npy"]


@pytest.mark.parametrize("also", ["fewer", "others"])
def test_shards_of_another_index_are_refused(cohort, also):
    run(cohort, cohort / "out", ingest(1))
    path = cohort / "in" / "i0"
    path.rename(cohort / "in" / "i12") if also == "others" else save(ct(number=20), cohort / "in" / "i12")
    with pytest.raises(UserError, match="shards are not those of its index; run the same command again with"):
        merge_shards(
            indexed(cohort, ingest(1)).parts(), [cohort / "out/shards/0"], cohort / "s", cohort / "i", SIDES, 1
        )


def test_a_second_run_is_identical_and_decodes_nothing(cohort, monkeypatch):
    run(cohort, cohort / "first", masks=True)
    monkeypatch.setattr(preprocess, "render_file", lambda *_: pytest.fail("decoded again"))
    run(cohort, cohort / "second", masks=True)
    assert file_bytes(cohort / "first") == file_bytes(cohort / "second")


def test_added_and_changed_files_alone_are_decoded(cohort, monkeypatch):
    run(cohort, cohort / "first")
    save(ct(ct_values(seed=99), number=99), cohort / "in" / f"i{COUNT}")
    save(ct(ct_values(seed=98), number=0, patient="P0"), cohort / "in" / "i0")
    os.utime(cohort / "in" / "i1")  # touched, not changed
    decoded = count_decoded(monkeypatch)
    run(cohort, cohort / "second")
    assert len(decoded) == 2
    assert len(stores(cohort / "second")[0]) == COUNT


def count_decoded(monkeypatch, stop_after=None):
    decoded, render = [], preprocess.render_file

    def counted(*arguments):
        if len(decoded) == stop_after:
            raise KeyboardInterrupt
        decoded.append(arguments)
        return render(*arguments)

    monkeypatch.setattr(preprocess, "render_file", counted)
    return decoded


def test_a_killed_shard_goes_on_where_it_was(cohort, monkeypatch):
    run(cohort, cohort / "whole", ingest(1))
    for path in (cohort / "private" / "cache").iterdir():
        path.unlink()
    with monkeypatch.context() as patch:
        count_decoded(patch, stop_after=7)
        with pytest.raises(KeyboardInterrupt):
            run(cohort, cohort / "killed", ingest(1))
    decoded = count_decoded(monkeypatch)
    run(cohort, cohort / "killed", ingest(1))
    assert len(decoded) == COUNT - 7
    assert file_bytes(cohort / "killed") == file_bytes(cohort / "whole")


@pytest.mark.parametrize("damage", ["cut", "zeros", "flipped bit"])
def test_a_damaged_cache_costs_time_and_nothing_else(cohort, monkeypatch, damage):
    run(cohort, cohort / "whole", ingest(1))
    (path,) = (cohort / "private" / "cache").glob("*.rows")
    data = bytearray(path.read_bytes())
    record = len(data) // COUNT
    if damage == "cut":
        del data[-record // 2 :]
    elif damage == "zeros":
        data[-record // 2 :] = bytes(record // 2)
    else:
        data[record * 9 + record // 2] ^= 1
    path.write_bytes(data)
    decoded = count_decoded(monkeypatch)
    run(cohort, cohort / "again", ingest(1))
    assert len(decoded) == (3 if damage == "flipped bit" else 1)
    assert file_bytes(cohort / "again") == file_bytes(cohort / "whole")


def test_another_policy_decodes_anew_and_both_stay(cohort, monkeypatch):
    first = run(cohort, cohort / "first")
    decoded = count_decoded(monkeypatch)
    run(cohort, cohort / "bone", ingest(windows=[Window(center=40, width=80), Window(center=600, width=2800)]))
    assert len(decoded) == COUNT
    assert stores(cohort / "bone")[0].images.shape[1] == 2
    again = run(cohort, cohort / "again")
    assert len(decoded) == COUNT
    assert again.equals(first)


def test_corrected_code_decodes_anew(cohort, monkeypatch):
    """A file that an older version took for damaged must not stay rejected."""
    run(cohort, cohort / "first")
    decoded = count_decoded(monkeypatch)
    monkeypatch.setattr(preprocess.versions, "PREPROCESS", preprocess.versions.PREPROCESS + 1)
    run(cohort, cohort / "second")
    assert len(decoded) == COUNT


def test_the_cache_is_private(cohort):
    run(cohort, cohort / "out")
    folder = cohort / "private" / "cache"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_masks_lie_beside_their_images(cohort):
    run(cohort, cohort / "out", masks=True)
    paths = pd.read_parquet(cohort / "private" / "files.parquet").set_index("file_id")["path"]
    for store, side in zip(stores(cohort / "out"), SIDES, strict=True):
        masks = np.load(store.folder / "masks.npy")
        assert masks.shape == (COUNT - 1, 2, side, side)
        assert "masks.npy" in store.info.digests
        for mask, file_id in zip(masks, store.records["image_id"], strict=True):
            number = int(paths[file_id][1:])
            expected = 8 * number if number % 2 else 0  # pixels of the 32² mask; bit 1 is "odd", the first finding
            assert mask[0].sum() / 255 * (32 / side) ** 2 == pytest.approx(expected, rel=0.02)
            assert not mask[1].any()


def test_a_mask_of_another_size_rejects_its_image(cohort):
    Image.fromarray(np.ones((4, 4), np.uint16)).save(cohort / "masks" / "1.2.826.0.1.3680043.8.498.1.png")
    (cohort / "masks" / "1.2.826.0.1.3680043.8.498.3.png").write_bytes(b"no picture")
    index = run(cohort, cohort / "out", masks=True)
    assert (index["reason"] == Reason.MASK.value).sum() == 2


def test_a_file_that_vanished_since_the_index_is_a_row(cohort):
    policy = ingest(1)
    index = indexed(cohort, policy)
    (cohort / "in" / "i4").unlink()
    shard = Shard("test", True, cohort / "in", cohort / "private", policy, SIDES, index.findings)
    preprocess_shard(shard, 0, index.parts(), cohort / "shard")
    files = pd.read_parquet(cohort / "shard" / "files.parquet")
    assert (files["reason"] == Reason.CANNOT_OPEN.value).sum() == 1
    assert len(ImageStore(cohort / "shard" / "016")) == COUNT - 2


def test_an_empty_shard_is_an_empty_store(cohort):
    for number in range(1, COUNT):
        (cohort / "in" / f"i{number}").unlink()
    index = run(cohort, cohort / "out", ingest(4))
    assert len(index) == 1
    assert len(stores(cohort / "out")[0]) == 1


def test_too_many_rejected_by_their_pixels_stop_the_merge(cohort):
    for number in range(6):
        path = cohort / "in" / f"i{number}"
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"7 of 12 files.*7 × pixel data shorter than the header says"):
        run(cohort, cohort / "out")


def test_a_lost_private_table_is_named(cohort):
    policy = ingest(1)
    index = indexed(cohort, policy)
    (cohort / "private" / "files.parquet").unlink()
    shard = Shard("test", True, cohort / "in", cohort / "private", policy, SIDES, index.findings)
    with pytest.raises(UserError, match="run the index again"):
        preprocess_shard(shard, 0, index.parts(), cohort / "shard")


def test_nine_transfer_syntaxes_give_identical_rows(tmp_path):
    files = in_every_syntax(ct(ct_values(40, 56, seed=5)), tmp_path / "sources")
    for number, path in enumerate(files.values()):
        save(change(dcmread(path), SOPInstanceUID=f"1.2.3.{number}"), tmp_path / "in" / f"i{number}")
    index = run(tmp_path, tmp_path / "out")
    assert index["transfer_syntax"].nunique() == 9
    for store in stores(tmp_path / "out"):
        assert len(store) == 9
        assert (np.asarray(store.images) == store.images[0]).all()
        assert store.images[0].std() > 10
