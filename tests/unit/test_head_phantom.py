"""The head phantom: plan and drawing agree, depend on nothing but seed and row, and have Hounsfield units."""

import numpy as np
import pandas as pd
import pytest

from synthcohort.phantoms.head import FINDINGS, MINIMUM_AREA_MM2, draw_images, plan_images

LESIONS = [finding.name for finding in FINDINGS[:-1]]
SIDE = 128


@pytest.fixture(scope="module")
def plan() -> pd.DataFrame:
    return plan_images(170, seed=3, minimum_prevalence=0.1)


@pytest.fixture(scope="module")
def drawing(plan):
    return draw_images(plan, SIDE, seed=3)


def area(masks, name, pixel):
    bit = LESIONS.index(name)
    return ((masks >> bit) & 1).sum(axis=(-1, -2)) * pixel**2


def test_findings_in_order():
    names = ["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "no_finding"]
    assert [finding.name for finding in FINDINGS] == names


def test_more_patients_append_rows():
    few, many = plan_images(12, 5, 0.1), plan_images(40, 5, 0.1)
    pd.testing.assert_frame_equal(few, many.iloc[: len(few)], check_exact=True)
    assert not plan_images(12, 6, 0.1)["level"].equals(few["level"])


def test_plan_is_a_series_of_slices_per_patient(plan):
    slices = plan.groupby("patient").size()
    assert slices.between(3, 8).all()
    assert slices.nunique() == 6
    assert not plan.duplicated(["patient", "study", "instance"]).any()
    assert plan.groupby("patient")["slice_position_mm"].apply(lambda z: z.is_monotonic_increasing).all()
    same = ["sex", "age", "spacing_mm", "thickness_mm", "skull", "folds"]
    assert (plan.groupby("patient")[same].nunique() == 1).all(axis=None)
    assert set(plan["sex"]) == {"M", "F"}
    assert plan["age"].between(18, 95).all()


def test_slices_in_one_thickness_get_numbers_of_their_own():
    plan = plan_images(16, seed=16, minimum_prevalence=0.0)
    close = plan[plan["patient"] == 15]
    within = close["slice_position_mm"] // close["thickness_mm"] + 1
    assert within.tolist() == [3, 5, 10, 13, 16, 16, 20, 23]
    assert close["instance"].tolist() == [3, 5, 10, 13, 16, 17, 20, 23]


def test_no_finding_is_the_absence_of_all_lesions(plan):
    assert ((plan[LESIONS].sum(axis=1) == 0) == (plan["no_finding"] == 1)).all()
    assert (plan[[finding.name for finding in FINDINGS]].dtypes == np.int8).all()


def test_images_do_not_depend_on_their_batch(plan, drawing):
    chosen = [7, 3, 100]
    alone = draw_images(plan.iloc[chosen], SIDE, seed=3)
    assert alone.images.tobytes() == drawing.images[chosen].tobytes()
    assert alone.masks.tobytes() == drawing.masks[chosen].tobytes()
    assert alone.images.dtype == np.float32
    assert alone.masks.dtype == np.uint16


def test_seed_changes_the_noise_only(plan, drawing):
    other = draw_images(plan.iloc[:4], SIDE, seed=4)
    assert (other.masks == drawing.masks[:4]).all()
    difference = other.images - drawing.images[:4]
    assert 1 < difference[:, 54:74, 54:74].std() < 12


def test_labels_and_masks_agree(plan, drawing):
    for name in LESIONS:
        covered = area(drawing.masks, name, drawing.spacing)
        labelled = plan[name].to_numpy() == 1
        assert labelled.sum() > 15
        assert (covered[~labelled] == 0).all()
        assert covered[labelled].min() >= 0.75 * MINIMUM_AREA_MM2
    assert (drawing.masks < 1 << len(LESIONS)).all()


def test_the_scene_is_the_same_at_every_side(plan, drawing):
    chosen = np.flatnonzero(plan["no_finding"] == 0)[:36]
    fine = draw_images(plan.iloc[chosen], 2 * SIDE, seed=3)
    np.testing.assert_allclose(fine.spacing * 2, drawing.spacing[chosen])
    for name in LESIONS:
        coarse_area = area(drawing.masks[chosen], name, drawing.spacing[chosen])
        fine_area = area(fine.masks, name, fine.spacing)
        assert abs(fine_area.sum() / coarse_area.sum() - 1) < 0.2
    halved = fine.images.reshape(len(chosen), SIDE, 2, SIDE, 2).mean((2, 4))
    windowed = [np.clip(images, 0, 80) for images in (halved, drawing.images[chosen])]
    assert np.abs(windowed[0] - windowed[1]).mean() < 4


def test_hounsfield_units(plan, drawing):
    images = drawing.images
    assert images.min() >= -1024
    assert images.max() <= 3071
    assert (images[:, :3, :3].mean((1, 2)) < -950).all()  # corners are air
    middle = plan["level"].between(88, 100) & (plan["no_finding"] == 1)
    brain = images[middle.to_numpy()][:, 60:68, 60:68]
    assert 24 < np.median(brain) < 40
    ring = np.array([image[SIDE // 2, : SIDE // 2].max() for image in images[middle.to_numpy()]])
    assert (ring > 300).all()


@pytest.mark.parametrize(("name", "low", "high"), [("epidural", 55, 80), ("intraparenchymal", 42, 76)])
def test_fresh_blood_is_dense(plan, drawing, name, low, high):
    bit = LESIONS.index(name)
    only = np.flatnonzero((plan[LESIONS].sum(axis=1) == 1) & (plan[name] == 1))
    density = [np.median(drawing.images[i][drawing.masks[i] >> bit & 1 == 1]) for i in only]
    assert low < np.median(density) < high


@pytest.mark.parametrize("minimum", [0.05, 0.1])
def test_minimum_prevalence(minimum):
    share = plan_images(1200, 8, minimum)[LESIONS].mean()
    assert (share > 0.75 * minimum).all()
    wanted = np.maximum(minimum, [0.0042, 0.048, 0.035, 0.047, 0.063])
    np.testing.assert_allclose(share, wanted, rtol=0.3)


def test_natural_prevalence():
    plan = plan_images(2500, 8, 0.0)
    assert 0.10 < 1 - plan["no_finding"].mean() < 0.19
    assert plan["epidural"].mean() < 0.012
    together = plan.loc[plan["intraventricular"] == 1, "intraparenchymal"].mean()
    assert together > 2 * plan["intraparenchymal"].mean()


def test_mass_effect_pushes_the_midline_away(plan):
    far = plan[plan["midline_shift"].abs() > 4]
    assert len(far) > 5
    single = far[(far["has_epidural"] == 0) & (far["has_intraparenchymal"] == 0)]
    assert (np.sign(single["midline_shift"]) == -single["subdural_side"]).all()
