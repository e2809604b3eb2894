"""Training and sampling end to end on tiny stores: same bytes, survival, and what stops a run."""

import csv
import fcntl
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from synthcohort.core.config import StopRule
from synthcohort.core.errors import UserError
from synthcohort.core.interrupt import Interrupted
from synthcohort.core.job import job_errors
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.gan import loop
from synthcohort.gan.augment import KINDS
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.equalized import append_deviation
from synthcohort.gan.features import GuideFeatures
from synthcohort.gan.guide import Views
from synthcohort.gan.registry import load_family
from synthcohort.gan.sampler import (
    block_size,
    choose_images,
    draw_labels,
    load_generator,
    sample_grid,
    sample_images,
    sample_to_store,
)
from synthcohort.gan.settings import R3Settings, WassersteinSettings
from synthcohort.gan.trainer import Material, train_generator
from synthcohort.gan.training import Training
from synthcohort.gan.watch import Evaluation

FAMILIES = {name: load_family(name) for name in ("r3-gan", "cpd-gan", "prog-gan")}
SETTINGS = {
    "r3-gan": R3Settings(8, (8, 6), 8, 1e-3, 1.0, kimg=0.16, tick_kimg=0.04, latent=8),
    "cpd-gan": WassersteinSettings(8, (8, 6), 8, 1e-3, 10.0, kimg=0.16, tick_kimg=0.04, latent=8),
    "prog-gan": WassersteinSettings(8, (8, 6), 8, 1e-3, 10.0, kimg=0.16, tick_kimg=0.04, latent=8),
}
RULE = StopRule(samples=100, every=2, patience=0)
CPU = torch.device("cpu")
ROWS, HELD_OUT = np.arange(0, 50), np.arange(50, 60)


class TinyGuide(nn.Module):
    name = "tiny"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, 4, 3, stride=2, padding=1)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.relu(self.layer(images))]

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images)[0].mean((2, 3))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_store(folder: Path, channels: int = 1, value: int = 0) -> ImageStore:
    """60 images: a bright square on the left is finding a, on the right finding b."""
    random = np.random.default_rng(value)
    labels = random.integers(0, 2, (60, 2)).astype(np.float32)
    images = random.integers(0, 40, (60, channels, 8, 8)).astype(np.uint8)
    images[labels[:, 0] == 1, :, 2:6, :3] = 200
    images[labels[:, 1] == 1, :, 2:6, 5:] = 200
    labels[0, 0] = np.nan
    records = pd.DataFrame(labels, columns=["a", "b"])
    records.insert(0, "image_id", [f"i{number}" for number in range(60)])
    records.insert(1, "patient_id", [f"p{number}" for number in range(60)])
    info = StoreInfo(
        cohort="toy",
        findings=[Finding(name="a", display="A"), Finding(name="b", display="B")],
        units="HU",
        windows=[(0, 80)] * channels,
        resolution=8,
        channels=channels,
        images=60,
        simulated=True,
    )
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def train(
    store: ImageStore,
    folder: Path,
    seed: int = 1,
    rows: np.ndarray = ROWS,
    guide: nn.Module | None = None,
    digest: str = "",
    family: str = "r3-gan",
    rule: StopRule = RULE,
    augmentations: tuple[str, ...] = (),
    **changes: Any,
) -> None:
    features = GuideFeatures(guide) if guide is not None else None
    material = Material(store, rows, HELD_OUT, guide, features, None, digest)
    settings = replace(SETTINGS[family], **changes)
    train_generator(material, FAMILIES[family], settings, rule, seed, folder, CPU, augmentations)


def make_training(store: ImageStore, family: str = "r3-gan", **changes: Any) -> Training:
    settings = replace(SETTINGS[family], **changes)
    data = TrainingImages(store, ROWS, CPU)
    return Training(FAMILIES[family], settings, data, store.info.channels, 2, 1)


