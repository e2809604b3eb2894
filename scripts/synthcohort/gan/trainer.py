"""One trainer for every family: data, ticks, averaged weights, checkpoints, outputs."""

import copy
import hashlib
import math
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from synthcohort.core import versions
from synthcohort.core.atomic import atomic_path, value_digest, write_csv, write_json
from synthcohort.core.checkpoint import RunFolder, write_weights
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger
from synthcohort.core.store import ImageStore
from synthcohort.gan.data import TrainingImages, random_stream
from synthcohort.gan.family import Batch, Family, Players
from synthcohort.gan.guide import Views
from synthcohort.gan.layers import place
from synthcohort.gan.presets import Settings
from synthcohort.gan.sampler import sample_grid

CHECKPOINT_SECONDS = 30.0
GRID_TICKS = 10
EMA_WARM_UP = 0.05  # the half-life of the averaged weights is at most this share of the images seen so far


def train_generator(
    store: ImageStore,
    rows: NDArray[np.int64],
    family: Family,
    settings: Settings,
    seed: int,
    folder: Path,
    device: torch.device,
    guide: nn.Module | None = None,
    params_digest: str = "",
) -> None:
    """Train one generator; the same call continues where a killed one stopped and ends in the same bytes.

    Parameters
    ----------
    store : ImageStore
        Real images at the settings' resolution.
    rows : numpy.ndarray
        int ``[n]``: the training rows of the store.
    family : Family
        What is trained.
    settings : Settings
        As from `resolve_settings`.
    seed : int
        Starts weights, order, noise and mirroring.
    folder : Path
        The experiment's ``{source}/{replicate}``. Written there: ``generator.safetensors`` (averaged weights),
        ``generator.json``, ``history.csv`` (a row per tick), ``timing.csv`` (times, memory, host), and ``run/`` with
        the checkpoint, sample grids and the discriminator.
    device : torch.device
        From `prepare_device`.
    guide : module with ``features(images)``, optional
        A classifier trained on real images of the same experiment.
    params_digest : str
        Digest of whatever else the result depends on; a checkpoint with another one is set aside.

    Raises
    ------
    UserError
        When a score is no longer finite, no image is given, or another process trains in the folder.
    """
    if len(rows) == 0:
        raise UserError(f"{family.name}: there is no training image; choose a smaller level in the config's axes.")
    digest = value_digest(
        {
            "version": versions.GENERATOR,
            "params": params_digest,
            "family": family.name,
            "settings": asdict(settings),
            "seed": seed,
            "data": [store.info.data_version, np.asarray(rows).tolist()],
            "guide": weights_digest(guide),
        }
    )
    with RunFolder(folder / "run", digest) as run:
        training = Training(store, rows, family, settings, seed, device, guide)
        state = run.load()
        if state is not None:
            training.load_state_dict(state)
            logger.info("%s: continues at %.1f kimg", family.name, training.kimg)
        saved = time.monotonic()
        while training.step < training.steps:
            training.tick()
            last = training.step == training.steps
            if last or len(training.history) % GRID_TICKS == 0:
                training.write_grid(run.path / f"samples-{training.kimg:07.1f}.png")
            if last or time.monotonic() - saved >= CHECKPOINT_SECONDS:
                run.save(training.state_dict())
                saved = time.monotonic()
        training.write(folder)


