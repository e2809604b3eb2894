"""dp-gan: what a patient can add, how much noise is on it, and that nothing else of patients gets in."""

import json
import multiprocessing
import signal
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from opacus.accountants import PRVAccountant
from opacus.accountants.utils import get_noise_multiplier
from scipy.stats import binom, kstest, norm
from torch import Tensor

from synthcohort.core.config import Generator, StopRule, Study
from synthcohort.core.errors import UserError
from synthcohort.core.job import job_errors
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.gan import dp_gan, loop
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.distributed import Ranks
from synthcohort.gan.dp import (
    default_delta,
    noisy_histogram,
    one_image_each,
    plan_noise,
    poisson_batch,
    secret_stream,
    spent,
)
from synthcohort.gan.dp_gan import pair_gradients
from synthcohort.gan.dp_training import PrivateTraining
from synthcohort.gan.features import GuideFeatures
from synthcohort.gan.sampler import draw_combinations, load_generator, wanted_labels
from synthcohort.gan.settings import DPSettings
from synthcohort.gan.trainer import Material, train_generator

CPU = torch.device("cpu")
SECRET = bytes(range(32))
SETTINGS = DPSettings(8, (8, 6), 16, 1e-3, 0.0, kimg=0.32, tick_kimg=0.08, latent=8, discriminator_steps=2)
RULE = StopRule(samples=100, every=2, patience=1, minimum=0)
PATIENTS, IMAGES_EACH = 60, 2


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """60 patients with two images each, of two findings: a bright square on the left, or on the right."""
    folder = tmp_path_factory.mktemp("store")
    random = np.random.default_rng(0)
    count = PATIENTS * IMAGES_EACH
    labels = np.eye(2, dtype=np.float32)[(np.arange(count) % 5 == 0).astype(int)]
    images = random.integers(0, 40, (count, 1, 8, 8)).astype(np.uint8)
    images[labels[:, 0] == 1, :, 2:6, :3] = 200
    images[labels[:, 1] == 1, :, 2:6, 5:] = 200
    records = pd.DataFrame(labels, columns=["a", "b"])
    records.insert(0, "image_id", [f"i{number}" for number in range(count)])
    records.insert(1, "patient_id", [f"p{number // IMAGES_EACH}" for number in range(count)])
    findings = [Finding(name=name, display=name) for name in "ab"]
    info = StoreInfo(
        cohort="toy", findings=findings, units="HU", windows=[(0, 80)], resolution=8, channels=1, images=0,
        simulated=True,
    )  # fmt: skip
    write_store(folder, [images], records, info)
    return ImageStore(folder)


def train(store: ImageStore, folder: Path, secret: bytes = SECRET, rows: int = 100, **changes: Any) -> None:
    material = Material(store, np.arange(rows), np.arange(rows, len(store)), secret=secret)
    train_generator(material, dp_gan.FAMILY, replace(SETTINGS, **changes), RULE, 1, folder, CPU)


def make_training(
    store: ImageStore, seed: int = 1, secret: bytes = SECRET, kinds: tuple[str, ...] = (), **changes: Any
) -> PrivateTraining:
    data = TrainingImages(store, np.arange(100), CPU)
    settings = replace(SETTINGS, **changes)
    return PrivateTraining(dp_gan.FAMILY, settings, data, 1, 2, seed, augmentations=kinds, secret=secret)


def outputs(folder: Path) -> dict[str, bytes]:
    names = ("generator.safetensors", "generator.json", "discriminator.safetensors", "history.csv", "samples.npz")
    return {name: (folder / name).read_bytes() for name in names}


# --- the accountant


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(1.0, 0.01, 2000), (10.0, 0.05, 500), (3.0, 1.0, 20)])
def test_noise_keeps_a_training_within_epsilon_and_wastes_little(epsilon: float, rate: float, steps: int) -> None:
    plan = plan_noise(epsilon, 1e-5, rate, steps)
    assert 0.99 * epsilon <= plan.epsilon <= epsilon
    assert plan.epsilon == spent(plan.noise_multiplier, plan.histogram_noise, rate, steps, 1e-5)
    # Another accountant, which convolves densities (Gopi et al. 2021), finds less.
    other = PRVAccountant()
    other.history = [(plan.noise_multiplier, rate, steps), (plan.histogram_noise, 1.0, 1)]
    assert 0.7 * epsilon < other.get_epsilon(1e-5) <= epsilon * 1.001


