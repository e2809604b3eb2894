"""Re-identification: pairs are of different studies, the verifier learns who is who, replayed patients are found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from synthcohort.audit.membership import SHIFTS, replay
from synthcohort.audit.privacy import privacy_audit
from synthcohort.audit.privacy_vocabulary import CLOSEST_RECORD, PATIENT, THIRD_GROUP, VERIFICATION, attack_parameter
from synthcohort.audit.verifier import (
    draw_pairs,
    patients_with_several,
    several_studies,
    train_verifier,
    verification_auroc,
    verifier_space,
)
from synthcohort.classify.networks import build_network
from synthcohort.core.config import Statistics
from synthcohort.core.errors import TooFewImagesError
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.measures.attack_scores import closest_record
from synthcohort.measures.auroc import auroc

CPU = torch.device("cpu")
STATISTICS = Statistics(bootstrap=100)
KEYS = {
    "study": "s", "cohort": "toy", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "replicate": "r0",
}  # fmt: skip
SIDE = 16


def people(patients: int, studies: int, seed: int) -> np.ndarray:
    """Images ``[patients · studies, 1, SIDE, SIDE]``: a fine pattern of one's own, under a coarse one of each study."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 30, (patients, 1, 1, 8, 8)).repeat(2, axis=3).repeat(2, axis=4)
    coarse = rng.normal(0, 20, (patients, studies, 1, 2, 2)).repeat(8, axis=3).repeat(8, axis=4)
    change = coarse + rng.normal(0, 10, (patients, studies, 1, SIDE, SIDE))
    return np.clip(128 + own + change, 0, 255).astype(np.uint8).reshape(-1, 1, SIDE, SIDE)


def store(folder: Path, images: np.ndarray, patients: list[str], studies: list[str]) -> ImageStore:
    count = len(images)
    records = pd.DataFrame(
        {"image_id": range(count), "patient_id": patients, "study_id": studies, "f0": np.arange(count) % 2.0}
    ).astype({"image_id": str})
    info = StoreInfo(
        cohort="toy", findings=[Finding(name="f0", display="F0")], units="HU", windows=[(0, 80)], resolution=SIDE,
        channels=1, images=count, simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """300 patients with two studies each."""
    names = [f"p{number // 2}" for number in range(600)]
    return store(tmp_path_factory.mktemp("people"), people(300, 2, 0), names, [f"s{number}" for number in range(600)])


def test_pairs_are_of_one_patient_and_of_different_studies(tmp_path: Path) -> None:
    patients = [f"p{number // 3}" for number in range(90)] + [f"single{number}" for number in range(10)]
    studies = [f"s{number // 3}-{number % 3 > 0}" for number in range(90)] + [f"t{number}" for number in range(10)]
    real = store(tmp_path, people(100, 1, 0), patients, studies)
    pairs = several_studies(real, np.arange(100))
    assert len(pairs.rows) == 90
    first, second = draw_pairs(pairs, 12, np.random.default_rng(0))
    assert len(set(pairs.patients[first])) == 12
    assert (pairs.patients[first] == pairs.patients[second]).all()
    assert (pairs.studies[first] != pairs.studies[second]).all()
    with pytest.raises(TooFewImagesError, match="several studies"):
        several_studies(real, np.arange(30))


def test_a_verifier_knows_patients_it_never_saw_and_finds_them_replayed(cohort: ImageStore) -> None:
    network = train_verifier(cohort, np.arange(300), 0, CPU)
    found, count = verification_auroc(network, cohort, np.arange(300, 600), STATISTICS, np.random.default_rng(0))
    assert count == 150
    assert 0.9 < found.low < found.value < found.high <= 1
    strange = build_network("small", 1, ["patient"], SIDE, 0).eval()
    untrained, _ = verification_auroc(strange, cohort, np.arange(300, 600), STATISTICS, np.random.default_rng(0))
    assert untrained.high < found.low
    space = verifier_space(network)
    members, others = np.arange(300, 450), np.arange(450, 600)
    replayed = space.vectors(replay(cohort.images, members[::2], SHIFTS, np.random.default_rng(0)))
    candidates = space.vectors(np.asarray(cohort.images[np.concatenate([members[1::2], others])]))
    kinds = np.repeat([True, False], [75, 150])
    assert auroc(kinds, closest_record(candidates, replayed, "cosine")) > 0.75, "by another study of the same patient"


def test_patients_who_cannot_be_sought_are_named(tmp_path: Path) -> None:
    """Ten reference patients with two studies each are too few to learn from; with one study there is nothing to do."""
    images, patients = people(60, 2, 0), [f"p{number // 2}" for number in range(120)]
    selection = pd.DataFrame(
        {"row": range(120), "patient_id": patients, "side": np.repeat(["train", "valid", "test"], 40)}
    )
    judge = build_network("plain", 1, ["f0"], SIDE, 0).eval().requires_grad_(False)
    made = store(tmp_path / "made", people(20, 1, 1), *[[f"m{number}" for number in range(20)]] * 2)
    for studies in (2, 1):
        names = [f"{name}-{number % studies}" for number, name in enumerate(patients)]
        real = store(tmp_path / f"real{studies}", images, patients, names)
        assert patients_with_several(real, np.arange(41)) == (20 if studies == 2 else 0), (
            "of one only one image is there"
        )
        metrics = privacy_audit(KEYS, {"r3-gan": made}, real, selection, judge, Statistics(bootstrap=10), 0)[1]
        rows = metrics[metrics["features"] == "verifier (small)"]
        if studies == 2:
            assert rows["metric"].tolist() == [VERIFICATION]
            assert (rows["n"].item(), rows["source"].item()) == (10, "real")
            assert rows[["value", "ci_low", "ci_high"]].isna().all(axis=None)
        else:
            assert rows.empty


def test_the_audit_finds_patients_by_their_other_studies(cohort: ImageStore, tmp_path: Path) -> None:
    """The generator replays first studies alone; the attacker holds second ones, which it was never shown."""
    records = cohort.records
    second = np.arange(len(records)) % 2 == 1
    sides = np.repeat(["train", "valid", "test"], [100, 400, 100])
    selection = pd.DataFrame({"row": np.arange(600), "patient_id": records["patient_id"], "side": sides})
    first = np.flatnonzero((sides == "train") & ~second)
    images = replay(cohort.images, first, SHIFTS, np.random.default_rng(1))
    made = store(tmp_path, images, [f"m{number}" for number in range(50)], [f"m{number}" for number in range(50)])
    attacked = selection[second | (sides != "train")]
    judge = build_network("plain", 1, ["f0"], SIDE, 0).eval().requires_grad_(False)
    metrics = privacy_audit(KEYS, {"r3-gan": made}, cohort, attacked, judge, STATISTICS, 0)[1]
    rows = metrics[metrics["features"] == "verifier (small)"]
    assert rows.loc[rows["metric"] == VERIFICATION, "value"].item() > 0.85
    attacks = rows[rows["metric"] == "attack_auroc"].set_index(["role", "parameter"])["value"]
    plain, third = (attack_parameter(CLOSEST_RECORD, PATIENT, control) for control in ("", THIRD_GROUP))
    assert attacks["value", plain] > 0.7
    assert attacks["positive_control", plain] > 0.95
    assert abs(attacks["negative_control", third] - 0.5) < 0.15
