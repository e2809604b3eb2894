import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from synthcohort.audit import attribution
from synthcohort.audit.attribution import METHODS, attribution_maps, untrained
from synthcohort.audit.attribution_metrics import (
    attribution_gallery,
    attribution_metrics,
    choose_images,
    chosen_masks,
    map_chosen,
)
from synthcohort.classify.networks import Network, build_network, to_input
from synthcohort.core.atomic import write_arrays
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.figures.attribution import (
    agreement_text,
    attribution_words,
    colour_scale,
    draw_attribution_figure,
    mask_outline,
)
from synthcohort.measures.attribution import mask_overlap, rank_correlations

torch.set_num_threads(1)
SIDE = 32
KEYS = {"study": "s", "cohort": "c", "experiment": "resolution-032", "axis": "resolution", "level": "032"}
KEYS |= {"replicate": "r0"}
STATISTICS = Statistics(bootstrap=200)


def draw_patches(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8]]:
    """Noise at 32²; every other image has a bright patch of 8² pixels in one of 16 places: images, labels, masks."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(60, 120, (count, 1, SIDE, SIDE)), np.arange(count) % 2
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    for number in np.flatnonzero(labels):
        y, x = 8 * rng.integers(0, 4, 2)
        masks[number, y : y + 8, x : x + 8] = 255
    return (images + 100 * (masks[:, None] > 0)).astype(np.uint8), labels, masks


@pytest.fixture(scope="module")
def trained() -> Network:
    network = build_network("plain", 1, ["patch", "chance"], SIDE, 1)
    images, patches, _ = draw_patches(512, 0)
    inputs = to_input(images)
    labels = torch.from_numpy(np.stack([patches, np.random.default_rng(9).integers(0, 2, 512)], 1)).float()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    rng = np.random.default_rng(3)
    for _ in range(30):
        batch = rng.integers(0, 512, 32)
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def random_network(name: str, channels: int = 1, side: int = 16) -> Network:
    return build_network(name, channels, ["a", "b", "c"], side, 4).eval().requires_grad_(False)


def random_images(count: int, channels: int = 1, side: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side)).astype(np.uint8)


# Measures


def test_rank_correlation_is_scipys_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (5, 4, 4)), rng.integers(0, 6, (5, 4, 4)) + rng.random((5, 4, 4)).round(1)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlations(first, second), expected, atol=1e-12)


def test_rank_correlation_sees_order_only_and_needs_one() -> None:
    rising = np.arange(9.0).reshape(1, 3, 3)
    flat = np.zeros((1, 3, 3))
    np.testing.assert_allclose(rank_correlations(rising, np.exp(rising)), 1)
    np.testing.assert_allclose(rank_correlations(rising, -rising), -1)
    assert np.isnan(rank_correlations(rising, flat)).all()
    assert np.isnan(rank_correlations(flat, flat)).all()


def test_overlap_by_hand() -> None:
    maps = np.array([[[-3.0, 2], [1, 0]]])
    mask = np.array([[[255, 127], [128, 0]]], np.uint8)
    # At the lesion |map| is 3 and 1, elsewhere 2 and 0: three of the four pairs are in order.
    np.testing.assert_allclose(mask_overlap(maps, mask), 0.75)


def test_overlap_is_scikit_learns_auroc() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.normal(size=(4, 6, 6)).round(1), rng.integers(0, 256, (4, 6, 6)).astype(np.uint8)
    expected = [roc_auc_score((m > 127).ravel(), np.abs(a).ravel()) for a, m in zip(maps, masks, strict=True)]
    np.testing.assert_allclose(mask_overlap(maps, masks), expected)


def test_overlap_of_flat_maps_is_chance_and_of_no_lesion_undefined() -> None:
    masks = np.zeros((3, 4, 4), np.uint8)
    masks[0, :2] = masks[2] = 255
    values = mask_overlap(np.zeros((3, 4, 4)), masks)
    assert values[0] == 0.5
    assert np.isnan(values[1:]).all()


# Methods


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_sees_a_patch_is_found_to_look_at_it(trained: Network, method: str) -> None:
    images, labels, masks = draw_patches(24, 5)
    seen = trained(to_input(images))[:, 0].numpy()
    assert ((seen > 0) == labels).mean() > 0.9
    with_patch = labels == 1
    overlap = mask_overlap(attribution_maps(trained, images[with_patch], 0, method), masks[with_patch])
    assert overlap.mean() > 0.9
    fresh = attribution_maps(untrained(trained, 3), images[with_patch], 0, method)
    assert mask_overlap(fresh, masks[with_patch]).mean() < 0.85


@pytest.mark.parametrize("method", METHODS)
def test_what_speaks_for_a_finding_is_positive(trained: Network, method: str) -> None:
    images, labels, masks = draw_patches(8, 6)
    maps = attribution_maps(trained, images[labels == 1], 0, method)
    assert maps[masks[labels == 1] > 0].mean() > 0
    assert maps[masks[labels == 1] > 0].mean() > maps[masks[labels == 1] == 0].mean()


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_ignores_images_has_empty_maps(trained: Network, method: str) -> None:
    blind = copy.deepcopy(trained)
    blind.head.weight.zero_()
    images, labels, masks = draw_patches(4, 7)
    maps = attribution_maps(blind, images, 0, method)
    assert (maps == 0).all()
    assert (mask_overlap(maps, masks)[labels == 1] == 0.5).all()
    assert np.isnan(rank_correlations(maps, attribution_maps(trained, images, 0, method))).all()


@pytest.mark.parametrize("name", ["small", "plain"])
@pytest.mark.parametrize("channels", [1, 3])
def test_occlusion_is_the_naive_loop(name: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "PIXELS", 7 * 16**2)  # 28 at a time, so that batches end within an image
    network, images = random_network(name, channels), random_images(3, channels)
    expected = np.empty((3, 16, 16))
    ones = torch.ones(1, dtype=torch.float64)
    for n, image in enumerate(images):
        whole = binary_cross_entropy_with_logits(network(to_input(image[None]))[:, 1].double(), ones)
        for y in range(0, 16, 2):
            for x in range(0, 16, 2):
                blank = image.copy()
                blank[:, y : y + 2, x : x + 2] = 0
                loss = binary_cross_entropy_with_logits(network(to_input(blank[None]))[:, 1].double(), ones)
                expected[n, y : y + 2, x : x + 2] = loss - whole
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(attribution_maps(network, images, 1, "occlusion"), expected, atol=1e-6)


def test_occlusion_of_densenet_is_at_its_own_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "DENSENET_PATCH", 56)
    network, images = random_network("densenet121", side=32), random_images(1, side=32)
    large = interpolate(to_input(images), (224, 224), mode="bilinear")
    ones = torch.ones(1, dtype=torch.float64)
    whole = binary_cross_entropy_with_logits(network(to_input(images))[:, 0].double(), ones)
    maps = attribution_maps(network, images, 0, "occlusion")
    for y, x in ((0, 0), (1, 2), (3, 3)):
        blank = large.clone()
        blank[..., 56 * y : 56 * y + 56, 56 * x : 56 * x + 56] = -1
        loss = binary_cross_entropy_with_logits(network(blank)[:, 0].double(), ones)
        np.testing.assert_allclose(maps[0, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8], float(loss - whole), atol=1e-6)


@pytest.mark.parametrize("side", [32, 256])
def test_densenet_sees_the_same_in_enlarged_images(side: int) -> None:
    network, images = random_network("densenet121", side=side), random_images(1, side=side)
    torch.testing.assert_close(network(attribution._network_input(network, images)), network(to_input(images)))


def test_gradients_of_densenet_come_at_the_images_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "STEPS", 2)
    network, images = random_network("densenet121", side=64), random_images(1, side=64)
    for method in ("integrated_gradients", "grad_cam"):
        maps = attribution_maps(network, images, 2, method)
        assert maps.shape == (1, 64, 64)
        assert maps.dtype == np.float32
        assert np.isfinite(maps).all()
        assert maps.std() > 0


def test_integrated_gradients_add_up_to_the_logit(trained: Network) -> None:
    images, _, _ = draw_patches(4, 8)
    sums = attribution_maps(trained, images, 0, "integrated_gradients").sum((1, 2))
    change = trained(to_input(images))[:, 0] - trained(to_input(np.zeros_like(images[:1])))[:, 0]
    np.testing.assert_allclose(sums, change, rtol=0.02, atol=0.02)


def test_grad_cam_by_hand() -> None:
    network, images = random_network("plain", side=32), random_images(3, side=32)
    coarsest = network.features(to_input(images))[-1].requires_grad_()
    hidden = torch.relu(network.hidden(coarsest.flatten(1)))  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(network.head(hidden)[:, 1].sum(), coarsest)
    sums = (gradient.mean((2, 3), keepdim=True) * coarsest).sum(1, keepdim=True)
    expected = interpolate(sums, (32, 32), mode="bilinear")[:, 0].detach()
    maps = attribution_maps(network, images, 1, "grad_cam")
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "side", "expected"), [("small", 8, 4), ("small", 16, 4), ("small", 64, 4), ("plain", 16, 4)]
)
def test_grad_cam_takes_maps_that_can_tell_places(name: str, side: int, expected: int) -> None:
    network = random_network(name, side=side)
    sides = []
    layer = attribution._grad_cam_layer(network)
    layer.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    network(to_input(random_images(1, side=side)))
    assert sides == [expected]


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_the_same_again_and_in_other_batches(
    trained: Network, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _, _ = draw_patches(5, 2)
    first = attribution_maps(trained, images, 0, method)
    assert attribution_maps(trained, images, 0, method).tobytes() == first.tobytes()
    monkeypatch.setattr(attribution, "PIXELS", 3 * SIDE**2)
    np.testing.assert_allclose(attribution_maps(trained, images, 0, method), first, atol=1e-5 * np.abs(first).max())


def test_maps_need_evaluation_mode_and_may_be_none(trained: Network) -> None:
    assert attribution_maps(trained, random_images(0, side=SIDE), 0, "occlusion").shape == (0, SIDE, SIDE)
    with pytest.raises(ValueError, match="evaluation mode"):
        attribution_maps(build_network("small", 1, ["a"], 16, 1), random_images(1), 0, "occlusion")


# Choosing images


def make_store(folder: Path, with_masks: bool = True) -> tuple[ImageStore, pd.DataFrame]:
    """Ninety patients, two images each: finding a in most, b in fewer, c only in training, d only in test images."""
    rng = np.random.default_rng(4)
    patients = np.repeat([f"p{number}" for number in range(90)], 2)
    side = np.repeat(["train", "valid", "test"], 60)
    labels = pd.DataFrame({"no_finding": 1.0, "a": rng.random(180) < 0.6, "b": rng.random(180) < 0.3})
    labels["c"], labels["d"] = (side == "train"), (side == "test")
    names = list(labels)
    records = labels.astype(float).assign(image_id=[f"i{n}" for n in range(180)], patient_id=patients)
    records.loc[0, "a"] = np.nan
    info = StoreInfo(
        cohort="toy", findings=[Finding(name=name, display=name.upper()) for name in names], units="HU",
        windows=[(0, 80)], resolution=16, channels=1, images=180, simulated=True,
    )  # fmt: skip
    masks = np.zeros((180, 5, 16, 16), np.uint8)
    masks[:, :, 4:8, 4:8] = 255
    write_store(folder, [random_images(180)], records, info, [masks] if with_masks else None)
    selection = pd.DataFrame({"row": np.arange(180), "patient_id": patients, "side": side})
    return ImageStore(folder), selection.sample(frac=1, random_state=1)


@pytest.fixture
def cohort(tmp_path: Path) -> tuple[ImageStore, pd.DataFrame]:
    return make_store(tmp_path / "store")


def test_chosen_images_are_test_images_with_frequent_findings(cohort: tuple[ImageStore, pd.DataFrame]) -> None:
    store, selection = cohort
    chosen = choose_images(store, selection, 1, per_finding=5)
    assert chosen.columns.tolist() == ["row", "patient_id", "finding"]
    assert chosen["finding"].tolist() == ["a"] * 5 + ["b"] * 5
    assert (chosen["row"] >= 120).all()
    assert [store.records.loc[row, name] for row, name in zip(chosen["row"], chosen["finding"], strict=True)] == [
        1
    ] * 10
    assert chosen["patient_id"].is_unique
    assert choose_images(store, selection, 1, findings=1)["finding"].unique().tolist() == ["a"]


def test_chosen_images_repeat_patients_only_where_they_must(cohort: tuple[ImageStore, pd.DataFrame]) -> None:
    store, selection = cohort
    chosen = choose_images(store, selection, 1, findings=1, per_finding=100)
    able = selection[(selection["side"] == "test") & (store.records["a"].iloc[selection["row"]] == 1).to_numpy()]
    assert set(chosen["row"]) == set(able["row"])
    assert chosen["patient_id"].head(able["patient_id"].nunique()).is_unique


def test_choice_depends_on_the_seed_and_not_on_names(cohort: tuple[ImageStore, pd.DataFrame]) -> None:
    store, selection = cohort
    names = {name: f"q{number}" for number, name in enumerate(sorted(set(selection["patient_id"]), reverse=True))}
    renamed = selection.assign(patient_id=selection["patient_id"].map(names))
    rows = choose_images(store, selection, 1, per_finding=5)["row"].tolist()
    assert choose_images(store, renamed, 1, per_finding=5)["row"].tolist() == rows
    assert choose_images(store, selection, 2, per_finding=5)["row"].tolist() != rows


def test_no_finding_to_explain_is_said(cohort: tuple[ImageStore, pd.DataFrame]) -> None:
    store, selection = cohort
    with pytest.raises(UserError, match="no finding has both training and test images"):
        choose_images(store, selection[selection["side"] == "train"], 1)


def test_gallery_has_pictures_and_no_identifiers(cohort: tuple[ImageStore, pd.DataFrame], tmp_path: Path) -> None:
    store, selection = cohort
    chosen = choose_images(store, selection, 1, per_finding=4)
    network = build_network("small", 1, store.info.finding_names, 16, 2).eval()
    maps = {name: map_chosen(network, store, chosen) + place for place, name in enumerate(("untrained", "real", "gan"))}
    gallery = attribution_gallery(store, chosen, maps)
    assert set(gallery) == {"images", "findings", "sources", "methods", "maps", "masks"}
    assert gallery["findings"].tolist() == ["A", "A", "B", "B"]
    assert gallery["sources"].tolist() == ["real", "gan"]
    assert gallery["maps"].shape == (2, 3, 4, 16, 16)
    assert gallery["maps"].dtype == np.float32
    shown = chosen["row"].iloc[[0, 1, 4, 5]]
    np.testing.assert_array_equal(gallery["images"], store.images[shown])
    expected = attribution_maps(network, store.images[shown[2:3]], 2, "grad_cam")
    np.testing.assert_allclose(gallery["maps"][0, 2, 2:3], expected + 1, atol=1e-5)
    bare, _ = make_store(tmp_path / "bare", with_masks=False)
    assert chosen_masks(bare, chosen) is None
    assert "masks" not in attribution_gallery(bare, chosen, maps)


def test_masks_that_were_changed_are_refused(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path / "store")
    chosen = pd.DataFrame({"row": [0], "finding": [store.info.finding_names[0]]})
    assert chosen_masks(store, chosen) is not None
    path = store.folder / "masks.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"masks\.npy does not match its digest"):
        chosen_masks(store, chosen)


# Metrics


def planted(patients: list[str], findings: list[str]) -> tuple[pd.DataFrame, dict[str, NDArray[np.float32]], NDArray]:
    """Random real maps; the source's are the same or the opposite; a mask on the brightest half of each real map."""
    count = len(patients)
    chosen = pd.DataFrame({"row": np.arange(count), "patient_id": patients, "finding": findings})
    real = np.random.default_rng(0).random((3, count, 6, 6)).astype(np.float32)
    masks = np.where(real[0] > np.median(real[0], axis=(1, 2), keepdims=True), 255, 0).astype(np.uint8)
    fresh = np.random.default_rng(1).random(real.shape).astype(np.float32)
    return chosen, {"real": real, "same": np.exp(real), "opposite": -real, "untrained": fresh}, masks


