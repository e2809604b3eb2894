"""Pictures of a training: samples from the same noise as it goes on, and a walk through the finished generator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from synthcohort.cohort.labels import combination_names
from synthcohort.core.store import Images
from synthcohort.gan.data import random_stream
from synthcohort.gan.layers import byte_images
from synthcohort.gan.sampler import sample_grid

SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of a training after which samples are kept."""
ROWS, COLUMNS, STEPS = 6, 2, 9


def frequent_combinations(labels: NDArray[np.float32], count: int = ROWS) -> NDArray[np.float32]:
    """Find the most frequent label vectors, ``[count, findings]``."""
    combinations, counts = np.unique(labels, axis=0, return_counts=True)
    return combinations[np.argsort(-counts, kind="stable")[:count]]


class Snapshots:
    """Collects grids of samples; `state` is plain data for a checkpoint."""

    def __init__(self, labels: NDArray[np.float32], steps: int, seed: int) -> None:
        self.combinations = frequent_combinations(labels)
        self.due = sorted({max(1, round(share * steps)) for share in SHARES})
        self.seed = seed
        self.kimg: list[float] = []
        self.grids: list[torch.Tensor] = []

    def take(self, generator: nn.Module, kimg: float) -> Images:
        """Keep a grid of samples, uint8 ``[combinations, columns, C, H, W]``."""
        grid = sample_grid(generator, self.combinations, COLUMNS, self.seed)
        self.kimg.append(kimg)
        self.grids.append(torch.from_numpy(grid))
        return grid

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"kimg": self.kimg, "grids": self.grids}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.kimg, self.grids = list(state["kimg"]), list(state["grids"])

    def arrays(self, generator: nn.Module, findings: list[str]) -> dict[str, NDArray[Any]]:
        """Everything to be drawn.

        Returns
        -------
        dict of numpy.ndarray
            ``kimg`` ``[T]``; ``grids`` uint8 ``[T, K, columns, C, H, W]``; ``combinations`` ``[K]``, their names;
            ``noise_walk`` and ``label_walk`` uint8 ``[steps, C, H, W]``: from one noise vector to another under the
            most frequent combination, and from that combination to the next under one noise vector.
        """
        names = combination_names(pd.DataFrame(self.combinations, columns=findings))
        noise_walk, label_walk = walks(generator, self.combinations, self.seed)
        return {
            "kimg": np.array(self.kimg),
            "grids": np.stack([grid.numpy() for grid in self.grids]),
            "combinations": np.array(names.tolist()),
            "noise_walk": noise_walk,
            "label_walk": label_walk,
        }


def walks(generator: nn.Module, combinations: NDArray[np.float32], seed: int) -> tuple[Images, Images]:
    """Walk through noise (along a great circle, as noise is normal) and through labels (straight)."""
    device = next(generator.parameters()).device
    noise = random_stream(seed, "walk", 0).standard_normal((2, int(generator.latent)), dtype=np.float32)  # type: ignore[arg-type]
    shares = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
    angles = shares * np.float32(np.pi / 2)
    circle = np.cos(angles) * noise[:1] + np.sin(angles) * noise[1:]
    ends = combinations[[0, min(1, len(combinations) - 1)]]
    straight = (1 - shares) * ends[:1] + shares * ends[1:]

    def draw(latents: NDArray[np.float32], labels: NDArray[np.float32]) -> Images:
        with torch.no_grad():
            pair = (torch.from_numpy(array).to(device) for array in (latents, labels))
            return byte_images(generator(*pair)).cpu().numpy()

    return draw(circle, np.repeat(ends[:1], STEPS, 0)), draw(np.repeat(noise[:1], STEPS, 0), straight)
