"""From a generator to synthetic images and stores."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from synthcohort.core.atomic import file_digest, read_json
from synthcohort.core.checkpoint import read_weights
from synthcohort.core.errors import UserError
from synthcohort.core.progress import track
from synthcohort.core.store import Images, StoreInfo, write_store
from synthcohort.gan.data import images_at_once, known_labels, random_stream
from synthcohort.gan.layers import byte_images, float_images, place
from synthcohort.gan.registry import load_family

BATCH = 100


def load_generator(folder: Path, device: torch.device) -> nn.Module:
    """Build a trained generator from ``generator.json`` and ``generator.safetensors``.

    Raises
    ------
    UserError
        When the family is unknown, or the weights are damaged or do not fit.
    """
    card = read_json(folder / "generator.json")
    generator = load_family(card["family"]).generator(**card["architecture"])
    weights = read_weights(folder / "generator.safetensors")
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError("generator.safetensors does not fit generator.json ; train this generator again.") from error
    return place(generator, device).eval().requires_grad_(False)


def draw_labels(labels: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Draw label vectors from the training distribution of combinations.

    A rare combination could point at one patient: the config's `minimum_combination` keeps it out of every experiment.

    Parameters
    ----------
    labels : numpy.ndarray
        float32 ``[n, findings]`` of training images; unknown (NaN) counts as absent.
    count : int
        How many to draw.
    seed : int
        Of the drawing.

    Returns
    -------
    numpy.ndarray
        float32 ``[count, findings]`` of 0 and 1.
    """
    combinations, counts = np.unique(known_labels(labels), axis=0, return_counts=True)
    return draw_combinations(combinations, counts, random_stream(seed, "labels", 0), count)


def draw_combinations(
    combinations: NDArray[np.float32], weights: NDArray[Any], stream: np.random.Generator, count: int
) -> NDArray[np.float32]:
    """Draw `count` rows of ``[K, findings]``, with probabilities in proportion to `weights`."""
    return combinations[stream.choice(len(combinations), count, p=weights / weights.sum())]


def wanted_labels(
    labels: Mapping[str, NDArray[np.float32]],
    side: str,
    seed: int,
    amount: float = 1.0,
    copied: bool = False,
    histogram: Mapping[str, Any] | None = None,
) -> NDArray[np.float32]:
    """Choose the label vectors of one side of a synthetic cohort.

    Parameters
    ----------
    labels : mapping
        float32 ``[n, findings]`` of the real images, by side.
    side : str
        ``train`` or ``valid``.
    seed : int
        Of the drawing.
    amount : float
        How many per real image; at least one in all.
    copied : bool
        One image per real label vector of this side, in their order, as the paper did (it tells how many real patients
        have which findings); otherwise drawn from the training distribution, see `draw_labels`.
    histogram : mapping, optional
        A private generator's ``label_histogram`` from generator.json: drawn from in place of the training distribution.
    """
    own = labels[side]
    count = max(1, round(amount * len(own)))
    if histogram is not None:
        combinations = np.array(histogram["combinations"], np.float32)
        stream = random_stream(seed, "labels", 0)
        return draw_combinations(combinations, np.array(histogram["patients"]), stream, count)
    return known_labels(own) if copied else draw_labels(labels["train"], count, seed)


