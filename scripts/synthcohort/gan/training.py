"""Everything that changes while a generator is trained, and one step of it."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synthcohort.core.device import bfloat16_helps
from synthcohort.core.errors import UserError
from synthcohort.gan.augment import Augmentation
from synthcohort.gan.data import TrainingImages, images_at_once, random_stream
from synthcohort.gan.distributed import Ranks, check_parts
from synthcohort.gan.family import Batch, Family, Players
from synthcohort.gan.guide import Views
from synthcohort.gan.layers import place
from synthcohort.gan.settings import Settings

EMA_WARM_UP = 0.05  # the half-life of the averaged weights is at most this share of the images seen so far
# Adaptive augmentation (Karras et al. 2020, arXiv 2006.06676, section 3.1).
OVERFITTING_TARGET, AUGMENTATION_STEP, AUGMENTATION_LIMIT, SCORED = 0.5, 0.05, 0.8, 500
VIEWS_SAMPLE = 64, 512  # images, at least and at most
DIVERGED = 1e6


class Training:
    """Networks, averaged weights, optimisers and history of one training.

    Parameters
    ----------
    family, settings
        What is trained, and how.
    data : TrainingImages
        The images to learn from.
    findings : int
        Number of label columns.
    channels : int
        Image channels.
    seed : int
        Starts weights, order, noise, mirroring and augmentation.
    guide : module, optional
        For families that look at its features.
    augmentations : sequence of str
        Kinds, see `augment`.
    ranks : Ranks
        This process's share of every batch.
    secret : bytes
        For subclasses whose random numbers nobody may guess.

    Attributes
    ----------
    steered : bool
        Whether distances to real images may end the training and choose its state.
    """

    steered = True

    def __init__(
        self,
        family: Family,
        settings: Settings,
        data: TrainingImages,
        channels: int,
        findings: int,
        seed: int,
        guide: nn.Module | None = None,
        augmentations: Sequence[str] = (),
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
        secret: bytes = b"",
    ) -> None:
        check_parts(settings.batch, ranks.world, settings.accumulation)
        self.family, self.settings, self.data, self.seed, self.ranks = family, settings, data, seed, ranks
        self.device, self.secret = data.device, secret
        self.augmentations = tuple(augmentations)
        self.steps = max(1, math.ceil(settings.kimg * 1000 / settings.batch))
        self.tick_steps = max(1, round(settings.tick_kimg * 1000 / settings.batch))
        self.step = 0
        self.augmentation = settings.augmentation or 0.0
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.history: list[dict[str, float]] = []

        fewest, most = VIEWS_SAMPLE
        sample = data.take(data.spread(max(fewest, images_at_once(data.side, most))))
        views = Views(guide if family.guided else None, sample)
        self.architecture = family.architecture(settings, channels, findings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = family.generator(**self.architecture)
            discriminator = family.discriminator(**self.architecture, feature_widths=views.feature_widths)
        self.players = Players(place(generator, self.device), place(discriminator, self.device), views)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(network.parameters(), settings.learning_rate, betas=(0.0, settings.beta2), fused=True)
            for network in (generator, discriminator)
        ]

    @property
    def kimg(self) -> float:
        """Thousand real images shown so far."""
        return self.step * self.settings.batch / 1000

    @property
    def part_size(self) -> int:
        """Images that this process computes at once."""
        return self.settings.batch // (self.ranks.world * self.settings.accumulation)

    @property
    def shown_labels(self) -> NDArray[np.float32]:
        """Label vectors ``[n, findings]`` whose most frequent ones are drawn in pictures of the training."""
        return self.data.labels.cpu().numpy()

    def facts(self) -> dict[str, Any]:
        """Say what generator.json is to tell of this training besides what all have in common."""
        return {}

    def inherit(self, generator: Mapping[str, Tensor], discriminator: Mapping[str, Tensor]) -> None:
        """Start from the networks of the stage before; layers that it lacks keep their own start."""
        for network, weights in (
            (self.players.generator, generator),
            (self.players.discriminator, discriminator),
            (self.average, generator),
        ):
            own = network.state_dict()
            known = {name: value for name, value in weights.items() if name in own}
            changed = [name for name, value in known.items() if own[name].shape != value.shape]
            if changed or not known:
                raise UserError("the stage before has other widths than this one; delete it and run again.")
            network.load_state_dict(known, strict=False)

    def advance(self) -> None:
        """Take one step: gradients of every part of the batch, both optimisers, averaged weights."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        parts = self.settings.accumulation
        scalars: list[dict[str, Tensor]] = []
        # One context per step: until it ends, autocast keeps its copies of weights that the optimisers outdate.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16_helps(self.device)):
            for number in range(parts):
                values = self.family.backward(self.players, self.batch(number), self.settings)
                scalars.append({name: value.float().clone() for name, value in values.items()})
        parameters = [*self.players.generator.parameters(), *self.players.discriminator.parameters()]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if parts > 1:
            torch._foreach_div_(gradients, parts)
        self.ranks.average([*gradients, *(value for part in scalars for value in part.values())])
        for part in scalars:
            self._note(part)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self._update_average()

    def batch(self, number: int = 0) -> Batch:
        """Compose this process's part `number` of the step's batch: it follows from the seed and the step alone."""
        settings, step = self.settings, self.step
        size = self.part_size
        first = (self.ranks.rank * settings.accumulation + number) * size
        part = slice(first, first + size)
        images, labels = self.data.batch(self.seed, step, settings.batch, settings.horizontal_flip, part)
        stream = random_stream(self.seed, "latents", step)
        latents = stream.standard_normal((settings.batch, settings.latent), dtype=np.float32)[part]
        mix = stream.random((settings.batch, 1, 1, 1), dtype=np.float32)[part]
        augment = Augmentation(
            self.augmentations,
            self.augmentation,
            random_stream(self.seed, "augmentation", step),
            settings.batch,
            part,
        )
        noise, shares = (torch.from_numpy(array).to(self.device) for array in (latents, mix))
        return Batch(images, labels, noise, shares, augment, step, step / self.steps)

    @property
    def tick_is_over(self) -> bool:
        """Whether it is time for `close_tick`."""
        return bool(self.sums) and (self.step % self.tick_steps == 0 or self.step == self.steps)

    def tick_row(self) -> dict[str, float]:
        """Means over the steps of the tick so far.

        Raises
        ------
        UserError
            When a mean is not finite, or a loss or score is huge: training diverged.
        """
        names = list(self.sums)
        means = torch.stack([self.sums[name] / self.counts[name] for name in names])
        row = {"tick": len(self.history) + 1, "kimg": self.kimg, **dict(zip(names, means.tolist(), strict=True))}
        judged = [name.startswith(("loss", "label_loss", "score")) for name in names]
        if not torch.isfinite(means).all() or (means[judged].abs() > DIVERGED).any():
            raise UserError(
                f"{self.family.name}: training diverged in tick {row['tick']} ({self.kimg:.1f} kimg); for resolution "
                f"{self.settings.resolution} lower learning_rate ({self.settings.learning_rate}) or raise penalty "
                f"({self.settings.penalty}) in gan/presets.py, or change the config's seed."
            )
        if self.augmentations:
            row["augmentation"] = self.augmentation
        return row

    def close_tick(self) -> dict[str, float]:
        """Add the tick's row to the history, and begin the next; see `tick_row`."""
        row = self.tick_row()
        self.history.append(row)
        self.sums, self.counts = {}, {}
        return row

    @torch.no_grad()
    def overfitting(self, valid: TrainingImages) -> float:
        """How far the discriminator tells training images from held-out ones.

        It is shown shuffled batches of the size that it is trained on, since some discriminators compare the images of
        a batch, and samples under the training images' labels.

        Returns
        -------
        float
            0 where it does not, 1 where held-out images look as synthetic to it as samples do; within −1..1, and 0
            where it cannot tell training images from samples either.
        """
        stream = random_stream(self.seed, "overfitting", self.step)
        size = self.part_size

        def mean_score(images: TrainingImages, sampled: bool = False) -> Tensor:
            chosen = stream.permutation(len(images))[:SCORED]
            chosen = np.resize(chosen, max(1, len(chosen) // size) * size)  # whole batches; few images come again
            scores = []
            for part in chosen.reshape(-1, size):
                shown, labels = images.pairs(part)
                if sampled:
                    noise = stream.standard_normal((size, self.settings.latent), dtype=np.float32)
                    shown = self.players.generator(torch.from_numpy(noise).to(self.device), labels)
                scores.append(self.players.discriminator.score(shown, labels).mean())  # type: ignore[operator]
            return torch.stack(scores).mean()

        together = torch.stack([mean_score(self.data), mean_score(valid), mean_score(self.data, sampled=True)])
        self.ranks.average([together])
        train, held_out, fake = together.tolist()
        return max(-1.0, min(1.0, (train - held_out) / (train - fake))) if train > fake else 0.0

    def adapt(self, valid: TrainingImages) -> float:
        """Augment more while the discriminator overfits, less while it does not; returns how far it does."""
        share = self.overfitting(valid)
        change = AUGMENTATION_STEP if share > OVERFITTING_TARGET else -AUGMENTATION_STEP
        self.augmentation = min(AUGMENTATION_LIMIT, max(0.0, self.augmentation + change))
        return share

    def _note(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights towards the generator's; buffers are taken over."""
        half_life = min(self.settings.ema_kimg, EMA_WARM_UP * self.kimg)
        weight = 1 - 0.5 ** (self.settings.batch / 1000 / half_life)
        pairs = zip(self.average.parameters(), self.players.generator.parameters(), strict=True)
        averages, current = zip(*pairs, strict=True)
        torch._foreach_lerp_(averages, current, weight)
        for average, value in zip(self.average.buffers(), self.players.generator.buffers(), strict=True):
            average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued run needs; randomness follows from the seed and the step."""
        return {
            "step": self.step,
            "augmentation": self.augmentation,
            "sums": self.sums,
            "counts": self.counts,
            "history": self.history,
            "average": self.average.state_dict(),
            "generator": self.players.generator.state_dict(),
            "discriminator": self.players.discriminator.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`'s state."""
        self.step, self.augmentation, self.history = state["step"], state["augmentation"], state["history"]
        self.sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        self.counts = dict(state["counts"])
        self.average.load_state_dict(state["average"])
        self.players.generator.load_state_dict(state["generator"])
        self.players.discriminator.load_state_dict(state["discriminator"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
