"""Attribution: all methods find a patch that a classifier was trained to see, and agree with plain computations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn.functional import binary_cross_entropy_with_logits

from gan_toys import make_images
from synthcohort.audit.attribution import METHODS, attribution_maps, untrained
from synthcohort.audit.attribution_metrics import UNTRAINED, attribution_metrics, choose_images, map_chosen
from synthcohort.classify.networks import Network, to_input
from synthcohort.classify.trainer import train_classifier
from synthcohort.core.config import Classifier, Statistics
from synthcohort.core.store import ImageStore
from synthcohort.measures.attribution import mask_overlap, rank_correlations

CPU = torch.device("cpu")
SIDE, COUNT = 16, 300
PATCH = np.s_[4:8, 8:12]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """Noise; images of the first finding (the even ones) have a bright patch, always at the same place."""
    images = np.random.default_rng(0).integers(60, 120, (COUNT, 1, SIDE, SIDE), np.uint8)
    images[::2, 0, *PATCH] += 120
    folder = tmp_path_factory.mktemp("patch")
    make_images(folder, images, findings=2)
    return ImageStore(folder)


@pytest.fixture(scope="module")
def network(store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A classifier that has learnt to see the patch."""
    torch.set_num_threads(1)
    subset, settings = (store, store.all_rows), Classifier(network="small", kimg=5.0, patience=9)
    return train_classifier(subset, subset, settings, 1, tmp_path_factory.mktemp("net"), CPU, False, "")


def patch_mask(count: int) -> np.ndarray:
    mask = np.zeros((count, SIDE, SIDE), np.uint8)
    mask[:, *PATCH] = 255
    return mask


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_patch(store: ImageStore, network: Network, method: str) -> None:
    images = store.images[np.arange(0, 40, 2)]
    maps = attribution_maps(network, images, 0, method)
    assert maps.shape == (20, SIDE, SIDE)
    assert maps.dtype == np.float32
    seen = mask_overlap(np.maximum(maps, 0), patch_mask(20)).mean()
    blind = mask_overlap(np.maximum(attribution_maps(untrained(network, 3), images, 0, method), 0), patch_mask(20))
    assert seen > 0.9
    assert blind.mean() < seen - 0.1
    np.testing.assert_array_equal(maps, attribution_maps(network, images, 0, method))


def test_occlusion_is_the_increase_of_the_loss_patch_by_patch(store: ImageStore, network: Network) -> None:
    images = store.images[np.array([0, 2])]
    maps = attribution_maps(network, images, 0, "occlusion")
    for number, image in enumerate(images):
        whole = loss(network, image)
        for top in range(0, SIDE, 2):
            for left in range(0, SIDE, 2):
                hidden = image.copy()
                hidden[:, top : top + 2, left : left + 2] = 0
                assert maps[number, top + 1, left] == pytest.approx(loss(network, hidden) - whole, abs=1e-5)


def loss(network: Network, image: np.ndarray) -> float:
    with torch.no_grad():
        logit = network(to_input(image[None], CPU))[:, 0].double()
    return float(binary_cross_entropy_with_logits(logit, torch.ones_like(logit)))


def test_integrated_gradients_add_up_to_the_logit(store: ImageStore, network: Network) -> None:
    images = store.images[np.array([0, 2, 4])]
    maps = attribution_maps(network, images, 0, "integrated_gradients")
    with torch.no_grad():
        logits = network(to_input(images, CPU))[:, 0] - network(to_input(np.zeros_like(images), CPU))[:, 0]
    np.testing.assert_allclose(maps.sum((1, 2)), logits.numpy(), rtol=0.05, atol=0.05)


def test_a_network_in_training_mode_is_refused(store: ImageStore, network: Network) -> None:
    network.train()
    try:
        with pytest.raises(ValueError, match="evaluation mode"):
            attribution_maps(network, store.images[:2], 0, "occlusion")
    finally:
        network.eval()


def test_measures_by_hand_and_against_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 3, 6, 6)).astype(float)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlations(first, second), expected)
    assert np.isnan(rank_correlations(np.ones((1, 4)), np.arange(4.0)[None]))[0]
    maps = np.array([[[-3.0, 1], [0, 2]]])
    assert mask_overlap(maps, np.array([[[255, 0], [0, 0]]], np.uint8))[0] == 1
    assert mask_overlap(maps, np.array([[[127, 128], [0, 0]]], np.uint8))[0] == pytest.approx(1 / 3)
    assert mask_overlap(0 * maps, np.array([[[255, 0], [0, 0]]], np.uint8))[0] == 0.5
    assert np.isnan(mask_overlap(maps, np.zeros((1, 2, 2), np.uint8))[0])


def test_equal_classifiers_agree_and_controls_stand_beside(store: ImageStore, network: Network, tmp_path: Path) -> None:
    sides = np.array(["train", "test"])[(np.arange(COUNT) >= 200).astype(int)]
    patients = [f"p{number // 4}" for number in range(COUNT)]
    selection = pd.DataFrame({"row": np.arange(COUNT), "patient_id": patients, "side": sides})
    chosen = choose_images(store, selection, 0, findings=1, per_finding=12)
    assert (chosen["row"] >= 200).all()
    assert chosen["patient_id"].is_unique
    assert store.labels[chosen["row"], 0].all()
    own = map_chosen(network, store, chosen)
    maps = {"real": own, "r3-gan": own, UNTRAINED: map_chosen(untrained(network, 2), store, chosen)}
    keys = dict.fromkeys(("study", "cohort", "experiment", "axis", "level", "replicate"), "x")
    metrics = attribution_metrics(keys, chosen, maps, patch_mask(len(chosen)), Statistics(bootstrap=50), 0, True)
    means = metrics[metrics["finding"] == "mean"].set_index(["metric", "role", "source", "parameter"])["value"]
    for method in METHODS:
        assert means["attribution_agreement", "value", "r3-gan", method] == pytest.approx(1)
        assert means["attribution_agreement", "floor", "real", method] < 0.9
        assert means["attribution_overlap", "value", "real", method] > 0.9
        assert (
            means["attribution_overlap", "value", "real", method]
            > means["attribution_overlap", "floor", "real", method]
        )
    assert ("attribution_agreement", "value", "real", "occlusion") not in means.index
