import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from synthcohort.classify import training
from synthcohort.classify.batches import batch_positions, mirror
from synthcohort.classify.networks import build_network, load_classifier, save_classifier, to_input
from synthcohort.classify.predict import predict, predictions_table
from synthcohort.classify.trainer import train_classifier
from synthcohort.classify.training import RECIPES, Recipe, masked_loss, mean_auroc
from synthcohort.core.config import Classifier
from synthcohort.core.errors import UserError
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.measures.auroc import auroc

FINDINGS = ["bright_left", "bright_right"]
SETTINGS = Classifier(kimg=4.0, patience=9)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_store(folder: Path, count: int = 500, seed: int = 0, learnable: bool = True) -> ImageStore:
    """Noise at 8², where each finding brightens its own half."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, 2))
    images = rng.integers(60, 160, (count, 1, 8, 8))
    if learnable:
        images[:, :, 2:6, 0:4] += 25 * labels[:, 0, None, None, None]
        images[:, :, 2:6, 4:8] += 25 * labels[:, 1, None, None, None]
    records = pd.DataFrame({"image_id": [f"i{n}" for n in range(count)], "patient_id": [f"p{n}" for n in range(count)]})
    records[FINDINGS] = labels.astype(float)
    info = StoreInfo(
        cohort="halves", findings=[Finding(name=name, display=name) for name in FINDINGS], units="noise", windows=[],
        resolution=8, channels=1, images=count, simulated=True,
    )  # fmt: skip
    write_store(folder, [images.astype(np.uint8)], records, info)
    return ImageStore(folder)


def run(store: ImageStore, folder: Path, **changes: object) -> torch.nn.Module:
    arguments = {
        "train": (store, np.arange(300)), "valid": (store, np.arange(300, 400)), "settings": SETTINGS, "seed": 5,
        "folder": folder, "device": CPU, "horizontal_flip": False, "params_digest": "p",
    }  # fmt: skip
    return train_classifier(**(arguments | changes))  # type: ignore[arg-type]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "small", Recipe(32, 2e-3, 0.01, 1.0, 1.0, 0))


# Networks


@pytest.mark.parametrize("resolution", [8, 16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_network_shapes(resolution: int, channels: int) -> None:
    network = build_network("small", channels, FINDINGS, resolution, seed=1)
    x = torch.zeros(2, channels, resolution, resolution)
    sides = [feature.shape[-1] for feature in network.features(x)]
    assert sides[:3] == [resolution // 2, resolution // 4, resolution // 8]
    assert network(x).shape == (2, 2)
    assert network.pooled(x).shape == (2, 96)


@pytest.mark.parametrize(("channels", "resolution"), [(1, 16), (2, 32), (3, 256)])
def test_densenet_takes_any_channels_and_side_and_learns_a_step(channels: int, resolution: int) -> None:
    network = build_network("densenet121", channels, FINDINGS, resolution, seed=1)
    x = torch.rand(2, channels, resolution, resolution) * 2 - 1
    before = network.net.classifier.weight.clone()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss = masked_loss(network(x), torch.tensor([[1.0, 0.0], [0.0, float("nan")]]))
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert not torch.equal(before, network.net.classifier.weight)
    assert [feature.shape[-1] for feature in network.eval().features(x[:1])] == [56, 28, 14, 7]


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(0)
    first = build_network("small", 1, FINDINGS, 16, seed=3).state_dict()
    torch.manual_seed(1)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    second = build_network("small", 1, FINDINGS, 16, seed=3).state_dict()
    other = build_network("small", 1, FINDINGS, 16, seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert torch.equal(drawn, torch.rand(3))  # nobody else's random numbers are touched


def test_input_spans_minus_one_to_one() -> None:
    x = to_input(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
    assert x.flatten().tolist() == [-1.0, 1.0]


def test_saved_classifier_comes_back_and_damage_is_noticed(tmp_path: Path) -> None:
    network = build_network("small", 1, FINDINGS, 16, seed=1).eval()
    save_classifier(tmp_path, network, {"seed": 1})
    loaded = load_classifier(tmp_path)
    x = torch.rand(3, 1, 16, 16)
    assert loaded.findings == FINDINGS
    assert torch.equal(network(x), loaded(x))
    weights = tmp_path / "classifier.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\1\0")
    with pytest.raises(UserError, match="digest"):
        load_classifier(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match="missing"):
        load_classifier(tmp_path)


def test_pretrained_weights_are_checked_and_used(tmp_path: Path) -> None:
    from torchvision.models import densenet121

    from synthcohort.core.atomic import file_digest

    state = densenet121(weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): state[name] for name in state}
    assert any(".norm.1." in name for name in old)
    torch.save(old, tmp_path / "densenet.pth")
    network = build_network("densenet121", 1, FINDINGS, 32, seed=1)
    digest = file_digest(tmp_path / "densenet.pth")
    assert network.load_pretrained(str(tmp_path / "densenet.pth")) == digest
    assert torch.equal(network.net.features.conv0.weight, state["features.conv0.weight"])
    assert network.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    promised = tmp_path / f"densenet-{digest[:8]}.pth"
    (tmp_path / "densenet.pth").rename(promised)
    assert network.load_pretrained(str(promised)) == digest
    promised.rename(tmp_path / "densenet-00000000.pth")
    with pytest.raises(UserError, match="00000000"):
        network.load_pretrained(str(tmp_path / "densenet-00000000.pth"))
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(UserError, match="does not hold"):
        network.load_pretrained(str(tmp_path / "junk.pth"))
    with pytest.raises(UserError, match="no such file"):
        network.load_pretrained(str(tmp_path / "none.pth"))


# Batches and loss


def test_every_image_comes_once_per_epoch_without_a_gap() -> None:
    stream = np.concatenate([batch_positions(10, 4, step, seed=1) for step in range(5)])
    assert sorted(stream[:10]) == sorted(stream[10:]) == list(range(10))
    assert stream[:10].tolist() != stream[10:].tolist()
    assert len(batch_positions(3, 8, 0, seed=1)) == 8


def test_mirroring_is_horizontal_and_for_half_of_the_images() -> None:
    image = np.zeros((100, 1, 4, 4), np.uint8)
    image[:, :, 0, 0] = 255
    mirrored = mirror(image, np.random.default_rng(0))
    assert 30 < (mirrored[:, 0, 0, 3] == 255).sum() < 70
    assert ((mirrored[:, 0, 0, 3] == 255) ^ (mirrored[:, 0, 0, 0] == 255)).all()


def test_unknown_labels_carry_no_loss() -> None:
    outputs = torch.tensor([[0.0, 5.0], [2.0, -3.0]], requires_grad=True)
    loss = masked_loss(outputs, torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")]]))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    assert outputs.grad is not None
    assert outputs.grad.flatten().tolist() == pytest.approx([-0.5, 0, 0, 0])
    assert masked_loss(outputs, torch.full((2, 2), float("nan"))).item() == 0


def test_mean_auroc_is_over_defined_findings() -> None:
    labels = np.array([[0, 1, np.nan], [1, 1, np.nan]])
    assert mean_auroc(labels, np.array([[0.2, 0.5, 0.5], [0.1, 0.5, 0.5]])) == 0.0
    assert np.isnan(mean_auroc(labels[:, 1:], np.zeros((2, 2))))


# Training


@pytest.mark.usefixtures("_quick")
def test_training_learns_and_writes_the_best_weights(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    rows = np.arange(400, 500)
    network = run(store, tmp_path / "a")
    scores = predict(network, store, rows)
    assert auroc(store.labels[rows, 0], scores[:, 0]) > 0.85
    history = pd.read_csv(tmp_path / "a" / "classifier-history.csv")
    assert history["valid_auroc"].max() > 0.85
    loaded = load_classifier(tmp_path / "a")
    np.testing.assert_array_equal(predict(loaded, store, rows), scores)
    table = predictions_table(loaded, store, rows, scores)
    assert list(table.columns) == ["image_id", "patient_id", "finding", "label", "score"]
    assert table.iloc[3].tolist() == ["i401", "p401", "bright_right", store.labels[401, 1], scores[1, 1]]
    best = mean_auroc(store.labels[300:400], predict(loaded, store, np.arange(300, 400)))
    assert best == pytest.approx(history["valid_auroc"].max(), abs=1e-12)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_used_where_it_is_native_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(training, "bfloat16_helps", lambda device: native)
    store, rows = make_store(tmp_path / "store", 64), np.arange(64)
    network = build_network("small", 1, FINDINGS, store.info.resolution, seed=1)
    seen: list[bool] = []

    def note(module: torch.nn.Module, *_: object) -> None:
        if module.training:  # what is evaluated is a copy, hook and all
            seen.append(torch.is_autocast_enabled("cpu"))

    network.register_forward_hook(note)
    settings = Classifier(network="small", kimg=0.05)
    training.Training(network, (store, rows), (store, rows), settings, 0, torch.device("cpu"), flip=False).advance()
    assert seen
    assert set(seen) == {native}


def test_labels_that_are_noise_end_at_chance(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", count=1400, learnable=False)
    network = run(store, tmp_path / "a")
    scores = predict(network, store, np.arange(400, 1400))
    assert abs(mean_auroc(store.labels[400:], scores) - 0.5) < 0.06


@pytest.mark.usefixtures("_quick")
def test_patience_ends_training_early(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", learnable=False)
    run(store, tmp_path / "a", settings=Classifier(kimg=40, patience=2))
    history = pd.read_csv(tmp_path / "a" / "classifier-history.csv")
    assert len(history) < 30
    assert history["valid_auroc"].idxmax() == len(history) - 3


@pytest.mark.usefixtures("_quick")
def test_a_validation_side_of_one_class_falls_back_to_the_loss(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    alike = np.flatnonzero((store.labels == 1).all(axis=1))[:10]
    run(store, tmp_path / "a", valid=(store, alike), settings=Classifier(kimg=2))
    history = pd.read_csv(tmp_path / "a" / "classifier-history.csv")
    assert history["valid_auroc"].isna().all()


def test_an_empty_side_is_said_in_one_sentence(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with pytest.raises(UserError, match="validation side"):
        run(store, tmp_path / "a", valid=(store, np.arange(0)))


DECLARED = ["classifier.safetensors", "classifier.json", "classifier-history.csv"]
CHILD = """
import sys
from pathlib import Path
import numpy as np, torch
from synthcohort.classify import trainer, training
from synthcohort.core.config import Classifier
from synthcohort.core.store import ImageStore
torch.set_num_threads(1)
trainer.CHECKPOINT_SECONDS = 0
training.RECIPES["small"] = training.Recipe(32, 2e-3, 0.01, 1.0, 1.0, 0)
store = ImageStore(sys.argv[1])
trainer.train_classifier((store, np.arange(300)), (store, np.arange(300, 400)), Classifier(kimg=4.0, patience=9), 5,
                         sys.argv[2], torch.device("cpu"), False, "p")
"""


@pytest.mark.usefixtures("_quick")
def test_killed_training_continues_to_the_same_bytes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    run(store, tmp_path / "whole")
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "store"), str(tmp_path / "killed")])
    checkpoint = tmp_path / "killed" / "run" / "classifier" / "checkpoint.pt"
    while not checkpoint.exists():
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "killed" / "classifier.json").exists()
    run(store, tmp_path / "killed")
    for name in DECLARED:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not list((tmp_path / "killed" / "run").glob("*stale*"))


@pytest.mark.usefixtures("_quick")
def test_other_data_start_anew(tmp_path: Path) -> None:
    run(make_store(tmp_path / "store"), tmp_path / "a", settings=Classifier(kimg=1))
    run(make_store(tmp_path / "store", seed=1), tmp_path / "a", settings=Classifier(kimg=1))
    assert (tmp_path / "a" / "run" / "classifier-stale-1").is_dir()
