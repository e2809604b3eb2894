"""How often each way of attribution points at a planted patch that a network has learnt to find.

    python bench/measure_attribution.py

Images of noise at 32², every other one with a bright patch in one of 16 places; two trainings of each network. Writes
docs/evidence/attribution.csv: the accuracy on new images, and each method's overlap (AUROC of the map's magnitude at
the patch against the rest, 0.5 is chance). Half a minute.
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from synthcohort.audit.attribution import METHODS, attribution_maps
from synthcohort.classify.networks import Network, build_network, to_input
from synthcohort.core.atomic import write_csv
from synthcohort.measures.attribution import mask_overlap

SIDE, PATCH, STEPS, BATCH = 32, 8, 90, 32


def draw_patches(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images ``[n, 1, 32, 32]`` and masks ``[n, 32, 32]``; those of odd number have a patch."""
    rng = np.random.default_rng(seed)
    images, masks = rng.integers(60, 120, (count, 1, SIDE, SIDE)), np.zeros((count, SIDE, SIDE), np.uint8)
    for number in range(1, count, 2):
        y, x = PATCH * rng.integers(0, SIDE // PATCH, 2)
        masks[number, y : y + PATCH, x : x + PATCH] = 255
    return (images + 100 * (masks[:, None] > 0)).astype(np.uint8), masks


def train(name: str, seed: int) -> Network:
    """Teach a network to find the patch."""
    network = build_network(name, 1, ["patch"], SIDE, seed)
    images, masks = draw_patches(512, 0)
    inputs, labels = to_input(images), torch.from_numpy(masks.any((1, 2), keepdims=True)[:, 0]).float()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        batch = rng.integers(0, len(images), BATCH)
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    images, masks = draw_patches(48, 5)
    has_patch = masks.any((1, 2))
    rows = []
    for name in ("small", "plain"):
        for seed in (1, 2):
            network = train(name, seed)
            found = network(to_input(images))[:, 0].numpy() > 0
            row = {"network": name, "training": seed, "accuracy": float((found == has_patch).mean())}
            for method in METHODS:
                maps = attribution_maps(network, images[has_patch], 0, method)
                row[method] = round(float(mask_overlap(maps, masks[has_patch]).mean()), 3)
            rows.append(row)
    table = pd.DataFrame(rows)
    write_csv("docs/evidence/attribution.csv", table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
