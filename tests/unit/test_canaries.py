"""Canaries: a planted mark is found again, also moved and with noise, and nothing else is taken for one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from gan_toys import draw_faces
from synthcohort.audit.canaries import canary_metrics
from synthcohort.audit.membership import SHIFTS, replay
from synthcohort.core.config import Study
from synthcohort.core.plan import Plan
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.gan.canaries import canary_mark, canary_rows, plant_canaries
from synthcohort.gan.data import TrainingImages
from synthcohort.measures.canaries import FOUND, draw_mark, mark_correlations, plant


def test_a_mark_is_half_white_and_of_its_seed() -> None:
    mark = draw_mark(32, np.random.default_rng(0))
    assert mark.shape == (8, 8)
    assert set(mark.ravel()) == {0, 255}
    assert mark.mean() == 127.5
    assert (mark[::2, ::2] == mark[1::2, 1::2]).all(), "cells of two pixels"
    assert (draw_mark(32, np.random.default_rng(1)) != mark).any()
    for side in (8, 24, 0):
        with pytest.raises(ValueError, match="multiple of 16"):
            draw_mark(side, np.random.default_rng(0))


def test_a_planted_mark_is_found_and_no_other_image_has_it() -> None:
    images = draw_faces(500, 0).repeat(2, axis=2).repeat(2, axis=3)
    mark = draw_mark(32, np.random.default_rng(0))
    marked = plant(images, mark)
    assert (images != marked).any(axis=(1, 2, 3)).all()
    assert (images[:, :, 12:] == marked[:, :, 12:]).all(), "planted in a copy, in the corner"
    assert mark_correlations(marked, mark).min() == pytest.approx(1)
    assert mark_correlations(images, mark).max() < FOUND
    noise = np.random.default_rng(1).integers(0, 256, (5000, 1, 32, 32)).astype(np.uint8)
    assert mark_correlations(noise, mark).max() < FOUND


def test_a_replayed_mark_is_found() -> None:
    images = draw_faces(200, 0).repeat(2, axis=2).repeat(2, axis=3)
    mark = draw_mark(32, np.random.default_rng(0))
    again = replay(plant(images, mark), np.arange(200), SHIFTS, np.random.default_rng(0))
    assert (mark_correlations(again, mark) >= FOUND).mean() > 0.9


def test_a_mirrored_mark_is_found() -> None:
    images = draw_faces(200, 0).repeat(2, axis=2).repeat(2, axis=3)
    mark = draw_mark(32, np.random.default_rng(0))
    assert mark_correlations(plant(images, mark)[..., ::-1], mark).min() == pytest.approx(1)


def test_a_flat_image_and_a_second_channel() -> None:
    mark = draw_mark(16, np.random.default_rng(0))
    images = np.full((1, 2, 16, 16), 30, np.uint8)
    assert mark_correlations(images, mark).tolist() == [0]
    images[:, 1] = plant(images[:, 1:], mark)[:, 0]
    assert mark_correlations(images, mark).tolist() == pytest.approx([1])


# In a study


def make_store(folder: Path, images: np.ndarray) -> ImageStore:
    count = len(images)
    names = [f"x{number}" for number in range(count)]
    records = pd.DataFrame({"image_id": names, "patient_id": names, "f0": np.arange(count) % 2.0})
    info = StoreInfo(
        cohort="toy", findings=[Finding(name="f0", display="F0")], units="HU", windows=[(0, 80)],
        resolution=images.shape[-1], channels=1, images=count, simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def selection(prefix: str = "p", sign: int = 1) -> pd.DataFrame:
    """60 patients of three images; the first forty are for training."""
    patients = [f"{prefix}{500 + sign * (row // 3)}" for row in range(180)]
    return pd.DataFrame({"row": np.arange(180) + 20, "patient_id": patients, "side": ["train"] * 120 + ["test"] * 60})


def test_canaries_are_whole_training_patients_whatever_their_names() -> None:
    rows = canary_rows(selection(), 4, 7)
    assert len(rows) == 12
    assert rows.max() < 140
    assert set(np.bincount((rows - 20) // 3)) == {0, 3}
    np.testing.assert_array_equal(rows, canary_rows(selection("z", -1), 4, 7))
    assert set(rows) != set(canary_rows(selection(), 4, 8))
    assert len(canary_rows(selection(), 1000, 7)) == 120


def test_training_sees_the_mark_and_the_store_keeps_its_images(tmp_path: Path) -> None:
    store = make_store(tmp_path / "real", draw_faces(200, 0))
    rows = canary_rows(selection(), 4, 7)
    planted = plant_canaries(store, rows, 7)
    mark = canary_mark(16, 7)
    data = TrainingImages(planted, selection()["row"].to_numpy()[:120], torch.device("cpu"))
    seen = ((data.take(np.arange(120)).numpy() + 1) * 127.5).round().astype(np.uint8)
    np.testing.assert_array_equal(mark_correlations(seen, mark) > 0.99, np.isin(np.arange(20, 140), rows))
    assert (mark_correlations(store.images, mark) >= FOUND).sum() == 0
    store.info.verify(store.folder, "images.npy", "records.parquet")


def test_marked_samples_are_counted_beside_both_controls(tmp_path: Path) -> None:
    real = make_store(tmp_path / "real", draw_faces(200, 0))
    fresh = draw_faces(50, 1)
    copying = fresh.copy()
    copying[:3] = plant(copying[:3], canary_mark(16, 7))
    samples = {"cpd-gan": make_store(tmp_path / "a", fresh), "r3-gan": make_store(tmp_path / "b", copying)}
    keys = {"study": "s", "cohort": "c", "experiment": "samples-040", "axis": "samples", "level": "040"}
    rows = canary_rows(selection(), 4, 7)
    table = canary_metrics({**keys, "replicate": "r0"}, samples, real, selection(), rows, 7).set_index("source")
    assert set(table["metric"]) == {"canaries_found"}
    assert (table.loc["cpd-gan", "value"], table.loc["r3-gan", "value"], table.loc["r3-gan", "n"]) == (0, 3, 50)
    controls = table.loc["real"].set_index("role")
    assert controls.loc["positive_control", "value"] >= 0.9 * controls.loc["positive_control", "n"] == 0.9 * 12
    assert (controls.loc["negative_control", "value"], controls.loc["negative_control", "n"]) == (0, 60)


def test_a_study_without_canaries_trains_as_before_and_small_images_have_no_room() -> None:
    def study(**changes) -> Study:
        axes = [{"axis": "resolution", "levels": [16]}]
        cohorts = [{"name": "toy", "phantom": {"anatomy": "head"}}]
        return Study.model_validate({"cohorts": cohorts, "axes": axes, **changes})

    assert "canaries" not in Plan(study()).training("toy", "resolution-016", "r3-gan")
    assert Plan(study(privacy={"canaries": 3})).training("toy", "resolution-016", "r3-gan")["canaries"] == 3
    with pytest.raises(ValidationError, match="16² at least"):
        study(axes=[{"axis": "resolution", "levels": [8]}], privacy={"canaries": 3})
