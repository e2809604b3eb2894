"""How fast generators train: our trainer beside a plain one with the same networks, and beside what the machine can do.

The plain trainer computes in float32, in the default layout, takes every penalty at every step, and draws new synthetic
images for each player. Both take turns, each time in a process of its own, and the median of the turns counts. Prints
a table, and writes it as CSV with --output. About 15 minutes.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from synthcohort.core.families import FAMILIES
from synthcohort.forecast.flops import FlopCounter
from synthcohort.gan.objective import (
    discriminator_loss,
    generator_loss,
    gradient_penalties,
    interpolation_penalty,
    label_loss,
    wasserstein_loss,
)
from synthcohort.gan.registry import load_family
from synthcohort.gan.training import Training, bfloat16_helps

FINDINGS, IMAGES, SECONDS = 6, 512, 4.0
TURNS = {"tiny": 3, "small": 1}
LARGEST_BATCH = {128: 8}  # elsewhere the preset's; here one plain step would take minutes
PRESETS = [("tiny", 16), ("tiny", 32), ("tiny", 64), ("small", 32), ("small", 128)]
BATCHES = (8, 16, 32, 64, 128)


class Random:
    """Random images in place of a store's rows."""

    def __init__(self, side: int) -> None:
        random = np.random.default_rng(0)
        self.device = torch.device("cpu")
        self.images = torch.from_numpy(random.uniform(-1, 1, (IMAGES, 1, side, side)).astype(np.float32))
        self.labels = torch.from_numpy(random.integers(0, 2, (IMAGES, FINDINGS)).astype(np.float32))

    def __len__(self) -> int:
        return IMAGES

    def spread(self, count: int) -> np.ndarray:
        """First positions."""
        return np.arange(min(count, IMAGES))

    def take(self, positions: np.ndarray) -> Tensor:
        """Images at positions."""
        return self.images[torch.from_numpy(positions)]

    def batch(self, seed: int, step: int, size: int, flip: bool, part: slice) -> tuple[Tensor, Tensor]:
        """Images and labels of a step."""
        chosen = torch.arange(step * size, (step + 1) * size) % IMAGES
        return self.images[chosen][part], self.labels[chosen][part]


def make_training(family: str, scale: str, side: int, **changes: Any) -> Training:
    """Make a training without a guide, so that only the family's own networks are measured."""
    chosen = load_family(family)
    settings = replace(chosen.presets[scale, side], **changes)
    return Training(chosen, settings, Random(side), 1, FINDINGS, 0)  # type: ignore[arg-type]


def plain_step(training: Training) -> None:
    """Train both players as published, without any of our savings."""
    players, settings = training.players, training.settings
    for network, player in zip((players.discriminator, players.generator), (plain_critic, plain_artist), strict=True):
        optimizer = training.optimizers[0 if network is players.generator else 1]
        batch = training.batch()
        optimizer.zero_grad()
        player(training.family.name, players, batch, settings).backward()
        optimizer.step()
        training.step += 1