def outputs(folder: Path) -> dict[str, bytes]:
    names = ("generator.safetensors", "generator.json", "discriminator.safetensors", "history.csv", "samples.npz")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_same_seed_same_bytes_other_seed_others(tmp_path: Path, family: str, channels: int) -> None:
    store = make_store(tmp_path / "store", channels)
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        torch.manual_seed(0)
        guide = TinyGuide(channels)
        torch.manual_seed(seed if name == "one" else 99)  # the caller's random state must not matter
        train(store, tmp_path / name, seed, guide=guide, family=family)
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two")
    assert outputs(tmp_path / "one")["generator.safetensors"] != outputs(tmp_path / "three")["generator.safetensors"]

    card = json.loads((tmp_path / "one" / "generator.json").read_text())
    assert (card["family"], card["kimg"], card["seed"], card["channels"]) == (family, 0.16, 1, channels)
    with safe_open(tmp_path / "one" / "generator.safetensors", "pt") as file:
        assert file.metadata() is None
    history = list(csv.DictReader((tmp_path / "one" / "history.csv").open()))
    assert [float(row["kimg"]) for row in history] == [0.04, 0.08, 0.12, 0.16]
    assert {"tick", "loss_discriminator", "score_real", "score_fake", "penalty"} <= set(history[0])
    timing = list(csv.DictReader((tmp_path / "one" / "timing.csv").open()))
    assert len(timing) == 4
    assert float(timing[0]["seconds"]) > 0
    events = EventAccumulator(str(tmp_path / "one" / "run" / "tensorboard")).Reload()
    losses = events.Scalars("loss_discriminator")
    assert [event.step for event in losses] == [5, 10, 15, 20]
    assert losses[-1].value == pytest.approx(float(history[-1]["loss_discriminator"]), rel=1e-6)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_killed_training_resumes_and_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    store = make_store(tmp_path / "store")
    torch.manual_seed(0)
    guide = TinyGuide(1)

    def start(name: str) -> None:
        train(store, tmp_path / name, guide=guide, family=family, augmentations=KINDS, augmentation=None, kimg=1.6)

    start("whole")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    # A forked process is as real to SIGKILL as any, and needs no second import of torch.
    process = multiprocessing.get_context("fork").Process(target=start, args=("killed",))
    process.start()
    checkpoint = tmp_path / "killed" / "run" / "checkpoint.pt"
    wait_for(checkpoint.exists, process)
    time.sleep(0.05)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the training ended before it was killed; make it longer"
    step = torch.load(checkpoint, weights_only=True)["state"]["training"]["step"]
    assert 0 < step < 200
    assert not (tmp_path / "killed" / "generator.safetensors").exists()
    start("killed")
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "whole")
    assert pd.read_csv(tmp_path / "killed" / "timing.csv")["tick"].tolist() == list(range(1, 41))


def wait_for(ready: Callable[[], bool], process: multiprocessing.Process) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.005)


def test_asked_to_end_it_saves_at_once_and_goes_on_in_the_same_bytes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")

    def start(name: str) -> None:
        with job_errors():
            train(store, tmp_path / name, kimg=8, tick_kimg=4)

    process = multiprocessing.get_context("fork").Process(target=start, args=("asked",))
    process.start()
    wait_for((tmp_path / "asked" / "run" / "lock").exists, process)
    time.sleep(0.5)
    asked = time.monotonic()
    process.terminate()
    process.join(timeout=60)
    assert time.monotonic() - asked < 10
    assert process.exitcode == 128 + signal.SIGTERM
    state = torch.load(tmp_path / "asked" / "run" / "checkpoint.pt", weights_only=True)["state"]["training"]
    assert 0 < state["step"] < 1000
    assert state["step"] % 500 != 0, "it ended within a tick, not at one"
    start("asked")
    start("whole")
    assert outputs(tmp_path / "asked") == outputs(tmp_path / "whole")


@pytest.mark.parametrize("call", [2, 4])
def test_asked_to_end_during_a_look_it_ends_after_one_block_and_looks_again(tmp_path: Path, call: int) -> None:
    """The second call of the features is in the first look, the fourth in the last, when all steps are done."""
    store = make_store(tmp_path / "store")
    torch.manual_seed(0)
    guide = TinyGuide(1)
    pooled, calls = guide.pooled, []

    def asked(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return pooled(images)

    guide.pooled = asked  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match="the state is saved"):
        train(store, tmp_path / "asked", guide=guide)
    assert len(calls) == call
    guide.pooled = pooled  # type: ignore[method-assign]
    for name in ("asked", "whole"):
        train(store, tmp_path / name, guide=guide)
    assert outputs(tmp_path / "asked") == outputs(tmp_path / "whole")