def test_the_histogram_costs_a_little_and_is_counted() -> None:
    plan = plan_noise(3.0, 1e-5, 0.02, 1000)
    alone = get_noise_multiplier(target_epsilon=3.0, target_delta=1e-5, sample_rate=0.02, steps=1000)
    assert alone < plan.noise_multiplier < 1.1 * alone
    assert spent(plan.noise_multiplier, 1e6, 0.02, 1000, 1e-5) < plan.epsilon
    assert spent(plan.noise_multiplier, 1.0, 0.02, 1000, 1e-5) > 1.8 * plan.epsilon


def test_the_accountant_agrees_with_the_gaussian_mechanism() -> None:
    """One step on all patients: the exact trade-off of Balle & Wang 2018, theorem 8."""
    noise, delta = 2.0, 1e-5

    def exact_delta(epsilon: float) -> float:
        shift = 1 / (2 * noise)
        return norm.cdf(shift - epsilon * noise) - np.exp(epsilon) * norm.cdf(-shift - epsilon * noise)

    found = spent(noise, 1e9, 1.0, 1, delta)
    assert exact_delta(found) <= delta, "the accountant may only be too careful"
    assert exact_delta(0.85 * found) > delta, "and not by much"


def test_a_control_has_no_noise_and_too_small_an_epsilon_is_refused() -> None:
    plan = plan_noise(None, 1e-5, 0.1, 10)
    assert (plan.epsilon, plan.noise_multiplier, plan.histogram_noise) == (None, 0, 0)
    with pytest.raises(UserError, match="raise it"):
        plan_noise(1e-5, 1e-12, 1.0, 10_000)


@pytest.mark.parametrize(("patients", "delta"), [(1, 0.1), (999, 1e-3), (1000, 1e-4), (4000, 1e-4), (20_000, 1e-5)])
def test_delta_is_less_than_one_in_so_many_patients(patients: int, delta: float) -> None:
    assert default_delta(patients) == pytest.approx(delta)
    assert default_delta(patients) < 1 / patients


# --- what a patient can add


def clipped_sum(training: PrivateTraining, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """The sum of gradients before noise, as the optimiser clips it."""
    optimizer, discriminator = training.optimizers[1], training.players.discriminator
    optimizer.zero_grad()
    gradients, _ = pair_gradients(discriminator, real, fake, labels)
    for name, weight in discriminator.named_parameters():
        weight.grad_sample = gradients[name]
    optimizer.clip_and_accumulate()
    return torch.cat([weight.summed_grad.flatten() for weight in discriminator.parameters()])


@pytest.mark.parametrize("clip", [0.5, 1e9])
def test_a_patient_more_moves_the_sum_by_the_clip_norm_at_most(store: ImageStore, clip: float) -> None:
    training = make_training(store, clip=clip)
    stream = torch.Generator().manual_seed(0)
    real = 20 * torch.randn(9, 1, 8, 8, generator=stream)
    fake = torch.randn(9, 1, 8, 8, generator=stream)
    labels = torch.eye(2)[torch.arange(9) % 2]
    everybody = clipped_sum(training, real, fake, labels)
    for left_out in range(9):
        others = [number for number in range(9) if number != left_out]
        change = (everybody - clipped_sum(training, real[others], fake[others], labels[others])).norm()
        if clip == 0.5:
            assert change == pytest.approx(0.5, rel=1e-3)
        else:  # the positive control: without clipping a patient does more
            assert change > 0.5


def test_what_a_patient_is_paired_with_follows_from_the_secret_alone(store: ImageStore) -> None:
    """Known by place in the batch, it would tell who is missing; the generator's own part is the seed's."""
    shown = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def draw(seed: int, secret: bytes) -> dict[str, Tensor]:
        kinds = ("translation", "cutout")
        training = make_training(store, seed, secret, kinds, augmentation=0.5, batch=50)  # all 50 patients
        batch = training.batch()
        first, second = batch.augment(shown), batch.augment(shown)
        return {"latents": batch.latents, "real": first, "fake": second, "own": batch.own_latents}

    one, other_seed, other_secret = draw(1, SECRET), draw(2, SECRET), draw(1, SECRET[::-1])
    for name in ("latents", "real", "fake"):
        assert torch.equal(one[name], other_seed[name])
        assert not torch.equal(one[name], other_secret[name])
    assert not torch.equal(one["own"], other_seed["own"])
    assert torch.equal(one["own"], other_secret["own"])
    assert not torch.equal(one["latents"], one["own"])


def test_a_patients_gradient_is_that_of_the_pair_alone(store: ImageStore) -> None:
    discriminator = make_training(store).players.discriminator
    stream = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 5, 1, 8, 8, generator=stream)
    labels = torch.eye(2)[torch.tensor([0, 1, 1, 0, 1])]
    gradients, scores = pair_gradients(discriminator, real, fake, labels)
    for number in range(5):
        one = slice(number, number + 1)
        own = discriminator.score(real[one], labels[one]), discriminator.score(fake[one], labels[one])
        torch.testing.assert_close(scores[number], torch.cat(own))
        loss = torch.log1p(torch.exp(-own[0])) + torch.log1p(torch.exp(own[1]))
        wanted = torch.autograd.grad(loss.sum(), list(discriminator.parameters()))
        for found, gradient in zip(gradients.values(), wanted, strict=True):
            torch.testing.assert_close(found[number], gradient, rtol=1e-4, atol=1e-6)


