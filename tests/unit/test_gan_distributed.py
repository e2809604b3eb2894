"""Several processes train one generator: the same gradients, the same survival, the same clear sentences."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from synthcohort.classify.networks import build_network, save_classifier
from synthcohort.core.config import StopRule
from synthcohort.core.errors import UserError
from synthcohort.core.job import job_errors
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.gan import distributed
from synthcohort.gan import training as training_module
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.distributed import Ranks, check_parts, launch
from synthcohort.gan.registry import load_family
from synthcohort.gan.settings import R3Settings, Settings, WassersteinSettings
from synthcohort.gan.task import Task, run
from synthcohort.gan.training import Training

SETTINGS: dict[str, Settings] = {
    "r3-gan": R3Settings(8, (8, 6), 16, 1e-3, 1.0, kimg=1, tick_kimg=1, latent=8),
    "cpd-gan": WassersteinSettings(8, (8, 6), 16, 1e-3, 10.0, kimg=1, tick_kimg=1, latent=8),
    "prog-gan": WassersteinSettings(8, (8, 6), 16, 1e-3, 10.0, kimg=1, tick_kimg=1, latent=8),
}


def make_store(folder: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (80, 2)).astype(np.float32)
    images = random.integers(0, 60, (80, 1, 8, 8)).astype(np.uint8)
    images[labels[:, 0] == 1, :, 2:6, :3] = 200
    records = pd.DataFrame(labels, columns=["a", "b"])
    records.insert(0, "image_id", [f"i{number}" for number in range(80)])
    records.insert(1, "patient_id", [f"p{number}" for number in range(80)])
    info = StoreInfo(
        cohort="toy", findings=[Finding(name="a", display="A"), Finding(name="b", display="B")], units="HU",
        windows=[(0, 80)], resolution=8, channels=1, images=80, simulated=True,
    )  # fmt: skip
    write_store(folder / "store", [images], records, info)
    sides = ["train"] * 60 + ["valid"] * 20
    pd.DataFrame({"row": range(80), "side": sides}).to_parquet(folder / "selection.parquet")
    network = build_network("small", 1, ["a", "b"], 8, seed=1)
    save_classifier(folder / "guide", network, {})


def make_task(folder: Path, name: str, processes: int, **changes: object) -> Task:
    task = Task(
        family="r3-gan", scale="tiny", resolution=8, on_the_way=False,
        changes={"kimg": 0.4, "widths": (8,), "augmentation": None},
        augmentations=["translation", "intensity"], store=str(folder / "store"),
        selection=str(folder / "selection.parquet"), folder=str(folder / name), guide=str(folder / "guide"), before="",
        seed=1, stop_rule=StopRule(samples=100, every=5), device="cpu", threads=1, processes=processes, version=1,
        log=str(folder / f"{name}.log"),
    )  # fmt: skip
    return replace(task, **changes)  # type: ignore[arg-type]


def gradients_of_first_step(family: str, folder: str, accumulation: int, ranks: Ranks) -> None:
    """Take one step in float32 and, in the first process, keep the gradients."""
    torch.set_num_threads(1)
    store = ImageStore(Path(folder) / "store")
    settings = replace(SETTINGS[family], accumulation=accumulation, augmentation=0.5)
    data = TrainingImages(store, np.arange(60), torch.device("cpu"))
    training = Training(load_family(family), settings, data, 1, 2, 1, None, ("translation", "cutout"), ranks)
    with mock.patch.object(training_module, "bfloat16_helps", return_value=False):
        training.advance()
    if ranks.first:
        players = (training.players.generator, training.players.discriminator)
        found = [torch.cat([p.grad.flatten() for p in player.parameters()]) for player in players]
        torch.save(found, Path(folder) / f"gradients-{family}-{ranks.world}-{accumulation}.pt")


@pytest.mark.parametrize("family", list(SETTINGS))
def test_two_processes_or_two_parts_have_the_gradients_of_one(tmp_path: Path, family: str) -> None:
    make_store(tmp_path)
    for processes, accumulation in ((1, 1), (1, 2), (2, 1)):
        launch(processes, gradients_of_first_step, family, str(tmp_path), accumulation)
    one, parts, two = (torch.load(tmp_path / f"gradients-{family}-{name}.pt") for name in ("1-1", "1-2", "2-1"))
    for player in range(2):
        length = one[player].norm()
        assert length > 0
        assert (parts[player] - one[player]).norm() < 1e-4 * length
        assert (two[player] - one[player]).norm() < 1e-4 * length


def test_two_processes_asked_to_end_save_and_go_on_in_the_same_bytes(tmp_path: Path) -> None:
    make_store(tmp_path)
    process = multiprocessing.get_context("fork").Process(
        target=guarded, args=(make_task(tmp_path, "asked", 2, changes={"kimg": 4, "widths": (8,)}),)
    )
    process.start()
    deadline = time.monotonic() + 90
    while not list((tmp_path / "asked" / "run").glob("tensorboard/*")):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.02)
    time.sleep(0.3)
    asked = time.monotonic()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(timeout=60)
    assert time.monotonic() - asked < 10
    assert process.exitcode == 128 + signal.SIGTERM
    step = torch.load(tmp_path / "asked" / "run" / "checkpoint.pt", weights_only=True)["state"]["training"]["step"]
    assert 0 < step < 250
    for name in ("asked", "whole"):
        run(make_task(tmp_path, name, 2, changes={"kimg": 4, "widths": (8,)}))
    for file in ("generator.safetensors", "discriminator.safetensors", "history.csv", "samples.npz"):
        assert (tmp_path / "asked" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def guarded(task: Task) -> None:
    with job_errors():
        run(task)


@pytest.mark.parametrize(("world", "card"), [(2, "second"), (3, "")])
def test_each_process_sees_its_own_card_and_reduces_on_either_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: int, card: str
) -> None:
    for name, value in (("RANK", 1), ("WORLD_SIZE", world), ("CUDA_VISIBLE_DEVICES", "first,second")):
        monkeypatch.setenv(name, str(value))
    asked: list[str] = []
    monkeypatch.setattr(distributed, "visible_cards", lambda: ["first", "second"])
    monkeypatch.setattr(distributed, "die_with_parent", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: os.environ["CUDA_VISIBLE_DEVICES"] != "")
    monkeypatch.setattr(torch.distributed, "init_process_group", asked.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    seen: list[object] = []
    distributed._join(lambda ranks: seen.append((ranks, os.environ["CUDA_VISIBLE_DEVICES"])), (), tmp_path)
    assert seen == [(Ranks(1, world), card)]
    assert asked == ["cpu:gloo,cuda:nccl" if card else "gloo"]


def test_a_process_dies_with_its_parent() -> None:
    fork = multiprocessing.get_context("fork")
    read, write = os.pipe()

    def work() -> None:
        distributed.die_with_parent()
        os.write(write, b"%d" % os.getpid())
        time.sleep(60)

    def parent() -> None:
        fork.Process(target=work).start()
        time.sleep(60)

    process = fork.Process(target=parent)
    process.start()
    child = psutil.Process(int(os.read(read, 20)))
    process.kill()
    child.wait(timeout=10)


def test_what_a_process_refuses_is_said_by_the_job(tmp_path: Path) -> None:
    make_store(tmp_path)
    with pytest.raises(UserError, match="accumulation"):
        run(make_task(tmp_path, "odd", 2, changes={"kimg": 0.1, "batch": 7}))
    with pytest.raises(UserError, match="batch of 16"):
        check_parts(16, 3, 1)
    check_parts(16, 2, 4)
