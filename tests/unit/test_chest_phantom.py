"""The chest phantom: plan and drawing agree, depend on nothing but seed and row, and show anatomy on its right side."""

import time

import numpy as np
import pandas as pd
import pytest

from synthcohort.phantoms.chest import FINDINGS, draw_images, plan_images

NAMES = [finding.name for finding in FINDINGS]
SIGNS = NAMES[1:]
PATHOLOGIES = NAMES[1:-1]
SIDE = 96


@pytest.fixture(scope="module")
def plan() -> pd.DataFrame:
    return plan_images(170, seed=3, minimum_prevalence=0.05)


@pytest.fixture(scope="module")
def drawing(plan):
    return draw_images(plan, SIDE, seed=3)


def only(rows: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The same patients and poses, with these findings alone."""
    rows = rows.copy()
    rows[NAMES] = 0
    rows[list(names)] = 1
    return rows


def normal_views(plan: pd.DataFrame, count: int) -> pd.DataFrame:
    """First visits of different patients, upright."""
    return plan[plan["view"] == "PA"].drop_duplicates("patient").head(count)


def test_findings_are_chexperts_in_its_order():
    assert NAMES[0] == "no_finding"
    assert NAMES[-1] == "support_devices"
    assert len(NAMES) == 14
    assert [finding.display for finding in FINDINGS][1] == "Enlarged Cardiomediastinum"
    assert [finding.display.lower().replace(" ", "_") for finding in FINDINGS] == NAMES


def test_more_patients_append_rows():
    few, many = plan_images(12, 5, 0.05), plan_images(60, 5, 0.05)
    pd.testing.assert_frame_equal(few, many.iloc[: len(few)], check_exact=True)
    assert not plan_images(12, 6, 0.05)["habitus"].equals(few["habitus"])


def test_plan_has_studies_and_persons():
    plan = plan_images(3000, 2, 0.0)
    studies = plan.groupby("patient")["study"]
    assert studies.min().eq(1).all()
    assert studies.max().between(1, 5).all()
    assert set(studies.max()) == {1, 2, 3, 4, 5}
    assert plan.groupby("patient")[["sex", "age", "habitus"]].nunique().eq(1).all(axis=None)
    assert plan["age"].between(18, 90).all()
    assert set(plan["view"]) == {"PA", "AP"}
    assert plan[NAMES].dtypes.eq(np.int8).all()
    assert not plan.duplicated(["patient", "study", "instance"]).any()
    repeated = plan[plan.duplicated(["patient", "study"], keep=False)]
    assert repeated.groupby(["patient", "study"])[NAMES].nunique().eq(1).all(axis=None)


def test_findings_persist_between_studies():
    plan = plan_images(6000, 2, 0.0).drop_duplicates(["patient", "study"])
    same = plan["patient"].eq(plan["patient"].shift(-1))
    for name in ("pleural_effusion", "cardiomegaly", "support_devices"):
        now, later = plan.loc[same, name], plan[name].shift(-1)[same]
        assert later[now == 1].mean() > later[now == 0].mean() + 0.15
        assert (now != later).any()


def test_no_finding_excludes_all_but_devices(plan):
    pathologies = plan[PATHOLOGIES].any(axis=1)
    assert (plan["no_finding"] == ~pathologies).all()
    assert plan.loc[plan["no_finding"] == 1, "support_devices"].sum() > 3


def test_prevalence_and_cooccurrence_follow_chexpert():
    plan = plan_images(20_000, 1, 0.0)
    shares = plan[NAMES].mean()
    assert shares["pleural_effusion"] == pytest.approx(0.4527, abs=0.015)
    assert shares["support_devices"] == pytest.approx(0.5658, abs=0.015)
    assert shares["pneumonia"] == pytest.approx(0.1081, abs=0.01)
    assert shares["pleural_other"] == pytest.approx(0.0226, abs=0.005)
    # CheXpert: 0.0888 are labelled so, 0.0221 more carry no pathology and no label; here these are normal, too.
    assert shares["no_finding"] == pytest.approx(0.1107, abs=0.01)
    correlation = plan[NAMES].corr()
    assert correlation.loc["consolidation", "atelectasis"] == pytest.approx(0.37, abs=0.04)
    assert correlation.loc["edema", "pneumothorax"] == pytest.approx(-0.16, abs=0.04)
    assert correlation.loc["lung_opacity", "pneumonia"] == pytest.approx(0.21, abs=0.04)
    assert plan.loc[plan["view"] == "AP", "edema"].mean() > plan.loc[plan["view"] == "PA", "edema"].mean() + 0.15


def test_minimum_prevalence_raises_only_the_rare():
    natural, raised = plan_images(20_000, 1, 0.0)[NAMES].mean(), plan_images(20_000, 1, 0.05)[NAMES].mean()
    for name in ("lung_lesion", "pleural_other", "fracture"):
        assert raised[name] == pytest.approx(0.05, abs=0.006)
    assert raised["pneumothorax"] == pytest.approx(natural["pneumothorax"], abs=0.002)


def test_twenty_thousand_images_are_planned_in_seconds():
    start = time.process_time()
    assert len(plan_images(10_000, 1, 0.05)) > 20_000
    assert time.process_time() - start < 3


def test_drawing_has_the_promised_form(plan, drawing):
    assert drawing.images.shape == drawing.masks.shape == (len(plan), SIDE, SIDE)
    assert drawing.images.dtype == np.float32
    assert drawing.masks.dtype == np.uint16
    assert np.isfinite(drawing.images).all()
    assert drawing.images.min() >= 0
    assert drawing.images.max() <= 1
    assert (drawing.images.std(axis=(1, 2)) > 0.15).all()
    assert drawing.spacing == pytest.approx(plan["field_mm"].to_numpy() / SIDE, rel=1e-6)


def test_an_image_does_not_depend_on_its_neighbours(plan, drawing):
    chosen = [41, 7, 130]
    again = draw_images(plan.iloc[chosen], SIDE, seed=3)
    for place, k in enumerate(chosen):
        assert again.images[place].tobytes() == drawing.images[k].tobytes()
        assert again.masks[place].tobytes() == drawing.masks[k].tobytes()
    assert not np.array_equal(draw_images(plan.iloc[[7]], SIDE, seed=4).images[0], drawing.images[7])


def test_labels_and_masks_agree(plan, drawing):
    assert len(plan) > 300
    for k, name in enumerate(NAMES):
        shown = ((drawing.masks >> k) & 1).any(axis=(1, 2))
        expected = plan[name].to_numpy() == 1 if k else np.zeros(len(plan), bool)
        assert np.array_equal(shown, expected), name
        if k:
            assert expected.sum() >= 5, name


@pytest.mark.parametrize("name", SIGNS)
def test_masks_lie_where_the_image_changes(plan, name):
    rows = normal_views(plan, 6)
    healthy, ill = draw_images(only(rows), 128, seed=3), draw_images(only(rows, name), 128, seed=3)
    inside = (ill.masks >> NAMES.index(name)) & 1 == 1
    change = np.abs(ill.images - healthy.images)
    assert inside.mean() < 0.35
    for k in range(len(rows)):
        assert change[k][inside[k]].mean() > 1.7 * change[k][~inside[k]].mean(), rows.index[k]


@pytest.mark.parametrize("side", [32, 64])
def test_small_images_keep_every_mask(plan, side):
    rows = plan.head(120)
    masks = draw_images(rows, side, seed=3).masks
    for k, name in enumerate(NAMES[1:], start=1):
        assert np.array_equal(((masks >> k) & 1).any(axis=(1, 2)), rows[name].to_numpy() == 1), name


def test_the_scene_is_the_same_at_every_resolution(plan):
    rows = plan.head(12)
    small, large = draw_images(rows, 64, seed=3), draw_images(rows, 128, seed=3)
    shrunk = large.images.reshape(len(rows), 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.abs(shrunk - small.images).mean() < 0.035
    for a, b in zip(shrunk, small.images, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97


def test_patients_keep_their_anatomy(plan):
    rows = only(plan[(plan["view"] == "PA") & plan["patient"].duplicated(keep=False)])
    images = draw_images(rows, 64, seed=3).images
    flat = images - images.mean(axis=(1, 2), keepdims=True)
    flat /= np.linalg.norm(flat, axis=(1, 2), keepdims=True)
    similar = np.einsum("aij,bij->ab", flat, flat)
    same = rows["patient"].to_numpy()[:, None] == rows["patient"].to_numpy()
    different = ~same
    np.fill_diagonal(same, False)
    assert similar[same].mean() > similar[different].mean() + 0.01


def test_apex_of_the_heart_and_gastric_bubble_are_on_the_patients_left(plan):
    images = draw_images(only(normal_views(plan, 20)), 128, seed=3).images
    mean = images.mean(axis=0)
    heart_rows = slice(68, 88)
    right, left = mean[heart_rows, 34:58].mean(), mean[heart_rows, 70:94].mean()
    assert left > right + 0.1  # more of the heart lies on the image's right side
    flipped = mean[:, ::-1]
    below = slice(96, 118)
    gas = (flipped - mean)[below, 70:105]  # the image's right side, against its mirror image
    assert gas.max() > 0.1


def heart_edges(image: np.ndarray) -> float:
    """Cardiothoracic ratio read off a picture: widest heart over widest chest, by their edges in the lower lungs."""
    side = len(image)
    smooth = image[int(0.50 * side) : int(0.70 * side)]
    ratios = []
    for profile in smooth:
        middle = side // 2
        dark = np.percentile(profile[int(0.15 * side) : int(0.85 * side)], 10)
        level = 0.6 * dark + 0.4 * np.median(profile[middle - 4 : middle + 4])
        bright = profile > level
        left = middle - np.argmin(bright[middle::-1])
        right = middle + np.argmin(bright[middle:])
        ratios.append((right - left) / side)
    return max(ratios)


def test_cardiothoracic_ratio_measured_from_the_picture(plan):
    rows = normal_views(plan, 25)
    field = rows["field_mm"].to_numpy()
    chest = 2 * 137 * np.where(rows["sex"] == "M", 1.0, 0.92)  # mm, the phantom's mean inner chest width
    healthy, ill = (draw_images(only(rows, *names), 128, seed=3).images for names in ((), ("cardiomegaly",)))
    normal = np.array([heart_edges(image) for image in healthy]) * field / chest
    large = np.array([heart_edges(image) for image in ill]) * field / chest
    assert np.median(normal) == pytest.approx(0.44, abs=0.04)
    assert np.median(large) > 0.5
    assert ((large - normal) > 0.02).mean() > 0.9


def test_no_finding_pictures_hold_no_sign(plan):
    rows = plan[(plan["no_finding"] == 1) & (plan["support_devices"] == 0)].head(10)
    assert len(rows) >= 5
    assert not draw_images(rows, 64, seed=3).masks.any()