def measure(
    chosen: pd.DataFrame, maps: dict[str, NDArray[np.float32]], masks: NDArray | None, seed: int = 3
) -> pd.DataFrame:
    table = attribution_metrics(KEYS, chosen, maps, masks, STATISTICS, seed, simulated=True)
    return table.set_index(["metric", "parameter", "source", "role", "finding"])


def test_planted_agreement_and_overlap_are_measured() -> None:
    chosen, maps, masks = planted([f"p{n}" for n in range(30)], ["a"] * 20 + ["b"] * 10)
    table = measure(chosen, maps, masks)
    agreement = table.loc["attribution_agreement"]
    for method in METHODS:
        for finding in ("a", "b", "mean"):
            np.testing.assert_allclose(agreement.loc[(method, "same", "value", finding), "value"], 1)
            np.testing.assert_allclose(agreement.loc[(method, "opposite", "value", finding), "value"], -1)
        for row in ((method, "same", "negative_control", "mean"), (method, "real", "floor", "mean")):
            assert agreement.loc[row, "ci_low"] < 0 < agreement.loc[row, "ci_high"]
        assert (method, "real", "value", "mean") not in agreement.index
    overlap = table.loc["attribution_overlap"].loc["occlusion"]
    assert overlap.loc[("real", "value", "mean"), "value"] == 1
    assert overlap.loc[("opposite", "value", "mean"), "value"] == 1  # the sign does not count
    for row in (("real", "negative_control", "mean"), ("real", "floor", "mean")):
        assert overlap.loc[row, "ci_low"] < 0.5 < overlap.loc[row, "ci_high"]
    assert (table["n"].xs("mean", level="finding") == 30).all()
    assert (table["n"].xs("b", level="finding") == 10).all()


