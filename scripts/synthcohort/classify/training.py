"""The state of one training: network, averaged weights, optimiser, history, and the best so far."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from synthcohort.classify.batches import batch_positions, mirror
from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.networks import Network, to_input
from synthcohort.classify.predict import logits
from synthcohort.core.config import Classifier
from synthcohort.core.device import bfloat16_helps
from synthcohort.core.store import ImageStore
from synthcohort.measures.auroc import auroc

Subset = tuple[ImageStore | JoinedStore, NDArray[np.int64]]
"""A store and the rows of it that are meant."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    batch : int
        Images per step.
    lr : float
        Learning rate of AdamW, to begin with.
    weight_decay : float
        AdamW's decay, also of biases.
    evaluation_kimg : float
        Thousand images between two evaluations.
    average_kimg : float
        Half-life of the running average of the weights that is evaluated and kept; 0 takes the weights themselves.
    decay_after : int
        Evaluations without a better one after which the learning rate falls to a tenth; 0 keeps it.
    """

    batch: int
    lr: float
    weight_decay: float
    evaluation_kimg: float
    average_kimg: float
    decay_after: int


RECIPES = {
    # On the head-phantom (one seed, 16² and 32²) averaging gained 0.02 AUROC; random shifts, tried too, cost 0.04.
    "small": Recipe(batch=64, lr=2e-3, weight_decay=0.01, evaluation_kimg=2.5, average_kimg=2.5, decay_after=0),
    "plain": Recipe(batch=64, lr=1e-3, weight_decay=0.01, evaluation_kimg=2.5, average_kimg=2.5, decay_after=0),
    # The paper's: Adam, 1e-4, a tenth after 2 evaluations without a better one, batch 48, 5 000 images between them.
    "densenet121": Recipe(batch=48, lr=1e-4, weight_decay=0.0, evaluation_kimg=5.0, average_kimg=0.0, decay_after=2),
}


def masked_loss(outputs: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross entropy of logits, averaged over the labels that are known (not NaN); positives may be weighted."""
    known = ~labels.isnan()
    losses = binary_cross_entropy_with_logits(outputs, labels.nan_to_num(0.0), reduction="none", pos_weight=weights)
    return (losses * known).sum() / known.sum().clamp(min=1)


def class_weights(labels: Tensor) -> Tensor:
    """Negative ÷ positive images of each finding, from labels ``[N, findings]``; 1 where one class is missing."""
    positive, negative = (labels == 1).sum(0), (labels == 0).sum(0)
    return torch.where((positive > 0) & (negative > 0), negative / positive.clamp(min=1), 1.0)


def mean_auroc(labels: NDArray, scores: NDArray) -> float:
    """Mean AUROC over the findings that have both classes; NaN where none has."""
    values = [auroc(labels[:, finding], scores[:, finding]) for finding in range(labels.shape[1])]
    return float(np.mean(defined)) if (defined := [value for value in values if not np.isnan(value)]) else float("nan")


class Training:
    """State of one training: network, optimiser, history, and the best weights so far."""

    def __init__(
        self,
        network: Network,
        train: Subset,
        valid: Subset,
        settings: Classifier,
        seed: int,
        device: torch.device,
        flip: bool,
    ) -> None:
        self.recipe = RECIPES[settings.network]
        self.settings, self.seed, self.device, self.flip = settings, seed, device, flip
        self.network = network.to(device).train()
        self.average = copy.deepcopy(self.network).eval() if self.recipe.average_kimg else self.network
        self.train, self.valid = train, valid
        self.labels = torch.from_numpy(train[0].labels[train[1]])
        self.valid_labels = valid[0].labels[valid[1]]
        self.weights = class_weights(self.labels).to(device) if settings.class_weights else None
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay, fused=True
        )
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}

    def state(self) -> dict[str, Any]:
        """All that continues this training to the same bytes (random numbers depend on seed and step alone)."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "step": self.step,
            "history": self.history,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.step, self.history = state["best"], state["step"], state["history"]

    @property
    def kimg(self) -> float:
        """Thousand images shown so far."""
        return self.step * self.recipe.batch / 1000

    @property
    def done(self) -> bool:
        """Whether the budget is spent, or patience is."""
        return self.kimg >= self.settings.kimg or self.waited >= self.settings.patience

    @property
    def waited(self) -> int:
        """Evaluations since the best one."""
        return len(self.history) - 1 - self.best_evaluation if self.history else 0

    @property
    def best_evaluation(self) -> int:
        """Number of the best evaluation: the highest AUROC, the first of equals."""
        return max(range(len(self.history)), key=lambda number: (_score(self.history[number]), -number))

    def advance(self) -> None:
        """Train up to the next evaluation, evaluate, and keep the weights if they are the best."""
        until = min(self.kimg + self.recipe.evaluation_kimg, self.settings.kimg)
        losses = []
        while self.kimg < until:
            losses.append(self._train_step())
        scores = logits(self.average, *self.valid)
        group = self.optimizer.param_groups[0]
        self.history.append(
            {
                "kimg": self.kimg,
                "learning_rate": group["lr"],
                "train_loss": float(torch.stack(losses).mean()),
                "valid_loss": float(masked_loss(torch.from_numpy(scores), torch.from_numpy(self.valid_labels))),
                "valid_auroc": mean_auroc(self.valid_labels, scores),
            }
        )
        if self.waited == 0:
            self.best = {name: value.cpu().clone() for name, value in self.average.state_dict().items()}
        elif self.waited == self.recipe.decay_after:
            group["lr"] *= 0.1

    def _train_step(self) -> Tensor:
        store, rows = self.train
        positions = batch_positions(len(rows), self.recipe.batch, self.step, self.seed)
        images = store.images[rows[positions]]
        if self.flip:
            images = mirror(images, np.random.default_rng([self.seed, self.step]))
        inputs = to_input(images, self.device)
        labels = self.labels[positions].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16_helps(self.device)):
            outputs = self.network(inputs)
        loss = masked_loss(outputs, labels, self.weights)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return loss.detach()

    def _update_average(self) -> None:
        """Follow the weights and the normalisation's statistics; quickly at first, when there is little to average."""
        if self.average is self.network:
            return
        kept = min(0.5 ** (self.recipe.batch / 1000 / self.recipe.average_kimg), (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True)
        averages, values = zip(*[(a, value) for a, value in pairs if a.is_floating_point()], strict=True)
        torch._foreach_lerp_(averages, values, 1 - kept)


def _score(evaluation: Mapping[str, Any]) -> float:
    """Higher is better; where no finding of the validation set has both classes, the loss decides."""
    auroc = evaluation["valid_auroc"]
    return -evaluation["valid_loss"] if np.isnan(auroc) else auroc
