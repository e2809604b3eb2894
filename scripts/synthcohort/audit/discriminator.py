"""The attack of someone who has the training's discriminator (LOGAN): what it takes for real, it may have seen."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from synthcohort.audit.neighbours import Rows
from synthcohort.core.atomic import read_json
from synthcohort.core.checkpoint import read_weights
from synthcohort.core.errors import UserError
from synthcohort.core.store import ImageStore
from synthcohort.gan.data import known_labels
from synthcohort.gan.layers import float_images, place
from synthcohort.gan.registry import load_family
from synthcohort.measures.attacks import Scores

BATCH = 100
"""A multiple of four, as some discriminators look at groups of four images."""


def load_discriminator(folder: Path, device: torch.device) -> nn.Module:
    """Build a trained discriminator from ``generator.json`` and ``discriminator.safetensors``.

    Its heads on the guide's features are left out: they have no part in its score of an image.

    Raises
    ------
    UserError
        When the family is unknown, or the weights are damaged or do not fit.
    """
    card = read_json(folder / "generator.json")
    discriminator = load_family(card["family"]).discriminator(**card["architecture"], feature_widths=[])
    weights = read_weights(folder / "discriminator.safetensors")
    own = discriminator.state_dict()
    try:
        discriminator.load_state_dict({name: value for name, value in weights.items() if name in own})
    except RuntimeError as error:
        raise UserError("discriminator.safetensors does not fit generator.json; train the generator again.") from error
    return place(discriminator, device).eval().requires_grad_(False)


def discriminator_scores(discriminator: nn.Module, real: ImageStore, rows: Rows, rng: np.random.Generator) -> Scores:
    """Score images of a store under their own labels, higher for what the discriminator takes for real.

    Images are scored in random order and full batches, as some discriminators also look at an image's neighbours.

    Parameters
    ----------
    discriminator : module
        With a method ``score(images, labels)``, on the device where it is to compute.
    real : ImageStore
        The cohort.
    rows : numpy.ndarray
        int64 ``[n]``: which images.
    rng : numpy.random.Generator
        Draws the order.

    Returns
    -------
    numpy.ndarray
        float64 ``[n]``.
    """
    device = next(discriminator.parameters()).device
    order = rng.permutation(len(rows))
    filled = np.resize(order, -(-len(order) // BATCH) * BATCH)  # the first ones again, until the last batch is full
    labels = known_labels(real.labels)
    scores = np.empty(len(rows))
    for start in range(0, len(filled), BATCH):
        batch = filled[start : start + BATCH]
        chosen = rows[batch]
        images = float_images(torch.from_numpy(real.images[chosen]).to(device))
        with torch.no_grad():
            found = discriminator.score(images, torch.from_numpy(labels[chosen]).to(device))  # type: ignore[operator]
        scores[batch] = found.double().cpu().numpy()
    return scores