def test_only_the_positive_part_of_grad_cam_overlaps() -> None:
    chosen, maps, masks = planted(["p", "q"], ["a", "a"])
    overlap = measure(chosen, maps, masks).loc["attribution_overlap"]
    assert overlap.loc[("grad_cam", "opposite", "value", "a"), "value"] == 0.5


def test_mean_is_over_findings_not_images() -> None:
    chosen, maps, _ = planted([f"p{n}" for n in range(8)], ["a"] * 6 + ["b"] * 2)
    maps["half"] = np.concatenate([maps["real"][:, :6], -maps["real"][:, 6:]], axis=1)
    agreement = measure(chosen, maps, None).loc["attribution_agreement"].loc["occlusion"].loc["half"].loc["value"]
    np.testing.assert_allclose(agreement["value"][["a", "b", "mean"]], [1, -1, 0], atol=1e-12)


def test_flat_maps_are_left_out_and_no_masks_give_no_overlap() -> None:
    chosen, maps, _ = planted(["p", "q", "r"], ["a", "a", "b"])
    maps["same"][:, 1:] = 7
    table = measure(chosen, maps, None)
    assert table.index.unique("metric").tolist() == ["attribution_agreement"]
    rows = table.xs(("occlusion", "same", "value"), level=("parameter", "source", "role")).droplevel("metric")
    assert rows.loc["a", ["value", "n"]].tolist() == [pytest.approx(1), 1]
    assert np.isnan(rows.loc["b", "value"])
    assert rows.loc["b", "n"] == 0
    assert rows.loc["mean", ["value", "n"]].tolist() == [pytest.approx(1), 1]


