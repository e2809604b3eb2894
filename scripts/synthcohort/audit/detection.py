"""Whether a machine can tell synthetic images from real ones."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch.optim.swa_utils import update_bn

from synthcohort.audit.judge import noised
from synthcohort.audit.neighbours import HELD_OUT
from synthcohort.audit.utility import combine_metrics
from synthcohort.audit.vocabulary import NOISE
from synthcohort.classify.networks import build_network, to_input
from synthcohort.classify.predict import logits
from synthcohort.classify.training import Training
from synthcohort.core.config import Classifier, Statistics
from synthcohort.core.errors import TooFewImagesError
from synthcohort.core.experiment import REAL
from synthcohort.core.store import Finding, Images, ImageStore, StoreInfo
from synthcohort.gan.data import known_labels
from synthcohort.measures.auroc import weighted_auroc
from synthcohort.measures.bootstrap import patient_weights, percentile_interval
from synthcohort.measures.neighbours import in_blocks

FOLDS = 5
LIMIT = 1500
"""Images of each kind at most."""
NETWORK = "small"
KIMG = 5.0
"""Length of each fold's training, thousand images: enough for the noise of the positive control."""

Rows = NDArray[np.int64]


class Comparison(NamedTuple):
    """Images of two kinds, and what is cut and resampled together."""

    images: Images
    kinds: NDArray[np.float32]
    """1 for those to be told from real ones, 0 for the real ones."""
    groups: NDArray[np.int64]


class PooledStore(ImageStore):
    """Images in memory whose one label says which kind they are; nothing is written, as real images are among them.

    Parameters
    ----------
    images : numpy.ndarray
        uint8 ``[N, C, H, W]``.
    kinds : numpy.ndarray
        float32 ``[N]`` of 0 and 1.
    """

    def __init__(self, images: Images, kinds: NDArray[np.float32]) -> None:
        self.images = images
        self.records = pd.DataFrame({"synthetic": kinds})
        self.info = StoreInfo(
            cohort="", findings=[Finding(name="synthetic", display="Synthetic")], units="", windows=[],
            resolution=images.shape[-1], channels=images.shape[1], images=len(images), simulated=False,
        )  # fmt: skip


def detection_metrics(
    keys: Mapping[str, str],
    synthetic: Mapping[str, ImageStore],
    real: ImageStore,
    selection: pd.DataFrame,
    statistics: Statistics,
    seed: int,
    device: torch.device,
) -> pd.DataFrame:
    """Let a small network tell synthetic images from real ones that the generators never saw.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis``, ``level`` and ``replicate``.
    synthetic : mapping of str to ImageStore
        Each family's sample.
    real : ImageStore
        The cohort.
    selection : pandas.DataFrame
        The experiment's rows of `real`: ``row``, ``patient_id``, ``side`` (train, valid or test).
    statistics : Statistics
        Resamples and level of the intervals.
    seed : int
        Chooses images, cuts folds, starts networks, makes noise and resamples.
    device : torch.device
        Where to compute.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet: ``machine_auroc`` and ``machine_accuracy`` (chance 0.5; both kinds are as many), from
        scores of networks that saw neither an image nor its patient. Intervals are over patients and synthetic images,
        whose number together is `n`; they do not tell how other trainings would differ.

        Role ``value``, per family: held-out real images (valid and test) against synthetic ones. The controls have the
        source ``real`` and hold for all families. ``negative_control``: held-out against training images, both real,
        which nothing but chance can tell apart. ``positive_control``: the same, but the training images have noise
        (`NOISE`), which must be found. In each, both kinds have the same label combinations equally often; images
        without a partner are left out, and there are at most `LIMIT` of a kind.

    Raises
    ------
    TooFewImagesError
        When fewer than `FOLDS` images of each kind share their labels, or too few patients are held out.
    """
    patients = pd.Series(pd.factorize(selection["patient_id"])[0], index=selection["row"])
    rows = []
    for source, role, comparison in _comparisons(synthetic, real, selection, patients, seed):
        scores = cross_fitted_scores(comparison, seed, device)
        rng = np.random.default_rng(seed)
        for metric, value, interval in _measure(comparison, scores, statistics, rng):
            rows.append(
                {
                    **keys,
                    "source": source,
                    "metric": metric,
                    "finding": "",
                    "role": role,
                    "features": NETWORK,
                    "parameter": f"noise-{NOISE:g}" if role == "positive_control" else "",
                    "value": value,
                    "ci_low": interval[0],
                    "ci_high": interval[1],
                    "n": len(np.unique(comparison.groups)),
                    "simulated": real.info.simulated,
                }
            )
    return combine_metrics([pd.DataFrame(rows)])


def _comparisons(
    synthetic: Mapping[str, ImageStore], real: ImageStore, selection: pd.DataFrame, patients: pd.Series, seed: int
) -> Iterator[tuple[str, str, Comparison]]:
    """Put together, one after the other, what is to be told apart: its source, its role, and the images."""
    training = selection["side"] == "train"
    held_out = selection.loc[selection["side"].isin(HELD_OUT), "row"].to_numpy()
    for family, sample in synthetic.items():
        rng = np.random.default_rng(seed)
        own, drawn = match_labels(real.labels, held_out, sample.labels, np.arange(len(sample)), LIMIT, rng)
        alone = len(patients) + np.arange(len(drawn))
        yield family, "value", compare_images(real.images[own], sample.images[drawn], patients[own].to_numpy(), alone)
    rng = np.random.default_rng(seed)
    first, second = match_labels(
        real.labels, held_out, real.labels, selection.loc[training, "row"].to_numpy(), LIMIT, rng
    )
    groups = patients[first].to_numpy(), patients[second].to_numpy()
    before, after = real.images[first], real.images[second]
    yield REAL, "negative_control", compare_images(before, after, *groups)
    yield REAL, "positive_control", compare_images(before, noised(after, NOISE, rng), *groups)


