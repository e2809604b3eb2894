"""The loop of a training: steps, ticks, evaluations, checkpoints, outputs."""

import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from synthcohort.core.atomic import write_arrays, write_csv, write_json
from synthcohort.core.checkpoint import RunFolder, write_weights
from synthcohort.core.config import StopRule
from synthcohort.core.interrupt import Interrupted, Request
from synthcohort.core.progress import logger
from synthcohort.core.store import ImageStore
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.snapshots import Snapshots
from synthcohort.gan.training import Training
from synthcohort.gan.watch import Evaluation, Watch

CHECKPOINT_SECONDS = 30.0  # between two, at least
CHECKPOINT_SHARE = 0.05  # of the time, at most
ASK_STEPS = 10  # several processes agree every so many steps on whether to end


@dataclass
class Best:
    """The best state so far, by the stop rule."""

    distance: float = float("inf")
    kimg: float = 0.0
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


class Trainer:
    """Runs a training to its end, or to the point where it is asked to stop.

    Parameters
    ----------
    training : Training
        The state.
    watch : Watch
        Evaluates samples; asked by the first process only.
    valid : TrainingImages
        Held-out images, for the adaptive augmentation.
    rule : StopRule
        When to evaluate and to stop.
    run : RunFolder
        Where checkpoints and TensorBoard's events go; the first process's.
    """

    def __init__(
        self, training: Training, watch: Watch | None, valid: TrainingImages, rule: StopRule, run: RunFolder | None
    ) -> None:
        self.training, self.watch, self.valid, self.rule, self.run = training, watch, valid, rule, run
        self.best = Best()
        self.stopped = False
        self.timing: list[dict[str, Any]] = []
        self.snapshots = Snapshots(training.shown_labels, training.steps, training.seed)
        self.events: SummaryWriter | None = None
        self.tick_start, self.due = time.perf_counter(), time.monotonic() + CHECKPOINT_SECONDS

    def train(self, request: Request) -> None:
        """Train until done.

        Raises
        ------
        Interrupted
            When the process was asked to end; the state is saved.
        """
        training = self.training
        if self.run is not None and not self._done:
            self.events = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=training.step + 1)
        if training.tick_is_over:  # it was asked to end during the look
            self._end_tick(request)
            self._save(request)
        while not self._done:
            training.advance()
            if training.step in self.snapshots.due and training.ranks.first:
                self._take_snapshot()
            if training.tick_is_over:
                self._end_tick(request)
            self._save(request)
        if self.events is not None:
            self.events.close()

    @property
    def _done(self) -> bool:
        training = self.training
        return (training.step >= training.steps or self.stopped) and not training.tick_is_over

    def _end_tick(self, request: Request) -> None:
        """Look at samples where it is time, and close the tick; asked to end during the look, leave it open."""
        training = self.training
        number = training.tick_row()["tick"]
        looks = number % self.rule.every == 0 or training.step == training.steps
        evaluation = self._look(request) if looks else None
        row = training.close_tick()
        if looks:
            self._judge(evaluation, row)
        if training.settings.augmentation is None and training.augmentations:
            row["overfitting"] = training.adapt(self.valid)
        if training.ranks.first:
            self._report(row, evaluation)

    def _look(self, request: Request) -> Evaluation | None:
        """Evaluate samples, in the first process; this can take minutes."""
        evaluation, asked = None, False
        if self.watch is not None:
            try:
                evaluation = self.watch.look(self.training.average, request)
            except Interrupted:
                asked = True
        if self.training.ranks.any(asked, self.training.device):
            self._end_early()
        return evaluation

    def _judge(self, evaluation: Evaluation | None, row: dict[str, float]) -> None:
        """Note an evaluation and decide on stopping; every process must come to the same decision."""
        training, rule = self.training, self.rule
        if evaluation is not None:
            row |= {"copied": evaluation.copied}
            if evaluation.metric:
                row |= {evaluation.metric: evaluation.distance}
                if rule.patience and training.step >= rule.minimum * training.steps:
                    self._compare(evaluation.distance)
        wants_stop = 0 < rule.patience <= self.best.waited and training.step < training.steps
        self.stopped = training.ranks.any(wants_stop, training.device)

    def _compare(self, distance: float) -> None:
        if distance < self.best.distance:
            weights = {name: value.cpu().clone() for name, value in self.training.average.state_dict().items()}
            self.best = Best(distance, self.training.kimg, 0, weights)
        else:
            self.best.waited += 1

    def _take_snapshot(self) -> None:
        training = self.training
        grid = self.snapshots.take(training.average, training.kimg)
        if self.events is not None:
            for number, row in enumerate(grid):
                self.events.add_images(f"samples/{number}", row[:, :1], training.step)

    def _report(self, row: Mapping[str, float], evaluation: Evaluation | None) -> None:
        """Write the tick's status line and events, and keep its cost."""
        training = self.training
        seconds = time.perf_counter() - self.tick_start
        self.tick_start = time.perf_counter()
        before = training.history[-2]["kimg"] if len(training.history) > 1 else 0.0
        process = psutil.Process().memory_info().rss / 2**30
        card = torch.cuda.max_memory_allocated() / 2**30 if training.device.type == "cuda" else 0.0
        cost = {"tick": row["tick"], "kimg": row["kimg"], "seconds": seconds}
        cost["seconds_per_kimg"] = seconds / (row["kimg"] - before)
        self.timing.append({**cost, "memory_gib": process, "card_gib": card, "host": socket.gethostname()})
        values = {name: value for name, value in row.items() if name not in ("tick", "kimg")}
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(name, value, training.step)
        logger.info(
            "%s: %.1f of %.1f kimg, %.2f s/kimg, %s, %.1f GiB",
            training.family.name,
            training.kimg,
            training.steps * training.settings.batch / 1000,
            cost["seconds_per_kimg"],
            ", ".join(f"{name} {value:.3f}" for name, value in values.items()),
            card or process,
        )
        if evaluation is not None and evaluation.alarm:
            logger.warning(
                "%s: MEMORISATION: about %.0f %% of the samples copy a training image; train shorter, or on more "
                "patients.",
                training.family.name,
                100 * evaluation.copied,
            )

    def _save(self, request: Request) -> None:
        """Write a checkpoint at the end, when it is due, and when the process is asked to end."""
        training = self.training
        done = training.step == training.steps or self.stopped
        asked = False
        if training.ranks.world == 1 or training.step % ASK_STEPS == 0:
            asked = training.ranks.any(request.made, training.device)
        if asked and not done:
            self._end_early()
        if self.run is not None and (done or time.monotonic() >= self.due):
            self._write_checkpoint(self.run)

    def _write_checkpoint(self, run: RunFolder) -> None:
        start = time.monotonic()
        run.save(self.state_dict())
        end = time.monotonic()
        self.due = end + max(CHECKPOINT_SECONDS, (end - start) / CHECKPOINT_SHARE)

    def _end_early(self) -> None:
        training = self.training
        if self.run is not None:
            self._write_checkpoint(self.run)
        raise Interrupted(
            f"{training.family.name}: asked to end at {training.kimg:.1f} kimg; the state is saved, and the same "
            "command continues from it."
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued run needs."""
        return {
            "training": self.training.state_dict(),
            "snapshots": self.snapshots.state(),
            "best": {**vars(self.best)},
            "stopped": self.stopped,
            "timing": self.timing,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`'s state."""
        self.training.load_state_dict(state["training"])
        self.snapshots.restore(state["snapshots"])
        self.best = Best(**state["best"])
        self.stopped, self.timing = state["stopped"], state["timing"]
        logger.info("%s: continues at %.1f kimg", self.training.family.name, self.training.kimg)

    def write(self, folder: Path, store: ImageStore) -> None:
        """Write what the rule declares."""
        training = self.training
        if self.best.weights:
            training.average.load_state_dict(self.best.weights)
        write_weights(folder / "discriminator.safetensors", training.players.discriminator.state_dict())
        write_weights(folder / "unaveraged.safetensors", training.players.generator.state_dict())
        write_weights(folder / "generator.safetensors", training.average.state_dict())
        write_csv(folder / "history.csv", pd.DataFrame(training.history))
        write_csv(folder / "timing.csv", pd.DataFrame(self.timing))
        write_arrays(folder / "samples.npz", self.snapshots.arrays(training.average, store.info.finding_names))
        kept = self.best.kimg if self.best.weights else training.kimg
        copied = [row["copied"] for row in training.history if "copied" in row and row["kimg"] <= kept]
        write_json(
            folder / "generator.json",
            {
                "family": training.family.name,
                "architecture": training.architecture,
                "findings": [finding.model_dump() for finding in store.info.findings],
                "resolution": training.settings.resolution,
                "channels": store.info.channels,
                "kimg": kept,
                "trained_kimg": training.kimg,
                "stopped_early": self.stopped,
                "stop_metric": self.watch.metric if self.watch is not None else "",
                "stop_features": self.watch.features.name if self.watch and self.watch.features else "",
                "copied": copied[-1] if copied else None,
                "seed": training.seed,
                "training_images": len(training.data),
                "guided": training.players.views.guide is not None,
                "params": asdict(training.settings),
                **training.facts(),
            },
        )