def test_scores_do_not_depend_on_the_batch(store: ImageStore) -> None:
    discriminator = make_training(store, widths=(16, 8)).players.discriminator
    images = torch.randn(6, 1, 8, 8)
    labels = torch.eye(2)[torch.arange(6) % 2]
    together = discriminator.score(images, labels)
    apart = torch.cat([discriminator.score(images[[number]], labels[[number]]) for number in range(6)])
    torch.testing.assert_close(together, apart)
    brighter = torch.cat([images[:1], images[1:] * 100])
    torch.testing.assert_close(discriminator.score(brighter, labels)[0], together[0])
    assert not [name for name, _ in discriminator.named_buffers()]


def test_noise_of_a_step_has_its_deviation_and_is_never_repeated(store: ImageStore) -> None:
    """With no patient in the batch, what a step adds to the gradient is noise alone."""
    training = make_training(store, widths=(16, 16), batch=10, clip=0.25)
    optimizer, weights = training.optimizers[1], list(training.players.discriminator.parameters())
    training.guarantee = replace(training.guarantee, sample_rate=0.0)
    drawn = []
    for _ in range(30):
        training.advance()
        drawn.append(torch.cat([weight.grad.flatten() for weight in weights]))
    noise = torch.stack(drawn) * 10 / (0.25 * training.guarantee.noise_multiplier)
    assert kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3
    correlations = np.corrcoef(noise.numpy()) - np.eye(30)
    assert np.abs(correlations).max() < 0.3
    assert optimizer.noise_multiplier == training.guarantee.noise_multiplier
    assert "loss_discriminator" not in training.sums, "an empty batch has no loss"
    assert "loss_generator" in training.sums


# --- who is in a batch, and the histogram


def test_poisson_batches_have_binomial_sizes_and_take_each_patient_alone() -> None:
    batches = [poisson_batch(50, 0.2, secret_stream(SECRET, "patients", step)) for step in range(4000)]
    sizes = np.array([len(batch) for batch in batches])
    observed = np.bincount(sizes, minlength=51) / len(sizes)
    assert np.abs(observed - binom.pmf(np.arange(51), 50, 0.2)).max() < 0.03
    assert sizes.var() == pytest.approx(50 * 0.2 * 0.8, rel=0.1)
    taken = np.array([np.isin(np.arange(50), batch) for batch in batches])
    assert np.abs(taken.mean(0) - 0.2).max() < 0.03
    assert np.abs(np.corrcoef(taken.T) - np.eye(50)).max() < 0.1


def test_every_patient_has_one_image(store: ImageStore) -> None:
    training = make_training(store)
    patients = store.records["patient_id"].to_numpy()[training.data.rows]
    assert len(patients) == len(set(patients)) == 50
    chosen = [one_image_each(np.array(["x", "y", "x", "x"]), secret_stream(SECRET, "images", n)) for n in range(3000)]
    assert {len(positions) for positions in chosen} == {2}
    shares = np.bincount(np.concatenate(chosen), minlength=4) / 3000
    assert shares == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3], abs=0.04)


def test_the_histogram_has_the_noise_that_is_accounted_for() -> None:
    labels = np.repeat(np.eye(2, dtype=np.float32), [400, 600], 0)
    combinations = np.array([[1, 0], [0, 1]], np.float32)
    drawn = [noisy_histogram(labels, combinations, 12.0, secret_stream(SECRET, "histogram", n)) for n in range(2000)]
    centred = (np.array(drawn) - [400, 600]) / 12
    assert kstest(centred.ravel(), "norm").pvalue > 1e-3
    assert np.corrcoef(centred.T)[0, 1] == pytest.approx(0, abs=0.1)
    # A patient more changes one count by one.
    exact = noisy_histogram(labels, combinations, 0.0, secret_stream(SECRET, "histogram"))
    more = noisy_histogram(np.vstack([labels, [[1, 0]]]), combinations, 0.0, secret_stream(SECRET, "histogram"))
    assert (more - exact).tolist() == [1, 0]
    nobody = noisy_histogram(labels[:0], combinations, 0.0, secret_stream(SECRET, "histogram"))
    assert nobody.tolist() == [1, 1]


