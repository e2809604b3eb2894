"""Shadow generators: who is dealt to them, and that they give away who is in the audited one, and nobody else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from gan_toys import draw_faces
from synthcohort.audit.membership import SHIFTS, replay
from synthcohort.audit.privacy import attacked_groups, privacy_audit, privacy_seed
from synthcohort.audit.privacy_vocabulary import CLOSEST_RECORD, HALVES, IMAGE, SHADOWS, THIRD_GROUP, attack_parameter
from synthcohort.audit.shadows import Shadow, shadow_selections
from synthcohort.classify.networks import build_network
from synthcohort.core.config import Privacy, Statistics, Study
from synthcohort.core.files import Files
from synthcohort.core.plan import Plan
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store

SIDES = {"train": 700, "valid": 200, "test": 400}
COUNT = sum(SIDES.values())
KEYS = {
    "study": "s", "cohort": "toy", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "replicate": "r0",
}  # fmt: skip


def store(folder: Path, images: NDArray[np.uint8]) -> ImageStore:
    """Two images a patient, in one study."""
    patients = [f"p{number // 2}" for number in range(len(images))]
    records = pd.DataFrame({"f0": np.float32(np.arange(len(images)) % 2)})
    records.insert(0, "image_id", [f"i{number}" for number in range(len(images))])
    records.insert(1, "patient_id", patients)
    records.insert(2, "study_id", patients)
    info = StoreInfo(
        cohort="toy", findings=[Finding(name="f0", display="F0")], units="HU", windows=[(0, 80)], resolution=16,
        channels=1, images=len(images), simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageStore, pd.DataFrame]:
    real = store(tmp_path_factory.mktemp("real"), draw_faces(COUNT, 0))
    side = np.repeat(list(SIDES), list(SIDES.values()))
    return real, pd.DataFrame({"row": np.arange(COUNT), "patient_id": real.records["patient_id"], "side": side})


def test_each_patient_is_in_half_of_the_shadows_and_all_their_images(cohort: tuple[ImageStore, pd.DataFrame]) -> None:
    real, selection = cohort
    groups = attacked_groups(real, selection, 5)
    tables = list(shadow_selections(selection, groups, 4, 5))
    assert len(tables) == 4
    side = np.array([table["side"] for table in tables])
    valid = (selection["side"] == "valid").to_numpy()
    assert (side[:, valid] == "valid").all()
    assert (side[:, ~valid] != "valid").all()
    attacked = selection["patient_id"].isin(selection.set_index("row").loc[groups.candidates, "patient_id"]).to_numpy()
    assert ((side == "train").sum(axis=0)[attacked] == 2).all()
    assert ((side[0] == "train") != (side[1] == "train"))[attacked].all(), "a pair shares nobody who is attacked"
    assert (side[:, ~attacked & (selection["side"] == "train")] == "train").all()
    assert (side[0] != side[2]).any()
    for table in tables:
        assert (table.groupby("patient_id")["side"].nunique() == 1).all()
        assert (table["side"] == "train").sum() == pytest.approx(SIDES["train"], rel=0.05)
    again = shadow_selections(selection.assign(patient_id="x" + selection["patient_id"]), groups, 4, 5)
    assert all((one["side"] == other["side"]).all() for one, other in zip(tables, again, strict=True))


def generated(real: ImageStore, training: NDArray[np.int64], seed: int, copies: bool) -> NDArray[np.uint8]:
    """Fresh faces, and, if asked for, every training image under so much noise that distance alone says little."""
    rng = np.random.default_rng(seed)
    fresh = draw_faces(300, seed)
    if not copies:
        return fresh
    replayed = replay(real.images, training, SHIFTS, rng).astype(float) + rng.normal(0, 25, (len(training), 1, 16, 16))
    return np.concatenate([fresh, np.clip(replayed, 0, 255).astype(np.uint8)])


def test_shadows_find_members_better_than_distance_alone_and_nobody_where_there_is_none(
    cohort: tuple[ImageStore, pd.DataFrame], tmp_path: Path
) -> None:
    real, selection = cohort
    judge = build_network("plain", 1, ["f0"], 16, 0).eval().requires_grad_(False)
    trainings = [
        table.loc[table["side"] == "train", "row"].to_numpy()
        for table in shadow_selections(selection, attacked_groups(real, selection, 3), 4, 3)
    ]
    own = selection.loc[selection["side"] == "train", "row"].to_numpy()
    synthetic, shadows = {}, {}
    for family, copies in (("r3-gan", True), ("cpd-gan", False)):
        synthetic[family] = store(tmp_path / family, generated(real, own, 100, copies))
        shadows[family] = [Shadow(generated(real, rows, number, copies), rows) for number, rows in enumerate(trainings)]
    metrics = privacy_audit(
        KEYS, synthetic, real, selection, judge, Statistics(bootstrap=50), 3, shadows=shadows
    )[1]  # fmt: skip
    pixels = metrics[(metrics["features"] == "pixels") & (metrics["metric"] == "attack_auroc")]
    found = pixels.set_index(["source", "role", "parameter"])["value"]
    shadowed, closest = (attack_parameter(attack, IMAGE) for attack in (SHADOWS, CLOSEST_RECORD))
    third, halves = (attack_parameter(SHADOWS, IMAGE, control) for control in (THIRD_GROUP, HALVES))
    assert found["r3-gan", "value", shadowed] > max(0.8, found["r3-gan", "value", closest] + 0.03)
    assert abs(found["cpd-gan", "value", shadowed] - 0.5) < 0.1
    assert found["real", "positive_control", shadowed] > 0.95
    assert abs(found["real", "negative_control", third] - 0.5) < 0.1
    assert abs(found["r3-gan", "negative_control", halves] - 0.5) < 0.1


def test_shadows_are_replicates_with_selections_of_their_own() -> None:
    study = Study.model_validate(
        {
            "cohorts": [{"name": "c", "phantom": {"anatomy": "head"}}],
            "axes": [
                {"axis": "resolution", "levels": [8, 16], "families": ["prog-gan"]},
                {"axis": "amount", "levels": [50, 100], "families": ["r3-gan"]},
            ],
            "privacy": {"shadows": 4},
        }
    )
    plan = Plan(study)
    files = Files(plan)
    assert plan.shadows("r0") == ["r0s0", "r0s1", "r0s2", "r0s3"]
    assert files.selection("{cohort}/{experiment}", "c", "e", "r0") == "c/e/selection.parquet"
    assert files.selection("{cohort}/{experiment}", "c", "e", "r0s1") == "c/e/shadows/r0s1.parquet"
    where = files.shadow_selections("{cohort}/{experiment}", "c", "amount-0100", "r0")
    assert where[0] == "c/amount-0050/shadows/r0s0.parquet", "the level that trains for all"
    samples = files.shadow_samples("{experiment}/{source}/{replicate}", ["a"], "c", "resolution-016", "r0")
    assert samples == [f"resolution-016/prog-gan/r0s{number}/a" for number in range(4)]
    assert privacy_seed(1, "c", "resolution-008", "r0") == privacy_seed(1, "c", "resolution-016", "r0")
    for count in (2, 3, -2):
        with pytest.raises(ValidationError, match="shadows"):
            Privacy(shadows=count)
