"""prog-gan's growth: continuous at every change of level, cut into jobs that levels share, joined to one generator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gan_toys import make_batch, make_images
from synthcohort.cohort.experiments import CohortImages
from synthcohort.core.atomic import read_json, write_arrays, write_csv, write_json
from synthcohort.core.config import StopRule, Study
from synthcohort.core.errors import UserError
from synthcohort.core.files import Files
from synthcohort.core.plan import Plan
from synthcohort.gan import loop, prog_gan
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.growth import NETWORKS, join_stages
from synthcohort.gan.settings import WassersteinSettings
from synthcohort.gan.task import Task, run, stop_rule_of
from synthcohort.gan.trainer import Material, train_generator
from synthcohort.gan.training import Training

WIDTHS = (8, 8, 7, 6, 5)


def settings_at(side: int) -> WassersteinSettings:
    return WassersteinSettings(
        side, WIDTHS[: side.bit_length() - 2], 4, 1e-3, 10.0, kimg=0.04, tick_kimg=0.02, latent=8
    )


@pytest.fixture(scope="module", params=[1, 3])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainingImages:
    images = np.random.default_rng(0).integers(0, 256, (8, request.param, 64, 64), np.uint8)
    return make_images(tmp_path_factory.mktemp("store"), images, findings=3)


def training_at(side: int, data: TrainingImages, seed: int) -> Training:
    sized = TrainingImages(data.store, data.rows, data.device, side)
    return Training(prog_gan.FAMILY, settings_at(side), sized, data.store.info.channels, 3, seed)


def stir(training: Training) -> None:
    """Move every weight, biases too, so that no layer is without effect."""
    with torch.no_grad():
        for network in (training.players.generator, training.players.discriminator):
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))


def doubled(images: Tensor) -> Tensor:
    return images.repeat_interleave(2, 2).repeat_interleave(2, 3)


@torch.no_grad()
def test_every_change_of_level_is_continuous(data: TrainingImages) -> None:
    """8² → 16² → 32² → 64²: a new stage first makes and judges images as the one before did."""
    torch.manual_seed(0)
    before = training_at(8, data, seed=1)
    latents, labels = torch.randn(5, 8), torch.eye(3)[[0, 1, 2, 0, 1]]
    for side in (16, 32, 64):
        stir(before)
        old = before.players
        after = training_at(side, data, seed=side)
        after.inherit(old.generator.state_dict(), old.discriminator.state_dict())
        new = after.players
        for network in (new.generator, new.discriminator, after.average):
            network.fade.fill_(0.0)
        expected = doubled(old.generator(latents, labels))
        assert expected.std() > 0.01
        torch.testing.assert_close(new.generator(latents, labels), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(after.average(latents, labels), expected, rtol=1e-5, atol=1e-6)

        images = torch.rand(5, data.store.info.channels, side, side) * 2 - 1
        scores, logits = old.discriminator(avg_pool2d(images, 2))
        assert scores.std() > 1e-4
        torch.testing.assert_close(new.discriminator(images)[0], scores, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(new.discriminator(images)[1], logits, rtol=1e-4, atol=1e-6)
        for network in (new.generator, new.discriminator):
            network.fade.fill_(1.0)
        before = after


@torch.no_grad()
def test_a_grown_stage_has_forgotten_the_image_layers_before(data: TrainingImages) -> None:
    torch.manual_seed(0)
    players = training_at(32, data, seed=1).players
    generator, discriminator = players.generator, players.discriminator
    latents, labels = torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 0]]
    images = torch.rand(4, data.store.info.channels, 32, 32)

    def results(fade: float) -> tuple[Tensor, Tensor]:
        generator.fade.fill_(fade)
        discriminator.fade.fill_(fade)
        return generator(latents, labels), discriminator(images)[0]

    grown, fading = results(1.0), results(0.5)
    for network in (generator, discriminator):
        network.image["16"].weight.add_(5.0)
    torch.testing.assert_close(results(1.0), grown, rtol=0, atol=0)
    assert not torch.allclose(results(0.5)[0], fading[0])
    assert not torch.allclose(results(0.5)[1], fading[1])


@torch.no_grad()
def test_half_faded_images_are_the_mean_of_both(data: TrainingImages) -> None:
    generator = training_at(16, data, seed=1).players.generator
    latents, labels = torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 0]]
    shown = {}
    for fade in (0.0, 0.25, 1.0):
        generator.fade.fill_(fade)
        shown[fade] = generator(latents, labels)
    torch.testing.assert_close(shown[0.25], 0.75 * shown[0.0] + 0.25 * shown[1.0])


def test_inheriting_drops_the_image_layers_that_no_image_needs(data: TrainingImages) -> None:
    old, new = training_at(32, data, seed=1), training_at(64, data, seed=2)
    start = new.players.generator.image["64"].weight.clone()
    assert set(old.players.generator.image) == set(old.players.discriminator.image) == {"16", "32"}
    new.inherit(old.players.generator.state_dict(), old.players.discriminator.state_dict())
    for network, before in (
        (new.players.generator, old.players.generator),
        (new.average, old.players.generator),
        (new.players.discriminator, old.players.discriminator),
    ):
        assert set(network.image) == {"32", "64"}
        weights = network.state_dict()
        taken = {name for name, value in before.state_dict().items() if name in weights}
        assert taken == {name for name in before.state_dict() if not name.startswith("image.16")}
        assert all(torch.equal(weights[name], before.state_dict()[name]) for name in taken)
    assert torch.equal(new.players.generator.image["64"].weight, start)


def test_a_stage_of_other_widths_is_refused(data: TrainingImages) -> None:
    other = replace(settings_at(8), widths=(8, 9))
    sized = TrainingImages(data.store, data.rows, data.device, 8)
    old = Training(prog_gan.FAMILY, other, sized, data.store.info.channels, 3, 1).players
    with pytest.raises(UserError, match="other widths"):
        training_at(16, data, seed=1).inherit(old.generator.state_dict(), old.discriminator.state_dict())


@pytest.mark.parametrize(("progress", "fade"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.9, 1.0)])
def test_new_layers_fade_in_over_the_first_half_of_a_stage(data: TrainingImages, progress: float, fade: float) -> None:
    training = training_at(16, data, seed=1)
    batch = make_batch(data.store.info.channels, 16, progress=progress)
    report = prog_gan.backward(training.players, batch, settings_at(16))
    networks = (training.players.generator, training.players.discriminator)
    assert [network.fade.item() for network in networks] == [fade, fade]
    assert report["fade"].item() == fade


def test_the_first_stage_has_nothing_to_fade_in(data: TrainingImages) -> None:
    training = training_at(8, data, seed=1)
    report = prog_gan.backward(training.players, make_batch(data.store.info.channels, 8), settings_at(8))
    assert report["fade"].item() == 1
    assert training.players.generator.fade.item() == 1


def test_the_averaged_generator_fades_in_with_the_others(data: TrainingImages) -> None:
    training = training_at(16, data, seed=1)
    for _ in range(4):
        training.advance()
    assert training.steps == 10
    assert training.average.fade.item() == pytest.approx(0.3 / 0.5)


def test_real_images_are_blended_as_synthetic_ones_are() -> None:
    images = torch.tensor([[0.0, 4.0], [8.0, 0.0]]).view(1, 1, 2, 2)  # mean 3
    assert prog_gan.blend(images, 1.0) is images
    assert torch.equal(prog_gan.blend(images, 0.0), torch.full((1, 1, 2, 2), 3.0))
    assert prog_gan.blend(images, 0.25).flatten().tolist() == [2.25, 3.25, 4.25, 2.25]


def test_a_stage_cut_off_while_it_fades_in_ends_in_the_same_bytes(
    data: TrainingImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    before = training_at(8, data, 1).players
    weights = before.generator.state_dict(), before.discriminator.state_dict()
    material = Material(data.store, np.arange(6), np.arange(6, 8), before=weights)
    settings = replace(settings_at(16), kimg=0.08)  # 20 steps

    def train(name: str) -> None:
        train_generator(material, prog_gan.FAMILY, settings, StopRule(patience=0), 1, tmp_path / name, data.device)

    def cut_off(training: Training) -> None:
        if training.step == 6:
            raise ConnectionAbortedError
        advance(training)

    advance = Training.advance
    train("whole")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    with monkeypatch.context() as cutting:
        cutting.setattr(Training, "advance", cut_off)
        with pytest.raises(ConnectionAbortedError):
            train("cut")
    checkpoint = torch.load(tmp_path / "cut" / "run" / "checkpoint.pt", weights_only=True)
    assert checkpoint["state"]["training"]["step"] == 6
    assert not (tmp_path / "cut" / "generator.safetensors").exists()
    train("cut")
    fades = pd.read_csv(tmp_path / "cut" / "history.csv")["fade"]
    assert fades.iloc[0] < fades.iloc[1] < fades.iloc[-1] == 1
    for name in ("generator", "discriminator", "unaveraged"):
        weights_of = [(tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "cut")]
        assert weights_of[0] == weights_of[1]


def make_plan(from_scratch: bool = False) -> Plan:
    return Plan(
        Study.model_validate(
            {
                "cohorts": [{"name": "c", "phantom": {"anatomy": "head"}, "minimum_combination": 2}],
                "axes": [
                    {"axis": "resolution", "levels": [16, 32, 64], "families": ["prog-gan", "r3-gan"]},
                    {"axis": "classes", "levels": [2, 3], "train_images": 12, "families": ["prog-gan"]},
                    {"axis": "samples", "levels": [2, 4], "combinations": 2, "families": ["prog-gan"]},
                ],
                "generators": [{"family": "prog-gan", "from_scratch": from_scratch, "kimg": {32: 7.0}}],
            }
        )
    )


def test_levels_of_a_resolution_axis_share_the_stages_of_one_growth() -> None:
    plan = make_plan()
    growth = [("resolution-016", 8), ("resolution-016", 16), ("resolution-032", 32), ("resolution-064", 64)]
    assert plan.stages("c", "resolution-016", "prog-gan") == growth[:2]
    assert plan.stages("c", "resolution-032", "prog-gan") == growth[:3]
    assert plan.stages("c", "resolution-064", "prog-gan") == growth
    assert plan.growing == ["prog-gan"]


def test_from_scratch_every_level_grows_on_its_own() -> None:
    plan = make_plan(from_scratch=True)
    for level in (16, 32, 64):
        name = f"resolution-{level:03d}"
        assert plan.stages("c", name, "prog-gan") == [(name, side) for side in (8, 16, 32, 64) if side <= level]


@pytest.mark.parametrize("name", ["classes-002", "classes-003", "samples-00002", "samples-00004"])
def test_levels_with_rows_of_their_own_grow_on_their_own(name: str) -> None:
    assert make_plan().stages("c", name, "prog-gan") == [(name, 8), (name, 16)]


def test_a_level_between_two_stages_is_trained_for_the_next_level_above() -> None:
    study = make_plan().study
    axis = study.axes[0].model_copy(update={"levels": [64, 16]})
    plan = Plan(study.model_copy(update={"axes": [axis]}))
    homes = [("resolution-016", 8), ("resolution-016", 16), ("resolution-064", 32), ("resolution-064", 64)]
    assert plan.stages("c", "resolution-064", "prog-gan") == homes
    assert plan.training("c", "resolution-064", "prog-gan", 32)["on_the_way"] == 64


def test_a_stage_is_trained_at_full_length_where_a_level_needs_it() -> None:
    plan = make_plan()
    last = plan.training("c", "resolution-016", "prog-gan", 16)
    assert (last["resolution"], last["on_the_way"]) == (16, 0)
    way = plan.training("c", "resolution-016", "prog-gan", 8)
    assert (way["resolution"], way["on_the_way"]) == (8, 16)
    assert plan.training("c", "resolution-032", "prog-gan", 32)["changes"]["kimg"] == 7
    assert "kimg" not in last["changes"]
    assert plan.training("c", "resolution-032", "r3-gan")["on_the_way"] == 0


def make_task(data: TrainingImages, folder: Path, **changes: object) -> Task:
    selection = folder / "selection.parquet"
    pd.DataFrame({"row": range(8), "side": ["train"] * 4 + ["valid"] * 4}).to_parquet(selection)
    task = Task(
        family="prog-gan", scale="tiny", resolution=8, on_the_way=16, changes={"kimg": 0.1, "widths": (4, 4)},
        store=str(data.store.folder), selection=str(selection), folder=str(folder), guide="", before="", seed=1,
        stop_rule=StopRule(features=str(folder / "none.pth"), samples=100, every=1, minimum=0, patience=1),
        augmentations=[], device="cpu", threads=1, processes=1, version=1, log="",
    )  # fmt: skip
    return replace(task, **changes)  # type: ignore[arg-type]


def test_the_stop_rule_does_not_cut_stages_on_the_way(data: TrainingImages, tmp_path: Path) -> None:
    """It measures nothing there: the weights of its features, which are missing, are not asked for."""
    run(make_task(data, tmp_path))
    card = read_json(tmp_path / "generator.json")
    assert (card["stopped_early"], card["stop_features"]) == (False, "")
    assert card["trained_kimg"] == pytest.approx(0.1, abs=0.02)
    with pytest.raises(UserError, match="no such file"):
        run(make_task(data, tmp_path, on_the_way=0))


def test_published_minima_go_before_the_configs(data: TrainingImages, tmp_path: Path) -> None:
    minima = {
        (family, scale): stop_rule_of(make_task(data, tmp_path, family=family, scale=scale, resolution=64)).minimum
        for family in ("prog-gan", "cpd-gan", "r3-gan")
        for scale in ("tiny", "paper")
    }
    assert minima.pop(("cpd-gan", "paper")) == 0.5
    assert minima.pop(("prog-gan", "paper")) == pytest.approx(2 / 9)
    assert set(minima.values()) == {0}


def test_files_of_stages_and_of_the_stage_before() -> None:
    plan = make_plan()
    run, files = "{cohort}/{experiment}/{source}/{replicate}", ["a", "b"]
    where = ("c", "resolution-032", "prog-gan", "r0")
    low, high = "c/resolution-016/prog-gan/r0", "c/resolution-032/prog-gan/r0"
    every = [f"{low}/stage-008", f"{low}/stage-016", f"{high}/stage-032"]
    assert Files(plan).stage_files(run, files, *where) == [f"{stage}/{file}" for stage in every for file in files]
    assert Files(plan).files_before(run, files, *where, "032") == [f"{low}/stage-016/a", f"{low}/stage-016/b"]
    home = ("c", "resolution-016", "prog-gan", "r0")
    assert Files(plan).files_before(run, files, *home, "016") == [f"{low}/stage-008/a", f"{low}/stage-008/b"]
    assert Files(plan).files_before(run, files, *home, "008") == []


def test_levels_that_share_stages_have_the_same_rows() -> None:
    plan = make_plan()
    random = np.random.default_rng(0)
    records = pd.DataFrame({"image_id": [f"i{n}" for n in range(90)], "patient_id": [f"p{n // 3}" for n in range(90)]})
    records["a"] = random.integers(0, 2, 90).astype(float)
    records["b"] = random.integers(0, 2, 90).astype(float)
    records.loc[5, "a"] = np.nan
    sides = ["train"] * 20 + ["valid"] * 5 + ["test"] * 5
    split = pd.DataFrame({"patient_id": [f"p{n}" for n in range(30)], "side": sides})
    images = CohortImages(plan.cohort("c"), records, ["a", "b"], split, study_seed=1)
    chosen = {item.name: images.select(item) for item in plan.of_cohort("c")}
    first = chosen["resolution-016"]
    assert len(first) == 89
    for name in ("resolution-032", "resolution-064"):
        pd.testing.assert_frame_equal(chosen[name], first)
    for name in ("classes-002", "samples-00002", "samples-00004"):  # which the other axes have not
        assert len(chosen[name]) < len(first)


def make_stage(folder: Path, side: int, kimg: float, trained: float, fill: int) -> Path:
    folder.mkdir()
    for name in NETWORKS:
        (folder / name).write_bytes(f"{name} {side}".encode())
    write_json(folder / "generator.json", {"kimg": kimg, "trained_kimg": trained, "resolution": side, "seed": 5})
    table = pd.DataFrame({"tick": [1, 2], "kimg": [trained / 2, trained]})
    write_csv(folder / "history.csv", table.assign(loss=[side, side + 1.0], **({"kid": [0.5, 0.25]} if fill else {})))
    write_csv(folder / "timing.csv", table.assign(seconds=[10.0, 20.0]))
    grids = np.full((2, 3, 1, 1, side, side), fill, np.uint8)
    grids[..., 0, 0] = 9
    walk = np.full((4, 1, side, side), fill, np.uint8)
    arrays = {"grids": grids, "kimg": np.array([trained / 2, trained]), "noise_walk": walk}
    write_arrays(folder / "samples.npz", arrays)
    return folder


def test_joined_stages_are_the_last_networks_with_the_history_and_cost_of_all(tmp_path: Path) -> None:
    stages = [
        make_stage(tmp_path / "one", 8, 2.0, 2.0, 0),
        make_stage(tmp_path / "two", 16, 3.0, 4.0, 1),
        make_stage(tmp_path / "three", 32, 5.0, 8.0, 2),  # its best state was reached at 5 of 8
    ]
    joined = tmp_path / "joined"
    joined.mkdir()
    join_stages(stages, joined)
    for name in NETWORKS:
        assert (joined / name).read_bytes() == f"{name} 32".encode()
    card = read_json(joined / "generator.json")
    expected = {"kimg": 6 + 5, "trained_kimg": 14, "resolution": 32, "seed": 5, "stages": [8, 16, 32]}
    assert card == expected
    history = pd.read_csv(joined / "history.csv")
    assert history["kimg"].tolist() == [1, 2, 4, 6, 10, 14]
    assert history["tick"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["stage"].tolist() == [8, 8, 16, 16, 32, 32]
    assert history["loss"].tolist() == [8, 9, 16, 17, 32, 33]
    assert history["kid"].isna().tolist() == [True, True, False, False, False, False]
    timing = pd.read_csv(joined / "timing.csv")
    assert timing["seconds"].sum() == 90
    assert timing["kimg"].tolist() == [1, 2, 4, 6, 10, 14]
    samples = np.load(joined / "samples.npz")
    assert samples["kimg"].tolist() == [1, 2, 4, 6, 10, 14]
    assert samples["grids"].shape == (6, 3, 1, 1, 32, 32)
    assert [grid[0, 0, 0, -1, -1] for grid in samples["grids"]] == [0, 0, 1, 1, 2, 2]
    assert [int((grid[0, 0, 0] == 9).sum()) for grid in samples["grids"]] == [16, 16, 4, 4, 1, 1]  # pixels enlarged
    assert samples["noise_walk"].shape == (4, 1, 32, 32)