def match_labels(
    first_labels: NDArray[np.float32],
    first: Rows,
    second_labels: NDArray[np.float32],
    second: Rows,
    limit: int,
    rng: np.random.Generator,
) -> tuple[Rows, Rows]:
    """Choose as many rows of two stores, with the same label combinations equally often.

    Parameters
    ----------
    first_labels, second_labels : numpy.ndarray
        float32 ``[N, findings]`` of each store; unknown (NaN) counts as absent, as it does for a generator.
    first, second : numpy.ndarray
        int64: rows to choose from.
    limit : int
        Rows of each at most: those that have a partner keep the shares of their combinations but for chance.
    rng : numpy.random.Generator
        Chooses among rows of the same labels.

    Returns
    -------
    tuple of numpy.ndarray
        int64 rows of the first and of the second store; entry i of both has the same labels.
    """
    labels = np.concatenate([known_labels(first_labels[first]), known_labels(second_labels[second])])
    combination = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    own, other = combination[: len(first)], combination[len(first) :]
    pairs: list[tuple[Rows, Rows]] = [(first[:0], second[:0])]
    for number in range(combination.max(initial=-1) + 1):
        left, right = (rng.permutation(rows[kind == number]) for rows, kind in ((first, own), (second, other)))
        count = min(len(left), len(right))
        pairs.append((left[:count], right[:count]))
    lefts, rights = (np.concatenate(side) for side in zip(*pairs, strict=True))
    chosen = np.sort(rng.permutation(len(lefts))[:limit])
    return lefts[chosen], rights[chosen]


def compare_images(real: Images, other: Images, real_groups: ArrayLike, other_groups: ArrayLike) -> Comparison:
    """Put real and other images of one shape together, with their groups (numbers, the same for the same patient)."""
    kinds = np.repeat(np.array([0, 1], np.float32), [len(real), len(other)])
    groups = np.concatenate([real_groups, other_groups]).astype(np.int64)
    return Comparison(np.concatenate([real, other]), kinds, groups)


def cross_fitted_scores(comparison: Comparison, seed: int, device: torch.device) -> NDArray[np.float64]:
    """Score every image by a network that was trained without it and without any image of its group.

    Parameters
    ----------
    comparison : Comparison
    seed : int
        Of folds, initial weights and order.
    device : torch.device
        Where to compute.

    Returns
    -------
    numpy.ndarray
        float64 logits ``[N]``, above 0 for what looks synthetic.

    Raises
    ------
    TooFewImagesError
        When a kind has fewer images or fewer groups than there are folds.
    """
    images, kinds, groups = comparison
    if min(len(np.unique(groups[kinds == kind])) for kind in (0, 1)) < FOLDS:
        raise TooFewImagesError(
            f"split: fewer than {FOLDS} patients (or synthetic images) share their labels with the other kind, so no "
            "classifier can tell the kinds apart; hold out more patients."
        )
    store = PooledStore(images, kinds)
    settings = Classifier(network=NETWORK, kimg=KIMG)
    # Numbered by first appearance, as scikit-learn cuts by the groups' order.
    numbers = pd.factorize(groups)[0]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    scores = np.full(len(images), np.nan)
    for fold, (train, test) in enumerate(folds.split(numbers, kinds, numbers)):
        network = build_network(NETWORK, store.info.channels, store.info.finding_names, store.info.resolution, seed)
        # Trained for a fixed length: nothing is chosen by looking at the fold, so what is evaluated does not matter.
        training = Training(network, (store, train), (store, train[:1]), settings, seed + fold, device, flip=False)
        while training.kimg < KIMG:
            training.advance()
        # So short a training leaves the normalisation's running statistics far behind the weights: accuracy was 0.5.
        update_bn((to_input(block, device) for block in in_blocks(images, train)), training.average)
        scores[test] = logits(training.average, store, test)[:, 0]
    return scores


def _measure(
    comparison: Comparison, scores: NDArray[np.float64], statistics: Statistics, rng: np.random.Generator
) -> list[tuple[str, float, tuple[float, float]]]:
    """AUROC and accuracy with intervals over groups."""
    kinds, everyone = comparison.kinds, np.ones((1, len(scores)))
    correct = (scores > 0) == (kinds == 1)
    weights = patient_weights(comparison.groups, statistics.bootstrap, rng)
    aurocs = weighted_auroc(kinds, scores, weights)
    accuracies = weights @ correct / weights.sum(axis=1)
    return [
        ("machine_auroc", float(weighted_auroc(kinds, scores, everyone)[0]),
         percentile_interval(aurocs, statistics.confidence)),
        ("machine_accuracy", float(correct.mean()), percentile_interval(accuracies, statistics.confidence)),
    ]  # fmt: skip