def test_control_is_another_patients_image() -> None:
    chosen, maps, _ = planted(["p", "p", "q"], ["a"] * 3)
    maps["copy"] = maps["real"].copy()
    value = measure(chosen, maps, None).loc[
        ("attribution_agreement", "occlusion", "copy", "negative_control", "a"), "value"
    ]
    real = maps["real"][0]
    expected = rank_correlations(real, real[[2, 2, 0]]).mean()
    np.testing.assert_allclose(value, expected)
    alone = measure(chosen.assign(patient_id="p"), maps, None)
    control = alone.xs("negative_control", level="role")
    assert control["value"].isna().all()
    assert (control["n"] == 0).all()


def test_intervals_are_over_patients() -> None:
    rng = np.random.default_rng(5)
    chosen, maps, _ = planted([f"p{n // 20}" for n in range(200)], ["a"] * 200)
    agrees = np.repeat(rng.random(10) < 0.5, 20)  # all of a patient's maps agree, or none does
    maps["some"] = np.where(agrees[:, None, None], maps["real"], -maps["real"])
    own = ("attribution_agreement", "occlusion", "some", "value", "a")
    grouped = measure(chosen, maps, None).loc[own]
    single = measure(chosen.assign(patient_id=[f"p{n}" for n in range(200)]), maps, None).loc[own]
    assert grouped["value"] == pytest.approx(single["value"])
    assert (grouped["ci_high"] - grouped["ci_low"]) > 3 * (single["ci_high"] - single["ci_low"])