@pytest.mark.parametrize(
    ("distances", "best", "trained", "early"),
    [
        ([5.0, 3.0, 4.0, 2.0, 6.0, 2.0], 0.064, 0.096, True),
        ([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 6.0, 2.0], 0.128, 0.16, False),  # its patience ends with the steps
    ],
)
def test_the_best_state_is_kept_also_across_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distances: list[float], best: float, trained: float, early: bool
) -> None:
    store = make_store(tmp_path / "store")
    seen: list[dict[str, torch.Tensor]] = []

    class Planned:
        metric, features, killed_at = "kid", None, -1

        def __init__(self, *_: Any) -> None:
            pass

        def look(self, generator: nn.Module, _: Any) -> Evaluation:
            if len(seen) == Planned.killed_at:
                Planned.killed_at = -1
                raise KeyboardInterrupt
            seen.append({name: value.clone() for name, value in generator.state_dict().items()})
            return Evaluation("kid", distances[len(seen) - 1], 0.0)

    monkeypatch.setattr("synthcohort.gan.trainer.Watch", Planned)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    rule = StopRule(every=1, minimum=0, patience=2)

    def start(name: str) -> None:
        train(store, tmp_path / name, rule=rule, tick_kimg=0.016)

    start("whole")
    assert len(seen) == len(distances)
    card = json.loads((tmp_path / "whole" / "generator.json").read_text())
    assert (card["kimg"], card["trained_kimg"], card["stopped_early"]) == (best, trained, early)
    kept, wanted = load_file(tmp_path / "whole" / "generator.safetensors"), seen[distances.index(2.0)]
    assert all(torch.equal(kept[name], value) for name, value in wanted.items())
    assert not all(torch.equal(value, seen[-1][name]) for name, value in wanted.items())
    seen.clear()
    Planned.killed_at = distances.index(2.0) + 1
    with pytest.raises(KeyboardInterrupt):
        start("killed")
    start("killed")
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "whole")


def test_checkpoints_take_a_twentieth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        path = tmp_path

        def save(self, state: Any) -> None:
            time.sleep(0.05)

    training = make_training(make_store(tmp_path / "store"))
    trainer = loop.Trainer(training, None, training.data, RULE, Slow())  # type: ignore[arg-type]
    trainer._write_checkpoint(Slow())  # type: ignore[arg-type]
    assert trainer.due - time.monotonic() == pytest.approx(30, abs=1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.1)
    trainer._write_checkpoint(Slow())  # type: ignore[arg-type]
    assert trainer.due - time.monotonic() >= 0.9


@pytest.mark.parametrize("changed", ["digest", "rows", "data", "seed", "settings", "rule", "damaged"])
def test_checkpoint_of_something_else_is_set_aside(tmp_path: Path, changed: str) -> None:
    store = make_store(tmp_path / "store")
    folder = tmp_path / "r0"
    train(store, folder, digest="x")
    if changed == "damaged":
        (folder / "run" / "checkpoint.pt").write_bytes(b"not a checkpoint")
    if changed == "data":
        store = make_store(tmp_path / "other", value=1)
    train(
        store,
        folder,
        seed=2 if changed == "seed" else 1,
        rows=ROWS[1:] if changed == "rows" else ROWS,
        digest="y" if changed == "digest" else "x",
        rule=StopRule(samples=101) if changed == "rule" else RULE,
        **({"batch": 10} if changed == "settings" else {}),
    )
    assert (folder / "run-stale-1" / "checkpoint.pt").is_file()
    assert (folder / "run" / "checkpoint.pt").is_file()


