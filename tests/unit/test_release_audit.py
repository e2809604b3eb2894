"""The gate reads what the privacy audit writes: a generator that draws afresh passes, one that copies does not."""

import numpy as np
import pandas as pd
import pytest

from gan_toys import draw_faces
from release_cases import release
from synthcohort.audit.privacy import privacy_audit
from synthcohort.audit.privacy_vocabulary import DISCRIMINATOR
from synthcohort.classify.networks import build_network
from synthcohort.core.config import Statistics
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.release.gate import check_figures

SIDES = {"train": 1050, "valid": 200, "test": 1050}
FINDINGS = ("f0", "f1")
KEYS = {
    "study": "s", "cohort": "clinic", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "replicate": "r0",
}  # fmt: skip


def store(folder, images):
    """One image a patient, all with the same label."""
    names = [f"p{number:04d}" for number in range(len(images))]
    records = pd.DataFrame({"image_id": names, "patient_id": names, "study_id": names, "f0": 1.0, "f1": 0.0})
    info = StoreInfo(
        cohort="clinic", findings=[Finding(name=name, display=name) for name in FINDINGS], units="HU",
        windows=[(0, 80)], resolution=16, channels=1, images=len(images), simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """An audit of two families: one draws afresh, one repeats every training image."""
    folder = tmp_path_factory.mktemp("audit")
    real = store(folder / "real", draw_faces(sum(SIDES.values()), 0))
    side = np.repeat(list(SIDES), list(SIDES.values()))
    selection = pd.DataFrame({"row": real.all_rows, "patient_id": real.records["patient_id"], "side": side})
    samples = {"r3-gan": draw_faces(600, 1), "cpd-gan": real.images[: SIDES["train"]]}
    judge = build_network("plain", 1, FINDINGS, 16, 0).eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    scorers = {family: {DISCRIMINATOR: lambda rows: rng.normal(size=len(rows))} for family in samples}
    synthetic = {family: store(folder / family, images) for family, images in samples.items()}
    return privacy_audit(KEYS, synthetic, real, selection, judge, Statistics(bootstrap=20), 0, scorers)[1]


def test_a_generator_that_draws_afresh_passes(metrics):
    assert check_figures(metrics, release()) == []


def test_a_generator_that_copies_does_not(metrics):
    found = check_figures(metrics, release(source="cpd-gan"))
    for space in ("in pixels", "in the judge’s features"):
        for unit in ("images", "patients"):
            own = [line for line in found if line.startswith(f"closest record {space}, {unit}: ")]
            assert ["AUROC's interval ends at" in line for line in own] == [True, False]
            assert ["at 1% false positives begins at" in line for line in own] == [False, True]
    assert not any("discriminator" in line for line in found)


def test_it_takes_1000_non_members(metrics):
    """The same audit of fewer patients: what an audit cannot resolve closes the gate."""
    few = metrics.copy()
    few.loc[few["parameter"].str.endswith("/0.01"), ["value", "ci_low", "ci_high"]] = np.nan
    found = check_figures(few, release())
    assert len(found) == 12  # five attacks on samples and the discriminator's, on images and on patients
    assert all("at 1% false positives is not resolvable with n = 10" in line for line in found)