def test_metrics_are_the_same_again_whatever_patients_are_called() -> None:
    chosen, maps, masks = planted([f"p{n // 2}" for n in range(12)], ["a"] * 12)
    renamed = chosen.assign(patient_id=[f"z{99 - n // 2}" for n in range(12)])
    pd.testing.assert_frame_equal(measure(chosen, maps, masks), measure(renamed, maps, masks))
    assert not measure(chosen, maps, masks)["ci_low"].equals(measure(chosen, maps, masks, seed=4)["ci_low"])


# Figure


def test_figure_shows_every_map_and_says_what_colours_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 2, 8, 8)).astype(np.float32)
    maps[1, 2] = 0
    arrays = {
        "images": random_images(2, side=8), "findings": np.array(["Edema", "Fracture"]),
        "sources": np.array(["real", "r3-gan"]), "methods": np.array(list(METHODS)), "maps": maps,
        "masks": np.zeros((2, 8, 8), np.uint8),
    }  # fmt: skip
    arrays["masks"][0, 2:4, 2:4] = 255
    write_arrays(tmp_path / "attribution.npz", arrays)
    table = draw_attribution_figure(tmp_path / "attribution.npz", tmp_path / "figure", "r3-gan", simulated=True)
    assert {path.suffix for path in tmp_path.glob("figure.*")} == {".pdf", ".svg", ".png", ".csv"}
    assert table.groupby(["row", "method", "source"]).size().tolist() == [1] * 12
    assert table.groupby(["row", "method"])["scale"].nunique().eq(1).all()
    assert table.loc[table["method"] == "grad_cam", "agreement"].isna().all()
    expected = spearmanr(maps[0, 0, 1].ravel(), maps[1, 0, 1].ravel()).statistic
    assert table.query("row == 1 and method == 'occlusion'")["agreement"].tolist() == pytest.approx([expected] * 2)
    words = attribution_words("head-phantom", "resolution-032", "r3-gan", simulated=True, masks=True)
    for said in ("Orange", "purple", "cohort's own", "simulated", "internal", "Outlined"):
        assert said in words.caption
    bare = attribution_words("chest", "resolution-032", "r3-gan", simulated=False, masks=False).caption
    assert "real patients" in bare
    assert "Outlined" not in bare


def test_outline_goes_round_a_pixel_and_along_the_border() -> None:
    mask = np.zeros((3, 4), np.uint8)
    mask[1, 3] = 255
    edges = {tuple(map(tuple, edge)) for edge in mask_outline(mask).tolist()}
    assert edges == {((3, 1), (4, 1)), ((3, 2), (4, 2)), ((3, 1), (3, 2)), ((4, 1), (4, 2))}
    assert mask_outline(np.zeros((3, 4), np.uint8)).shape == (0, 2, 2)
    assert len(mask_outline(np.full((2, 2), 255, np.uint8))) == 8


def test_scale_is_of_the_pair_and_never_zero() -> None:
    pair = np.zeros((2, 10, 10), np.float32)
    assert colour_scale(pair) == 1
    pair[1, 0, 0] = -3
    assert colour_scale(pair) == 3
    many = np.full((2, 20, 20), 2, np.float32)
    many[0, 0, 0] = 9
    assert colour_scale(many) == 2


def test_agreement_is_written_with_a_minus_sign() -> None:
    assert [agreement_text(value) for value in (0.456, -0.5, np.nan)] == ["ρ 0.46", "ρ \N{MINUS SIGN}0.50", "ρ –"]