def test_finished_training_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store")
    train(store, tmp_path / "r0")
    first = outputs(tmp_path / "r0")
    for path in first:  # as Snakemake does
        (tmp_path / "r0" / path).unlink()
    monkeypatch.setattr(Training, "advance", lambda self: pytest.fail("trained again"))
    train(store, tmp_path / "r0")
    assert outputs(tmp_path / "r0") == first


def test_second_trainer_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    folder = tmp_path / "r3-gan" / "r0"
    (folder / "run").mkdir(parents=True)
    with open(folder / "run" / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process"):
            train(store, folder)
    train(store, folder)


def test_divergence_stops_with_the_tick_and_what_to_change(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with pytest.raises(UserError, match=r"tick 1 \(0\.0 kimg\).*learning_rate.*penalty"):
        train(store, tmp_path / "r0", learning_rate=1e30)
    assert not (tmp_path / "r0" / "generator.safetensors").exists()
    assert not (tmp_path / "r0" / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize(("name", "value"), [("loss_generator", -2e6), ("score_fake", 2e6), ("label_loss_real", 2e6)])
def test_huge_losses_and_scores_are_divergence_too(tmp_path: Path, name: str, value: float) -> None:
    training = make_training(make_store(tmp_path / "store"))
    training._note({name: torch.tensor(value / 3), "penalty": torch.tensor(1e9)})
    assert training.close_tick()["penalty"] == 1e9
    training._note({name: torch.tensor(value)})
    with pytest.raises(UserError, match=r"diverged in tick 2 .*lower learning_rate"):
        training.close_tick()


def test_large_images_pass_in_smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gray(nn.Module):
        latent = 3

        def __init__(self, side: int) -> None:
            super().__init__()
            self.level, self.side = nn.Parameter(torch.zeros(1)), side

        def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return (self.level + latents[:, :1, None, None]).expand(-1, 1, self.side, self.side)

    assert [block_size(Gray(side), 2) for side in (16, 64, 256, 512)] == [100, 100, 16, 4]
    assert [block_size(Gray(side), 2, candidates=8) for side in (16, 32, 256, 512)] == [100, 100, 2, 1]
    blocks = [len(block) for block in sample_images(Gray(256), np.zeros((40, 2), np.float32), 1)]
    assert blocks == [16, 16, 8]

    torch.manual_seed(0)
    guide, images = TinyGuide(1), torch.randn(20, 1, 8, 8)
    whole = Views(guide, images)(images)[1]
    monkeypatch.setattr("synthcohort.gan.data.PIXELS_AT_ONCE", 6 * 64)  # blocks of 6, 6, 6 and 2
    torch.testing.assert_close(Views(guide, images)(images)[1], whole, rtol=1e-2, atol=1e-2)


def test_no_images_is_said(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with pytest.raises(UserError, match="no training image"):
        train(store, tmp_path / "r0", rows=ROWS[:0])


def test_a_batch_pairs_images_with_their_labels(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    data = TrainingImages(store, ROWS[10:], CPU)
    seen = [data.batch(3, step, 8, False) for step in range(5)]
    images, labels = (torch.cat([pair[k] for pair in seen]) for k in range(2))
    bright = images[:, 0, 3, [1, 6]] > 0.5
    assert torch.equal(bright, labels == 1)
    assert len({image.numpy().tobytes() for image in images}) == 40  # an epoch shows every image once


def test_memory_mapped_and_resident_images_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store")
    resident = TrainingImages(store, ROWS, CPU)
    monkeypatch.setattr("synthcohort.gan.data.RESIDENT_BYTES", 0)
    mapped = TrainingImages(store, ROWS, CPU)
    assert mapped.images is None
    for found, wanted in zip(mapped.batch(1, 7, 8, True), resident.batch(1, 7, 8, True), strict=True):
        assert torch.equal(found, wanted)


def test_mirroring_flips_some_images_left_to_right(tmp_path: Path) -> None:
    data = TrainingImages(make_store(tmp_path / "store"), ROWS, CPU)
    plain, labels = data.batch(1, 0, 40, False)
    mirrored, same = data.batch(1, 0, 40, True)
    assert torch.equal(labels, same)
    flipped = [torch.equal(a.flip(2), b) for a, b in zip(plain, mirrored, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(plain, mirrored, strict=True)]
    assert all(a or b for a, b in zip(flipped, kept, strict=True))
    assert 5 < sum(flipped) < 35


def test_unknown_labels_count_as_absent(tmp_path: Path) -> None:
    data = TrainingImages(make_store(tmp_path / "store"), ROWS, CPU)
    assert data.labels[0, 0] == 0
    assert set(data.labels.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("channels", [1, 3])
def test_averaged_weights_follow_with_their_half_life(tmp_path: Path, channels: int) -> None:
    training = make_training(make_store(tmp_path / "store", channels), ema_kimg=0.008)  # one batch of 8
    training.step = 10_000
    for average, current in zip(training.average.parameters(), training.players.generator.parameters(), strict=True):
        average.fill_(1.0)
        with torch.no_grad():
            current.fill_(3.0)
    training._update_average()
    for average in training.average.parameters():
        torch.testing.assert_close(average, torch.full_like(average, 2.0))


@pytest.mark.parametrize("held_out", [40, 6])
def test_overfitting_is_judged_on_shuffled_batches_and_samples_of_the_same_labels(
    tmp_path: Path, held_out: int
) -> None:
    """A discriminator that rates how much neighbours differ must not take patients' order for overfitting."""
    store = make_store(tmp_path / "store")
    images = np.array(store.images)
    images[:, :, 7] = 0
    images[:20, :, 7] = 255
    order = np.arange(60)  # training: neighbours are alike, as images of one patient; held out: they alternate
    valid = np.stack([order[:20], order[20:40]], 1).ravel()[:held_out]
    training = make_training(store, batch=4)
    training.data = TrainingImages(store, order[:40], CPU)
    training.data.images = torch.from_numpy(images[:40])
    other = TrainingImages(store, valid, CPU)
    other.images = torch.from_numpy(images[valid])
    seen: list[tuple[int, float]] = []

    class Neighbours(nn.Module):
        def score(self, shown: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            seen.append((len(shown), labels.sum().item()))
            return append_deviation(shown[:, :, 7:])[:, -1, 0, 0]

    training.players = replace(training.players, discriminator=Neighbours(), generator=Flat())
    found = []
    for training.step in range(20):
        found.append(training.overfitting(other))
    assert abs(np.mean(found)) < 0.3  # row by row it is −1: training images look alike, held-out ones differ
    assert {count for count, _ in seen} == {4}
    scored = np.array([labels for _, labels in seen]).reshape(20, -1)
    train, fake = scored[:, :10].sum(1), scored[:, -10:].sum(1)
    assert (train == training.data.labels.sum().item()).all()
    assert (fake == train).all()


class Flat(nn.Module):
    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(latents), 1, 8, 8)


def test_labels_are_drawn_from_the_training_combinations() -> None:
    labels = np.array([[1, 0]] * 60 + [[0, 1]] * 30 + [[1, 1]] * 9 + [[np.nan, 0]], np.float32)
    drawn = draw_labels(labels, 4000, seed=1)
    assert set(map(tuple, drawn)) == {(1, 0), (0, 1), (1, 1), (0, 0)}
    assert (drawn[:, 0] == 1).mean() == pytest.approx(0.69, abs=0.03)
    np.testing.assert_array_equal(drawn, draw_labels(labels, 4000, seed=1))


def test_sampling_writes_a_store_of_new_patients(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    train(store, tmp_path / "r0")
    labels = draw_labels(store.labels, 70, seed=2)
    for name, first in (("train", 1), ("valid", 71)):
        sample_to_store(tmp_path / "r0", labels, tmp_path / name, store.info, first, CPU, first)
    first_store, second_store = (ImageStore(tmp_path / name) for name in ("train", "valid"))
    assert first_store.images.shape == (70, 1, 8, 8)
    np.testing.assert_array_equal(first_store.labels, labels)
    assert first_store.records["image_id"].iloc[0] == "S000001"
    assert first_store.records["patient_id"].iloc[-1] == "synthetic-000070"
    assert not set(first_store.records["patient_id"]) & set(second_store.records["patient_id"])
    assert first_store.info.policy["generated_by"] == "r3-gan"
    assert first_store.info.finding_names == ["a", "b"]
    assert not np.array_equal(first_store.images, second_store.images)
    before = (tmp_path / "train" / "store.json").read_bytes()
    sample_to_store(tmp_path / "r0", labels, tmp_path / "train", store.info, 1, CPU)
    assert (tmp_path / "train" / "store.json").read_bytes() == before


def test_noise_does_not_depend_on_the_block_size(tmp_path: Path) -> None:
    train(make_store(tmp_path / "store"), tmp_path / "r0")
    generator = load_generator(tmp_path / "r0", CPU)
    labels = np.tile(np.array([[1, 0], [0, 1]], np.float32), (10, 1))
    blocks = [np.concatenate(list(sample_images(generator, labels, 5, batch))).astype(int) for batch in (3, 20)]
    assert np.abs(blocks[0] - blocks[1]).max() <= 1  # rounding
    grid = sample_grid(generator, labels[:2], 5, seed=5)
    assert grid.shape == (2, 5, 1, 8, 8)
    assert grid.dtype == np.uint8


def test_damaged_or_unknown_generator_is_refused(tmp_path: Path) -> None:
    train(make_store(tmp_path / "store"), tmp_path / "r0")
    card = tmp_path / "r0" / "generator.json"
    good = card.read_text()
    card.write_text(good.replace('"r3-gan"', '"other-gan"'))
    with pytest.raises(UserError, match="other-gan"):
        load_generator(tmp_path / "r0", CPU)
    card.write_text(good.replace('"latent": 8', '"latent": 9'))
    with pytest.raises(UserError, match="does not fit"):
        load_generator(tmp_path / "r0", CPU)


def test_training_learns_where_the_findings_are(tmp_path: Path) -> None:
    changes = {"widths": (24, 16), "batch": 16, "learning_rate": 2e-3, "penalty": 0.5, "kimg": 4, "ema_kimg": 0.5}
    train(make_store(tmp_path / "store"), tmp_path / "r0", **changes)
    generator = load_generator(tmp_path / "r0", CPU)
    grid = sample_grid(generator, np.array([[1, 0], [0, 1]], np.float32), 32, seed=1).astype(float)
    left, right = grid[..., 2:6, :3].mean((2, 3, 4)), grid[..., 2:6, 5:].mean((2, 3, 4))
    assert (left[0] > right[0]).mean() > 0.9
    assert (right[1] > left[1]).mean() > 0.9


def test_candidates_are_chosen_by_the_guide(tmp_path: Path) -> None:
    """A guide that sees finding a wherever the left half is bright keeps the candidates that agree with the labels."""

    class LeftGuide(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            left = images[:, 0, :, :4].mean((1, 2))
            return torch.stack([left * 5, torch.zeros_like(left)], 1)

    store = make_store(tmp_path / "store")
    train(store, tmp_path / "r0")
    generator, guide = load_generator(tmp_path / "r0", CPU), LeftGuide()
    labels = np.tile(np.array([[1, 0], [0, 1]], np.float32), (110, 1))
    drawn = np.concatenate(list(sample_images(generator, np.repeat(labels, 4, 0), 3)))
    kept = np.concatenate(list(choose_images(generator, labels, 3, guide, 4)))
    assert kept.shape == (220, 1, 8, 8)
    left = drawn[:, 0, :, :4].astype(float).mean((1, 2)).reshape(220, 4)
    best = np.where(labels[:, 0] == 1, left.argmax(1), left.argmin(1))
    expected = drawn.reshape(220, 4, 1, 8, 8)[np.arange(220), best]
    assert (np.abs(kept.astype(int) - expected).max((1, 2, 3)) <= 1).mean() > 0.95  # rounding may decide ties

    info = sample_to_store(tmp_path / "r0", labels, tmp_path / "s", store.info, 3, CPU, guide=guide, candidates=4)
    assert info.policy["candidates"] == 4
    np.testing.assert_array_equal(ImageStore(tmp_path / "s").images, kept)