def weights_digest(module: nn.Module | None) -> str:
    """SHA-256 over a module's weights; empty for none."""
    if module is None:
        return ""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Training:
    """Everything that changes while training, and how it changes."""

    def __init__(
        self,
        store: ImageStore,
        rows: NDArray[np.int64],
        family: Family,
        settings: Settings,
        seed: int,
        device: torch.device,
        guide: nn.Module | None,
    ) -> None:
        self.family, self.settings, self.seed, self.device = family, settings, seed, device
        self.info = store.info
        self.data = TrainingImages(store, rows, device)
        self.steps = max(1, math.ceil(settings.kimg * 1000 / settings.batch))
        self.tick_steps = max(1, round(settings.tick_kimg * 1000 / settings.batch))
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.timing: list[dict[str, float | str]] = []

        views = Views(guide.to(device) if guide is not None else None, self.data.first(512))
        self.architecture = family.architecture(settings, store.info.channels, len(store.info.findings))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = family.generator(**self.architecture)
            discriminator = family.discriminator(**self.architecture, feature_widths=views.feature_widths)
        networks = [place(network, device) for network in (generator, discriminator)]
        self.average = copy.deepcopy(networks[0]).eval().requires_grad_(False)
        optimizers = [
            torch.optim.Adam(network.parameters(), settings.learning_rate, betas=(0.0, 0.99), fused=True)
            for network in networks
        ]
        self.players = Players(networks[0], networks[1], optimizers[0], optimizers[1], views)

    @property
    def kimg(self) -> float:
        """Thousand real images shown so far."""
        return self.step * self.settings.batch / 1000

    def tick(self) -> None:
        """Train to the next row of the history."""
        start = time.perf_counter()
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        before = self.kimg
        end = min(self.steps, self.step + self.tick_steps)
        while self.step < end:
            for name, value in self.learn(self.batch()).items():
                sums[name] = sums[name] + value if name in sums else value
                counts[name] = counts.get(name, 0) + 1
            self.step += 1
            self.update_average()
        means = {name: float(value) / counts[name] for name, value in sums.items()}
        row = {"tick": len(self.history) + 1, "kimg": self.kimg, **means}
        if not all(math.isfinite(value) for value in means.values()):
            raise UserError(
                f"{self.family.name}: training diverged in tick {row['tick']} ({self.kimg:.1f} kimg); for resolution "
                f"{self.settings.resolution} lower learning_rate ({self.settings.learning_rate}) or raise gamma "
                f"({self.settings.gamma}) in gan/presets.py, or change the config's seed."
            )
        self.history.append(row)
        self.report(time.perf_counter() - start, self.kimg - before, means)

    def batch(self) -> Batch:
        """Compose the batch of this step: it follows from the seed and the step alone."""
        settings = self.settings
        images, labels = self.data.batch(self.seed, self.step, settings.batch, settings.horizontal_flip)
        noise = random_stream(self.seed, "latents", self.step).standard_normal(
            (settings.batch, settings.latent), dtype=np.float32
        )
        latents = torch.from_numpy(noise).to(self.device)
        return Batch(images, labels, latents, self.step, self.step / self.steps)

    def learn(self, batch: Batch) -> dict[str, Tensor]:
        """Take one step of the family in mixed precision."""
        # One context per step: until it ends, autocast keeps its copies of weights that the optimiser outdates.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16_helps(self.device)):
            return self.family.step(self.players, batch, self.settings)

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged weights towards the generator's."""
        half_life = min(self.settings.ema_kimg, EMA_WARM_UP * self.kimg)
        weight = 1 - 0.5 ** (self.settings.batch / 1000 / half_life)
        for average, current in zip(self.average.parameters(), self.players.generator.parameters(), strict=True):
            average.lerp_(current, weight)

    def report(self, seconds: float, kimg: float, means: dict[str, float]) -> None:
        """Log the tick's status line and keep its cost."""
        process = psutil.Process().memory_info().rss / 2**30
        card = torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else 0.0
        row = {"tick": len(self.history), "kimg": self.kimg, "seconds": seconds, "seconds_per_kimg": seconds / kimg}
        self.timing.append({**row, "memory_gib": process, "card_gib": card, "host": socket.gethostname()})
        numbers = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        logger.info(
            "%s: %.1f of %.1f kimg, %.2f s/kimg, %s, %.1f GiB",
            self.family.name,
            self.kimg,
            self.steps * self.settings.batch / 1000,
            seconds / kimg,
            numbers,
            card or process,
        )

    def write_grid(self, path: Path) -> None:
        """Draw samples of the most frequent combinations, one row each."""
        labels, counts = np.unique(self.data.labels.cpu().numpy(), axis=0, return_counts=True)
        frequent = labels[np.argsort(-counts, kind="stable")[:8]]
        grid = sample_grid(self.average, frequent, 8, self.seed)
        rows, columns, _, side, _ = grid.shape
        sheet = grid[:, :, 0].transpose(0, 2, 1, 3).reshape(rows * side, columns * side)
        with atomic_path(path) as temporary:
            Image.fromarray(sheet).save(temporary, "PNG")

    def write(self, folder: Path) -> None:
        """Write what the rule declares, and the discriminator, which stays internal."""
        write_weights(folder / "run" / "discriminator.safetensors", self.players.discriminator.state_dict())
        write_weights(folder / "generator.safetensors", self.average.state_dict())
        write_csv(folder / "history.csv", pd.DataFrame(self.history))
        write_csv(folder / "timing.csv", pd.DataFrame(self.timing))
        settings = asdict(self.settings)
        write_json(
            folder / "generator.json",
            {
                "family": self.family.name,
                "architecture": self.architecture,
                "findings": [finding.model_dump() for finding in self.info.findings],
                "resolution": self.settings.resolution,
                "channels": self.info.channels,
                "kimg": self.kimg,
                "seed": self.seed,
                "training_images": len(self.data.labels),
                "guided": self.players.views.guide is not None,
                "params": settings,
            },
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued run needs; randomness follows from the seed and the step."""
        return {
            "step": self.step,
            "history": self.history,
            "timing": self.timing,
            "average": self.average.state_dict(),
            "generator": self.players.generator.state_dict(),
            "discriminator": self.players.discriminator.state_dict(),
            "generator_optimizer": self.players.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.players.discriminator_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`'s state."""
        self.step, self.history, self.timing = state["step"], state["history"], state["timing"]
        self.average.load_state_dict(state["average"])
        for name in ("generator", "discriminator", "generator_optimizer", "discriminator_optimizer"):
            getattr(self.players, name).load_state_dict(state[name])


def bfloat16_helps(device: torch.device) -> bool:
    """Tell whether the device computes in bfloat16 natively; elsewhere it would be emulated, and slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()
