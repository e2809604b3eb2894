"""Embedded cohorts through ingest: all that was drawn is used, each fault is named, and masks and labels fit."""

import numpy as np
import pandas as pd
import pytest

from synthcohort.core.atomic import read_json
from synthcohort.core.cohort_config import Ingest, Phantom
from synthcohort.core.store import Finding, ImageStore
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Masks, Shard, preprocess_shard
from synthcohort.dicom.reasons import Reason
from synthcohort.phantoms.draw import draw_cohort
from synthcohort.phantoms.faults import FAULTS

REASONS = {
    "blank": Reason.CONSTANT,
    "burned_in": Reason.BURNED_IN,
    "colour": Reason.COLOUR,
    "cut_header": Reason.DAMAGED,
    "cut_jpeg": Reason.CUT_OFF,
    "cut_pixels": Reason.SHORT,
    "duplicate": Reason.DUPLICATE,
    "empty_file": Reason.NOT_DICOM,
    "for_processing": Reason.FOR_PROCESSING,
    "illegal_bits": Reason.BITS,
    "lateral_view": Reason.NOT_FRONTAL,
    "localizer": Reason.LOCALIZER,
    "missing_rescale": Reason.NO_RESCALE,
    "multi_frame": Reason.MULTI_FRAME,
    "no_pixels": Reason.NO_PIXELS,
    "png_file": Reason.NOT_DICOM,
    "short_pixels": Reason.SHORT,
    "text_file": Reason.NOT_DICOM,
    "unlabelled": Reason.NO_LABEL,
    "wrong_modality": Reason.MODALITY,
    "zero_slope": Reason.RESCALE,
    "zero_window": Reason.WINDOW,
}
SIDE = 32


def ingest_phantom(anatomy, work):
    """Draw, index, preprocess and merge; return the final index beside the ground truth, and the store."""
    draw_cohort(Phantom(anatomy=anatomy, patients=24, side=48, unfit_share=0.35, seed=5), "drawn", work / "data")
    findings = [Finding.model_validate(entry) for entry in read_json(work / "data" / "findings.json")]
    names = [finding.name for finding in findings]
    ingest = Ingest(modalities=["CT"] if anatomy == "head" else ["CR", "DX"], shards=1, maximum_rejected=0.6)
    folder, private = work / "data" / "dicom", work / "private"
    index = index_folder(folder, work / "data" / "labels.csv", "sop_instance_uid", names, ingest, SIDE, private, 1)
    shard = Shard("drawn", True, folder, private, ingest, [SIDE], index.findings, Masks(work / "data" / "masks", names))
    preprocess_shard(shard, 0, index.parts(), work / "shard")
    merge_shards(index.parts(), [work / "shard"], work / "store", work / "index.parquet", [SIDE], 0.6)
    merged = pd.read_parquet(work / "index.parquet")
    paths = pd.read_parquet(private / "files.parquet")[["file_id", "path"]]
    truth = pd.read_parquet(work / "data" / "truth.parquet").rename(columns=lambda name: f"true_{name}")
    return merged.merge(paths).merge(truth, left_on="path", right_on="true_path"), ImageStore(
        work / f"store/{SIDE:03d}"
    )


@pytest.mark.parametrize("anatomy", ["head", "chest"])
def test_a_drawn_cohort_is_understood_to_the_last_file(anatomy, tmp_path):
    table, store = ingest_phantom(anatomy, tmp_path)
    fault = table["true_fault"].fillna("")
    good = table[fault == ""]
    assert len(good) == len(store) > 20
    assert good["reason"].tolist() == [""] * len(good)
    unfit = table[fault != ""]
    assert set(unfit["true_fault"]) <= set(FAULTS[anatomy])
    assert len(set(unfit["true_fault"])) > 8
    wrong = unfit[unfit["reason"] != unfit["true_fault"].map(lambda name: REASONS[name].value)]
    assert wrong[["true_fault", "reason"]].drop_duplicates().to_numpy().tolist() == []

    for finding in store.info.finding_names:
        assert (good[finding] == good[f"true_{finding}"]).all()
    # Where a lesion was drawn, and nowhere else, there is a mask; no image is empty or without contrast.
    masks = np.load(store.folder / "masks.npy")
    absent = store.labels == 0
    assert not masks[absent].any()
    assert masks.any()
    assert np.asarray(store.images).reshape(len(store), -1).std(axis=1).min() > 10


def test_how_a_radiograph_is_stored_does_not_show(tmp_path):
    # MONOCHROME1 or 2, with a window, a table or nothing: the same body gives about the same grey.
    _, store = ingest_phantom("chest", tmp_path)
    brightness = pd.Series(np.asarray(store.images).mean(axis=(1, 2, 3)))
    by_storage = brightness.groupby(store.records["photometric"]).mean()
    assert set(by_storage.index) == {"MONOCHROME1", "MONOCHROME2"}
    assert abs(by_storage.iloc[0] - by_storage.iloc[1]) < 15
    assert store.records["windowed"].nunique() > 1