def test_the_generators_labels_come_from_the_histogram(store: ImageStore) -> None:
    training = make_training(store)
    training.histogram = np.array([0.0, 7.0])  # whatever patients have
    only = training.combinations[1]
    assert (training.batch().own_labels.numpy() == only).all()
    assert (training.shown_labels == only).all()
    histogram = {"combinations": training.combinations.tolist(), "patients": [0.0, 7.0]}
    labels = {"train": np.zeros((40, 2), np.float32), "valid": np.zeros((5, 2), np.float32)}
    wanted = wanted_labels(labels, "train", 1, amount=2, histogram=histogram)
    assert wanted.shape == (80, 2)
    assert (wanted == only).all()
    many = draw_combinations(training.combinations, np.array([1.0, 3.0]), np.random.default_rng(0), 4000)
    assert (many == only).all(1).mean() == pytest.approx(0.75, abs=0.03)


def test_secret_streams_differ_by_secret_purpose_and_number() -> None:
    drawn = [
        secret_stream(*key).integers(2**63)
        for key in ((SECRET, "a", 0), (SECRET, "a", 1), (SECRET, "b", 0), (SECRET[::-1], "a", 0))
    ]
    assert len(set(drawn)) == 4
    assert secret_stream(SECRET, "a", 1).integers(2**63) == drawn[1]


# --- a whole training


def test_generator_json_says_what_is_guaranteed(store: ImageStore, tmp_path: Path) -> None:
    train(store, tmp_path, epsilon=5.0)
    card = json.loads((tmp_path / "generator.json").read_text())
    told = card["privacy"]
    assert 4.9 < told["epsilon"] <= 5
    assert (told["delta"], told["steps"], told["patients"], told["clip"]) == (0.01, 20, 50, 1.0)
    assert told["sample_rate"] == pytest.approx(16 / 50)
    assert told["unit"].startswith("patient")
    account = spent(told["noise_multiplier"], told["histogram_noise"], told["sample_rate"], told["steps"], 0.01)
    assert account == told["epsilon"]
    assert card["label_histogram"]["combinations"] == [[0, 1], [1, 0]]
    assert (card["guided"], card["stopped_early"], card["stop_metric"]) == (False, False, "")
    assert card["kimg"] == card["trained_kimg"] == 0.32
    assert load_generator(tmp_path, CPU)(torch.zeros(3, 8), torch.eye(2)[[0, 1, 0]]).shape == (3, 1, 8, 8)
    everything = b"".join(outputs(tmp_path).values())
    assert SECRET not in everything
    assert SECRET.hex().encode() not in everything


def test_no_distance_stops_it_or_chooses_its_state(store: ImageStore, tmp_path: Path) -> None:
    class Guide(torch.nn.Module):
        name = "tiny"

        def features(self, images: Tensor) -> list[Tensor]:
            return [images]

        def pooled(self, images: Tensor) -> Tensor:
            return images.flatten(1)

    guide = Guide()
    material = Material(store, np.arange(100), np.arange(100, 120), guide, GuideFeatures(guide), secret=SECRET)
    train_generator(material, dp_gan.FAMILY, SETTINGS, RULE, 1, tmp_path, CPU)
    history = pd.read_csv(tmp_path / "history.csv")
    assert len(history) == 4
    assert not {"kid", "frechet_distance"} & set(history)


def test_same_secret_same_bytes_other_secret_or_data_other_noise(store: ImageStore, tmp_path: Path) -> None:
    train(store, tmp_path / "one", epsilon=0.5)
    train(store, tmp_path / "two", epsilon=0.5)
    train(store, tmp_path / "three", secret=SECRET[::-1], epsilon=0.5)
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two")
    train(store, tmp_path / "four", rows=98, epsilon=0.5)  # were the noise the same, it would cancel out
    histograms = [
        json.loads((tmp_path / name / "generator.json").read_text())["label_histogram"]["patients"]
        for name in ("one", "three", "four")
    ]
    assert min(np.abs(np.subtract(*pair)).max() for pair in pairwise(histograms)) > 3
    one, three = (outputs(tmp_path / name)["generator.safetensors"] for name in ("one", "three"))
    assert one != three


