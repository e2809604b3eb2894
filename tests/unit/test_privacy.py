"""The privacy audit: it alarms where training images are replayed, and stays silent where other patients' are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from gan_toys import draw_faces
from synthcohort.audit.discriminator import discriminator_scores, load_discriminator
from synthcohort.audit.membership import FEWEST, PIXEL_SIDE, SHIFTS, Groups, average_down, choose_groups, move, replay
from synthcohort.audit.neighbours import Rows
from synthcohort.audit.privacy import privacy_audit
from synthcohort.audit.privacy_vocabulary import (
    CALIBRATED,
    CAUGHT,
    CHANCE_MARGIN,
    CLOSEST_RECORD,
    DENSITY_RATIO,
    HALVES,
    IMAGE,
    PATIENT,
    THIRD_GROUP,
    attack_parameter,
)
from synthcohort.audit.utility import METRIC_COLUMNS
from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.networks import Network, build_network
from synthcohort.core.atomic import write_json
from synthcohort.core.checkpoint import write_weights
from synthcohort.core.config import Statistics
from synthcohort.core.errors import TooFewImagesError, UserError
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.gan.layers import float_images
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.registry import load_family

CPU = torch.device("cpu")
FINDINGS = ("f0", "f1")
KEYS = {
    "study": "s", "cohort": "toy", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "replicate": "r0",
}  # fmt: skip
STATISTICS = Statistics(bootstrap=100)
ATTACKS = [("judge", CLOSEST_RECORD), ("judge", CALIBRATED), ("judge", DENSITY_RATIO), ("pixels", CLOSEST_RECORD),
           ("pixels", CALIBRATED)]  # fmt: skip
SIDES = {"train": 900, "valid": 420, "test": 420}
COUNT = sum(SIDES.values())


def store(folder: Path, images: NDArray[np.uint8], patients: list[str]) -> ImageStore:
    labels = np.eye(2, dtype=np.float32)[(np.arange(len(images)) % 3 == 2).astype(int)]
    records = pd.DataFrame(labels, columns=list(FINDINGS))
    records.insert(0, "image_id", [f"i{number}" for number in range(len(images))])
    records.insert(1, "patient_id", patients)
    records.insert(2, "study_id", patients)  # one study each: nothing for a verifier to learn from
    info = StoreInfo(
        cohort="toy", findings=[Finding(name=name, display=name.upper()) for name in FINDINGS], units="HU",
        windows=[(0, 80)], resolution=images.shape[-1], channels=1, images=len(images), simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def cohort(folder: Path, prefix: str = "p", sign: int = 1) -> tuple[ImageStore, pd.DataFrame]:
    """Images of one distribution, three a patient."""
    patients = [f"{prefix}{5000 + sign * (number // 3):04d}" for number in range(COUNT)]
    real = store(folder, draw_faces(COUNT, 0), patients)
    side = np.repeat(list(SIDES), list(SIDES.values()))
    return real, pd.DataFrame({"row": np.arange(COUNT), "patient_id": patients, "side": side})


def made(folder: Path, images: NDArray[np.uint8]) -> ImageStore:
    return store(folder, images, [f"synthetic-{number}" for number in range(len(images))])


@pytest.fixture(scope="module")
def judge() -> Network:
    """An untrained network: random features, which know nothing of any side."""
    return build_network("plain", 1, FINDINGS, 16, 0).eval().requires_grad_(False)


Audited = tuple[ImageStore, pd.DataFrame, dict[str, NDArray], pd.DataFrame]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, judge: Network) -> Audited:
    """A generator that draws afresh, but for five exact copies, and an attacker who knows the answer for one attack."""
    folder = tmp_path_factory.mktemp("audited")
    real, selection = cohort(folder / "real")
    images = draw_faces(600, 1)
    images[100:105] = real.images[40:45]

    def oracle(rows: Rows) -> NDArray[np.float64]:
        return (rows < SIDES["train"]).astype(float)

    arrays, metrics = privacy_audit(
        KEYS,
        {"r3-gan": made(folder / "made", images)},
        real,
        selection,
        judge,
        STATISTICS,
        0,
        {"r3-gan": {"oracle": oracle}},
    )
    return real, selection, arrays, metrics


def one(metrics: pd.DataFrame, metric: str, role: str, features: str, parameter: str) -> pd.Series:
    rows = metrics[
        (metrics["metric"] == metric) & (metrics["role"] == role) & metrics["features"].str.startswith(features)
        & (metrics["parameter"] == parameter)
    ]  # fmt: skip
    assert len(rows) == 1
    return rows.iloc[0]


# Attacks and controls


@pytest.mark.parametrize(("features", "attack"), [known for known in ATTACKS if known[1] != DENSITY_RATIO])
def test_replayed_training_images_are_caught(audited: Audited, features: str, attack: str) -> None:
    for unit in (IMAGE, PATIENT):
        found = one(audited[3], "attack_auroc", "positive_control", features, attack_parameter(attack, unit))
        assert found["value"] >= CAUGHT
        assert found["ci_low"] > 0.9
    rate = one(audited[3], "attack_tpr", "positive_control", features, attack_parameter(attack, IMAGE, rate=0.1))
    assert rate["value"] > 0.8


@pytest.mark.parametrize(("features", "attack"), ATTACKS)
def test_replayed_other_patients_and_fresh_images_are_not(audited: Audited, features: str, attack: str) -> None:
    for unit in (IMAGE, PATIENT):
        for role, control in (
            ("value", ""), ("negative_control", THIRD_GROUP), ("negative_control", HALVES),
        ):  # fmt: skip
            found = one(audited[3], "attack_auroc", role, features, attack_parameter(attack, unit, control))
            assert abs(found["value"] - 0.5) < CHANCE_MARGIN
            assert found["ci_low"] < 0.55
            assert found["ci_high"] > 0.45


def test_rates_that_so_few_non_members_cannot_resolve_have_no_value(audited: Audited) -> None:
    metrics = audited[3]
    rates = metrics[metrics["metric"] == "attack_tpr"]
    rate = rates["parameter"].str.rsplit("/", n=1).str[1].astype(float)
    known = rates["value"].notna()
    assert (known == ((rate * rates["n"]).round(6) >= 10)).all()
    assert known.any()
    assert not known.all()
    assert (rates.loc[known, ["ci_low", "value", "ci_high"]].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)


def test_other_attacks_get_rows_and_their_control(audited: Audited) -> None:
    metrics = audited[3]
    assert one(metrics, "attack_auroc", "value", "oracle", "oracle/patient")["value"] == 1
    assert one(metrics, "attack_auroc", "negative_control", "oracle", "oracle/patient/halves")["value"] == 0.5
    assert set(metrics.loc[metrics["features"] == "oracle", "role"]) == {"value", "negative_control"}


def test_table_is_complete(audited: Audited) -> None:
    metrics = audited[3]
    assert tuple(metrics.columns) == METRIC_COLUMNS
    assert metrics["simulated"].all()
    attacks = metrics[metrics["metric"].isin(["attack_auroc", "attack_tpr"])]
    assert len(attacks) == (5 * 4 + 2) * 2 * 4
    images = attacks[attacks["parameter"].str.contains("/image") & ~attacks["parameter"].str.contains(HALVES)]
    patients = attacks[attacks["parameter"].str.contains("/patient") & ~attacks["parameter"].str.contains(HALVES)]
    assert images["n"].nunique() == patients["n"].nunique() == 1
    assert 350 < images["n"].iloc[0] <= 420
    assert 130 < patients["n"].iloc[0] <= 140


def test_a_generator_that_copies_a_fifth_of_its_images_is_seen(tmp_path: Path, judge: Network) -> None:
    real, selection = cohort(tmp_path / "real")
    fresh = draw_faces(900, 1)
    images = fresh.copy()
    images[:180] = real.images[:900:5]
    samples = {"cpd-gan": made(tmp_path / "fresh", fresh), "r3-gan": made(tmp_path / "made", images)}
    both = privacy_audit(KEYS, samples, real, selection, judge, STATISTICS, 0)[1]
    metrics, others = (both[both["source"].isin([family, "real"])] for family in ("r3-gan", "cpd-gan"))
    for features, attack in ATTACKS:
        found = one(metrics, "attack_auroc", "value", features, attack_parameter(attack, IMAGE))
        assert 0.53 < found["value"] < 0.68, "the others are as unknown as before"
    calibrated = one(metrics, "attack_tpr", "value", "pixels", attack_parameter(CALIBRATED, IMAGE, rate=0.1))
    assert calibrated["value"] > 0.2
    copied, drawn = (one(part, "authenticity", "value", "pixels", "") for part in (metrics, others))
    assert copied["value"] == pytest.approx(0.8 * drawn["value"], abs=0.06), "500 of each are looked at"


def test_mirrored_copies_are_caught_where_generators_see_mirrored_images(tmp_path: Path, judge: Network) -> None:
    """They lie in the second part of what may be shared."""
    real, selection = cohort(tmp_path / "real")
    parts = draw_faces(500, 1), real.images[: SIDES["train"], :, :, ::-1]
    stores = [made(tmp_path / f"part{number}", np.ascontiguousarray(images)) for number, images in enumerate(parts)]
    joined = {"r3-gan": JoinedStore(*((store, store.all_rows) for store in stores))}
    audits = {
        mirrored: privacy_audit(
            KEYS, joined, real, selection, judge, Statistics(bootstrap=20), 0, mirrored=mirrored
        )[1] for mirrored in (True, False)
    }  # fmt: skip
    seen = attack_parameter(CLOSEST_RECORD, IMAGE)
    assert one(audits[True], "attack_auroc", "value", "pixels", seen)["value"] >= CAUGHT
    assert one(audits[True], "attack_auroc", "positive_control", "pixels", seen)["value"] >= CAUGHT
    assert one(audits[False], "attack_auroc", "value", "pixels", seen)["value"] < 0.8
    assert one(audits[True], "authenticity", "value", "pixels", "")["value"] < 0.55


# Copies


def test_authenticity_tells_copies_from_other_patients(audited: Audited) -> None:
    fresh = one(audited[3], "authenticity", "value", "pixels", "")
    others = one(audited[3], "authenticity", "negative_control", "pixels", THIRD_GROUP)
    copies = one(audited[3], "authenticity", "positive_control", "pixels", "")
    assert copies["value"] < 0.15
    assert copies["ci_high"] < min(fresh["ci_low"], others["ci_low"])
    assert fresh["n"] == 500
    assert (fresh["source"], others["source"]) == ("r3-gan", "real")
    assert one(audited[3], "alpha_precision", "value", "judge", "")["value"] > 0.85
    assert one(audited[3], "beta_recall", "positive_control", "judge", "")["value"] > 0.7


def test_closest_pairs_are_the_copies_and_carry_no_identifiers(audited: Audited) -> None:
    real, _, arrays, _ = audited
    copied = {image.tobytes() for image in real.images[40:45]}
    assert arrays["r3-gan_synthetic"].shape == (6, 1, 16, 16)
    exact = (arrays["r3-gan_synthetic"] == arrays["r3-gan_training"]).all(axis=(1, 2, 3))
    assert 3 <= exact.sum() <= 5, "of five, those among the images that are looked at"
    assert {image.tobytes() for image in arrays["r3-gan_synthetic"][exact]} <= copied
    assert arrays["r3-gan_ratios"][exact] == pytest.approx(0, abs=1e-6)
    assert arrays["r3-gan_ratios"][~exact].min() > 0.1
    assert (np.diff(arrays["positive_control_ratios"]) >= 0).all()
    assert arrays["negative_control_ratios"].min() > 0.1
    trained = {image.tobytes() for image in real.images[: SIDES["train"]]}
    shown = [arrays[name] for name in arrays if name.endswith("_training")]
    assert len(shown) == 3
    assert all(image.tobytes() in trained for part in shown for image in part)
    assert all(array.dtype.kind in "uf" for array in arrays.values())


# Who is attacked


def test_groups_are_apart_and_matched(tmp_path: Path) -> None:
    real, selection = cohort(tmp_path / "real")
    groups = choose_groups(real, selection, np.random.default_rng(0))
    side = selection.set_index("row")["side"]
    sides = dict(zip(Groups._fields, ("train", "test", "valid", "valid"), strict=True))
    for name, rows in groups._asdict().items():
        assert set(side.loc[rows]) == {sides[name]}
        assert len(set(rows)) == len(rows)
    np.testing.assert_array_equal(real.labels[groups.members], real.labels[groups.non_members])
    patient = selection.set_index("row")["patient_id"]
    assert not set(patient.loc[groups.reference]) & set(patient.loc[groups.third])
    assert len(groups.reference) + len(groups.third) == SIDES["valid"]
    per_patient = [patient.loc[rows].value_counts().mean() for rows in groups[:2]]
    assert per_patient[0] == pytest.approx(per_patient[1], rel=0.1)
    assert min(per_patient) > 2.5


def test_a_patient_on_two_sides_or_too_few_are_refused(tmp_path: Path) -> None:
    real, selection = cohort(tmp_path / "real")
    for row in (0, COUNT - 1):
        crossed = selection.copy()
        crossed.loc[row, "patient_id"] = crossed.loc[SIDES["train"] + 1, "patient_id"]
        with pytest.raises(UserError, match="two sides"):
            choose_groups(real, crossed, np.random.default_rng(0))
    crossed = selection.copy()
    crossed.loc[0, "patient_id"] = crossed.loc[COUNT - 1, "patient_id"]
    with pytest.raises(UserError, match="two sides"):
        choose_groups(real, crossed, np.random.default_rng(0))
    few = selection[(selection["side"] != "test") | (selection["row"] > COUNT - FEWEST)]
    with pytest.raises(TooFewImagesError, match="members"):
        choose_groups(real, few, np.random.default_rng(0))


def test_numbers_repeat_and_do_not_depend_on_pseudonyms(tmp_path: Path, judge: Network) -> None:
    synthetic = {"r3-gan": made(tmp_path / "made", draw_faces(60, 1))}
    results = []
    for prefix, sign in (("p", 1), ("p", 1), ("z", -1)):
        real, selection = cohort(tmp_path / f"real{len(results)}", prefix, sign)
        results.append(privacy_audit(KEYS, synthetic, real, selection, judge, Statistics(bootstrap=20), 0))
    for arrays, metrics in results[1:]:
        pd.testing.assert_frame_equal(results[0][1], metrics)
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, results[0][0][name])
    real, selection = cohort(tmp_path / "again")
    other = privacy_audit(KEYS, synthetic, real, selection, judge, Statistics(bootstrap=20), 1)[1]
    assert (other["value"] != results[0][1]["value"]).any()


# What is compared


def test_replayed_images_are_moved_by_a_pixel_and_noisy() -> None:
    images = np.zeros((900, 1, 16, 16), np.uint8)
    images[:, :, 6:10, 6:10] = 200
    again = replay(images, np.arange(100, 900), SHIFTS, np.random.default_rng(0)).astype(float)
    assert again.shape == (800, 1, 16, 16)
    y, x = np.mgrid[:16, :16]
    window = (again[:, 0] > 100).astype(float)
    centres = [np.rint((window * place).sum((1, 2)) / window.sum((1, 2)) - 7.5) for place in (y, x)]
    for centre in centres:
        assert set(centre) == {-1, 0, 1}
        assert np.mean(centre == 0) == pytest.approx(1 / 3, abs=0.06)
    assert abs(np.corrcoef(centres)[0, 1]) < 0.1
    bright = np.full((300, 1, 16, 16), 128, np.uint8)
    assert replay(bright, np.arange(300), SHIFTS, np.random.default_rng(0)).std() == pytest.approx(4, rel=0.05)


def test_moved_images_repeat_their_edges() -> None:
    images = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    assert move(images, 1, 0, False)[0, 0].tolist() == images[0, 0, [0, 0, 1, 2]].tolist()
    assert move(images, 0, -1, False)[0, 0].tolist() == images[0, 0][:, [1, 2, 3, 3]].tolist()
    assert move(images, 1, 0, True)[0, 0].tolist() == images[0, 0, [0, 0, 1, 2], ::-1].tolist()
    large = np.random.default_rng(0).integers(0, 256, (2, 1, 4 * PIXEL_SIDE, 4 * PIXEL_SIDE)).astype(np.uint8)
    np.testing.assert_array_equal(
        average_down(move(large, -1, 1, False))[..., :-1, 1:], average_down(large)[..., 1:, :-1]
    )


def test_large_images_are_compared_averaged() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 4 * PIXEL_SIDE, 4 * PIXEL_SIDE)).astype(np.uint8)
    small = average_down(images)
    assert small.shape == (3, 2, PIXEL_SIDE, PIXEL_SIDE)
    assert small[1, 1, 2, 5] == round(images[1, 1, 8:12, 20:24].mean())
    assert (average_down(images[:, :, :16, :16]) == images[:, :, :16, :16]).all()


@pytest.mark.parametrize("name", ["r3-gan", "cpd-gan"])
def test_a_discriminator_that_was_trained_scores_as_it_did(tmp_path: Path, name: str) -> None:
    real, _ = cohort(tmp_path / "real")
    family = load_family(name)
    settings = resolve_settings(family.presets, "tiny", 16)
    architecture = family.architecture(settings, 1, len(FINDINGS))
    torch.manual_seed(0)
    trained = family.discriminator(**architecture, feature_widths=[8] if family.guided else [])
    write_json(tmp_path / "generator.json", {"family": name, "architecture": architecture})
    write_weights(tmp_path / "discriminator.safetensors", trained.state_dict())
    loaded = load_discriminator(tmp_path, CPU)
    rows = np.arange(5, 155)
    scores = discriminator_scores(loaded, real, rows, np.random.default_rng(0))
    assert scores.std() > 0
    images, labels = float_images(torch.from_numpy(real.images[rows])), torch.from_numpy(real.labels[rows])
    with torch.no_grad():
        direct = trained.score(images[:148], labels[:148]).double().numpy()
    if name == "r3-gan":
        np.testing.assert_allclose(scores[:148], direct, rtol=1e-4, atol=1e-5)
    assert np.corrcoef(scores[:148], direct)[0, 1] > 0.9, "groups of four differ, but an image's own part is the same"
    np.testing.assert_array_equal(scores, discriminator_scores(loaded, real, rows, np.random.default_rng(0)))
    write_weights(tmp_path / "discriminator.safetensors", dict(list(trained.state_dict().items())[1:]))
    with pytest.raises(UserError, match="does not fit"):
        load_discriminator(tmp_path, CPU)