def block_size(generator: nn.Module, findings: int, candidates: int = 1) -> int:
    """Label vectors whose images, or candidates for them, are generated together: fewer where images are large."""
    device = next(generator.parameters()).device
    latents = torch.zeros(1, int(generator.latent), device=device)  # type: ignore[arg-type]
    with torch.no_grad():
        side = generator(latents, torch.zeros(1, findings, device=device)).shape[-1]
    return max(1, images_at_once(side, BATCH * candidates) // candidates)


def sample_images(
    generator: nn.Module, labels: NDArray[np.float32], seed: int, batch: int | None = None
) -> Iterator[Images]:
    """Generate one image per label vector, block by block; the noise does not depend on the size of the blocks.

    Yields
    ------
    numpy.ndarray
        uint8 ``[batch, C, H, W]``.
    """
    device = next(generator.parameters()).device
    batch = batch or block_size(generator, labels.shape[1])
    stream = random_stream(seed, "samples", 0)
    for start in range(0, len(labels), batch):
        block = torch.from_numpy(labels[start : start + batch]).to(device)
        noise = stream.standard_normal((len(block), int(generator.latent)), dtype=np.float32)  # type: ignore[arg-type]
        with torch.no_grad():
            yield byte_images(generator(torch.from_numpy(noise).to(device), block)).cpu().numpy()


def choose_images(
    generator: nn.Module, labels: NDArray[np.float32], seed: int, guide: nn.Module, candidates: int
) -> Iterator[Images]:
    """Generate several images per label vector and keep the one whose labels the guide recognises best.

    Rejection sampling by a classifier: it takes out images that show other findings than they are labelled with.

    Parameters
    ----------
    generator, labels, seed
        See `sample_images`.
    guide : module
        Maps float images in −1..1 to logits ``[N, findings]``.
    candidates : int
        Images per label vector; the smallest binary cross entropy of the guide's logits decides.

    Yields
    ------
    numpy.ndarray
        uint8 ``[batch, C, H, W]``.
    """
    device = next(generator.parameters()).device
    repeated = np.repeat(labels, candidates, 0)
    batch = block_size(generator, labels.shape[1], candidates) * candidates
    for start, images in enumerate(sample_images(generator, repeated, seed, batch)):
        wanted = torch.from_numpy(repeated[start * batch :][: len(images)]).to(device)
        with torch.no_grad():
            logits = guide(float_images(torch.from_numpy(images).to(device)))
        losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1)
        best = losses.view(-1, candidates).argmin(1).cpu().numpy()
        yield images.reshape(-1, candidates, *images.shape[1:])[np.arange(len(best)), best]


def sample_grid(generator: nn.Module, combinations: NDArray[np.float32], columns: int, seed: int) -> Images:
    """Generate `columns` images of each combination, from the same noise in every row.

    Returns
    -------
    numpy.ndarray
        uint8 ``[combinations, columns, C, H, W]``.
    """
    rows = [
        np.concatenate(list(sample_images(generator, np.repeat(row[None], columns, 0), seed))) for row in combinations
    ]
    return np.stack(rows)


def sample_to_store(
    generator_folder: Path,
    labels: NDArray[np.float32],
    folder: Path,
    info: StoreInfo,
    seed: int,
    device: torch.device,
    first: int = 1,
    guide: nn.Module | None = None,
    candidates: int = 1,
) -> StoreInfo:
    """Write a synthetic ImageStore, one image per label vector, each image its own patient.

    Parameters
    ----------
    generator_folder : Path
        Folder with ``generator.safetensors`` and ``generator.json``.
    labels : numpy.ndarray
        float32 ``[N, findings]``, for example from `draw_labels`.
    folder : Path
        Where to write, for example ``synthetic/train``.
    info : StoreInfo
        Of the real store: cohort, findings, units and windows are taken over.
    seed : int
        Of the noise; give train and validation images different ones.
    device : torch.device
        Where to generate.
    first : int
        Number of the first image and patient, so that train and validation stores share none.
    guide, candidates
        See `choose_images`; one candidate needs no guide.

    Returns
    -------
    StoreInfo
        As written.
    """
    card = read_json(generator_folder / "generator.json")
    generator = load_generator(generator_folder, device)
    numbers = range(first, first + len(labels))
    records = pd.DataFrame(labels, columns=info.finding_names)
    records.insert(0, "image_id", [f"S{number:06d}" for number in numbers])
    records.insert(1, "patient_id", [f"synthetic-{number:06d}" for number in numbers])
    policy = {
        "generated_by": card["family"],
        "generator": file_digest(generator_folder / "generator.safetensors"),
        "kimg": card["kimg"],
        "seed": seed,
        "candidates": candidates,
    }
    update = {"resolution": card["resolution"], "channels": card["channels"], "policy": policy}
    total = -(-len(labels) // block_size(generator, labels.shape[1], candidates))
    if guide is None or candidates == 1:
        blocks = sample_images(generator, labels, seed)
    else:
        blocks = choose_images(generator, labels, seed, guide, candidates)
    return write_store(
        folder, track(blocks, f"{card['family']}: sampling", total, "blocks"), records, info.model_copy(update=update)
    )