def test_killed_training_resumes_and_ends_in_the_same_bytes(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(name: str) -> None:
        with job_errors():
            train(store, tmp_path / name, kimg=1.6)

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    for name, end in (("killed", signal.SIGKILL), ("asked", signal.SIGTERM)):
        process = multiprocessing.get_context("fork").Process(target=start, args=(name,))
        process.start()
        checkpoint = tmp_path / name / "run" / "checkpoint.pt"
        deadline = time.monotonic() + 60
        while not checkpoint.exists():
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        (process.kill if end == signal.SIGKILL else process.terminate)()
        process.join()
        assert process.exitcode == (-end if end == signal.SIGKILL else 128 + end), "make the training longer"
        step = torch.load(checkpoint, weights_only=True)["state"]["training"]["step"]
        assert 0 < step < 100
        start(name)
    start("whole")
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "asked") == outputs(tmp_path / "whole")
    train(store, tmp_path / "whole", secret=SECRET[::-1], kimg=1.6)
    assert (tmp_path / "whole" / "run-stale-1").is_dir(), "another secret must not continue a training"


def test_it_learns_where_the_findings_are(store: ImageStore, tmp_path: Path) -> None:
    changes = {"widths": (32, 16), "batch": 50, "kimg": 12, "learning_rate": 4e-3, "ema_kimg": 2.0}
    train(store, tmp_path, epsilon=None, **changes)
    generator = load_generator(tmp_path, CPU)
    images = [generator(torch.randn(50, 8), row.expand(50, 2))[:, 0, 2:6] for row in torch.eye(2)]
    left, right = ([part[..., columns].mean() for part in images] for columns in (slice(0, 3), slice(5, 8)))
    assert left[0] > left[1]
    assert right[1] > right[0]


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "r3-gan", "epsilon": 3}, "epsilon is a key of dp-gan only"),
        ({"family": "cpd-gan", "delta": 1e-5}, "delta is a key of dp-gan only"),
        ({"family": "prog-gan", "clip": 1}, "clip is a key of dp-gan only"),
        ({"family": "dp-gan", "augmentation": "adaptive"}, "adaptive looks at patients"),
        ({"family": "dp-gan", "candidates": 2}, "guide has seen patients"),
        ({"family": "dp-gan", "accumulation": 2}, "one part"),
        ({"family": "dp-gan", "epsilon": 0}, "epsilon"),
        ({"family": "dp-gan", "epsilon": float("inf")}, "epsilon"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Generator.model_validate(settings)


def study(**changes: Any) -> Study:
    cohort = {"name": "head-phantom", "phantom": {"anatomy": "head", "patients": 50, "side": 32}}
    axis = {"axis": "resolution", "levels": [8], "families": ["dp-gan", "r3-gan"]}
    return load_study({"cohorts": [cohort], "axes": [axis], **changes})


def test_the_study_refuses_what_would_leak() -> None:
    with pytest.raises(UserError, match="processes: dp-gan trains in one process"):
        study(processes=2)
    with pytest.raises(UserError, match="copy_labels copies labels of patients"):
        study(protocol={"copy_labels": True})


def test_the_plan_hands_over_budget_and_key_to_private_families_only() -> None:
    plan = Plan(study(generators=[{"family": "dp-gan", "epsilon": 3, "delta": 1e-6}]))
    assert plan.private == ["dp-gan"]
    training = plan.training("head-phantom", "resolution-008", "dp-gan")
    assert training["changes"]["augmentation"] == 0
    assert (training["changes"]["epsilon"], training["changes"]["delta"]) == (3, 1e-6)
    assert training["private"].startswith("private/head-phantom")
    assert "private" not in plan.training("head-phantom", "resolution-008", "r3-gan")


def test_training_refuses_what_looks_at_patients(store: ImageStore) -> None:
    data = TrainingImages(store, np.arange(100), CPU)
    for changes, ranks in (({"accumulation": 2}, Ranks()), ({}, Ranks(0, 2)), ({"augmentation": None}, Ranks())):
        with pytest.raises(UserError, match="dp-gan"):
            PrivateTraining(dp_gan.FAMILY, replace(SETTINGS, **changes), data, 1, 2, 1, ranks=ranks, secret=SECRET)
    with pytest.raises(ValueError, match="secret"):
        PrivateTraining(dp_gan.FAMILY, SETTINGS, data, 1, 2, 1)