def scored(name: str, discriminator: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores, and the auxiliary label loss where the family has one."""
    if name == "prog-gan":
        scores, logits = discriminator(images)
        return scores, label_loss(logits, labels)
    return discriminator.score(images, labels), images.new_zeros(())  # type: ignore[operator]


def plain_critic(name: str, players: Any, batch: Any, settings: Any) -> Tensor:
    """Loss of the discriminator with every penalty."""
    with torch.no_grad():
        fakes = players.generator(batch.latents, batch.labels)
    real_images, fake_images = batch.images.clone().requires_grad_(), fakes.requires_grad_()
    real, real_labels = scored(name, players.discriminator, real_images, batch.labels)
    fake, fake_labels = scored(name, players.discriminator, fake_images, batch.labels)
    if name == "r3-gan":
        r1 = gradient_penalties(real[None], [real_images])[0]
        r2 = gradient_penalties(fake[None], [fake_images])[0]
        return discriminator_loss(real, fake) + settings.penalty * (r1 + r2)
    penalty = interpolation_penalty(
        lambda images: scored(name, players.discriminator, images, batch.labels)[0],
        batch.images, fakes.detach(), batch.mix,
    )  # fmt: skip
    return wasserstein_loss(real, fake, settings.drift) + real_labels + fake_labels + settings.penalty * penalty


def plain_artist(name: str, players: Any, batch: Any, settings: Any) -> Tensor:
    """Loss of the generator on new synthetic images."""
    fakes = players.generator(batch.latents, batch.labels)
    fake, fake_labels = scored(name, players.discriminator, fakes, batch.labels)
    if name != "r3-gan":
        return fake_labels - fake.mean()
    real, _ = scored(name, players.discriminator, batch.images, batch.labels)
    return generator_loss(real, fake)


def plain_copy(training: Training) -> Training:
    """Put the networks into the default layout, with the plain optimiser."""
    networks = (training.players.generator, training.players.discriminator)
    for network in networks:
        network.to(memory_format=torch.contiguous_format)
    training.optimizers = [torch.optim.Adam(network.parameters(), 1e-4, betas=(0.0, 0.99)) for network in networks]
    return training


def rate(step: Callable[[], Any], images: int) -> float:
    """Images per second over some seconds, after a warm-up of at least one step."""
    start, steps = time.perf_counter(), 0
    while steps < 1 or (steps < 3 and time.perf_counter() - start < SECONDS):
        step()
        steps += 1
    start, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < SECONDS:
        step()
        steps += 1
    return steps * images / elapsed


def measure(family: str, scale: str, side: int, plain: bool, threads: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Measure one trainer; to be called in a process of its own."""
    torch.set_num_threads(threads)
    training = make_training(family, scale, side, **changes)
    batch = training.settings.batch
    interval = getattr(training.settings, "penalty_interval", 1)
    step = (lambda: plain_step(plain_training)) if plain else training.advance
    plain_training = plain_copy(training) if plain else training
    with FlopCounter() as counter:
        for _ in range(1 if plain else interval):
            step()
    flops = counter.total / (batch * (1 if plain else interval))
    images = rate(step, batch)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"images_per_second": images, "gflops": images * flops / 1e9, "memory_mb": memory}


def convolution_peak(threads: int) -> dict[str, Any]:
    """GFLOP/s of a wide 3×3 convolution, the fastest that this machine convolves."""
    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if bfloat16_helps(torch.device("cpu")) else torch.float32
    layer = nn.Conv2d(256, 256, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)
    images = torch.randn(32, 256, 16, 16, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        convolutions = rate(lambda: layer(images), 1)
    return {"gflops": convolutions * 2 * 32 * 256 * 256 * 9 * 16 * 16 / 1e9}


def apart(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Call a function in a new process, so that memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def compare(threads: int, peak: float) -> pd.DataFrame:
    """Our trainer beside the plain one, per family and preset."""
    rows = []
    for family in (name for name in FAMILIES if not FAMILIES[name].private):  # those have no plain counterpart
        for scale, side in PRESETS:
            if (scale, side) not in load_family(family).presets:
                continue
            preset = load_family(family).presets[scale, side]
            batch = min(preset.batch, LARGEST_BATCH.get(side, preset.batch))
            turns = [
                [apart(measure, family, scale, side, plain, threads, {"batch": batch}) for plain in (True, False)]
                for _ in range(TURNS[scale])
            ]
            plain, ours = (
                {name: median(turn[kind][name] for turn in turns) for name in turns[0][kind]} for kind in (0, 1)
            )
            row = {"family": family, "scale": scale, "side": side, "batch": batch}
            row |= {"plain_per_second": plain["images_per_second"], "ours_per_second": ours["images_per_second"]}
            row |= {"ratio": median(ours["images_per_second"] / plain["images_per_second"] for plain, ours in turns)}
            row |= {"gflops": ours["gflops"], "share_of_peak": ours["gflops"] / peak, "memory_mb": ours["memory_mb"]}
            rows.append(row)
            print(pd.DataFrame([row]).round(2).to_string(index=False, header=len(rows) == 1), flush=True)
    return pd.DataFrame(rows)


def batches(threads: int) -> pd.DataFrame:
    """Cost over batch sizes at 32²."""
    rows = []
    for batch in BATCHES:
        found = apart(measure, "r3-gan", "tiny", 32, False, threads, {"batch": batch})
        rows.append({"family": "r3-gan", "scale": "tiny", "side": 32, "batch": batch, **found})
    return pd.DataFrame(rows)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    peak = apart(convolution_peak, arguments.threads)["gflops"]
    print(f"convolution peak, {arguments.threads} threads: {peak:.0f} GFLOP/s")
    table = compare(arguments.threads, peak).assign(threads=arguments.threads, peak_gflops=peak)
    curve = batches(arguments.threads)
    print(curve.round(1).to_string(index=False))
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        table.round(3).to_csv(arguments.output / "generator-speed.csv", index=False)
        curve.round(3).to_csv(arguments.output / "generator-speed-batches.csv", index=False)


if __name__ == "__main__":
    main()
