"""Re-identification: a network that learns which images of other people show the same patient.

Packhäuser et al., Deep learning-based patient re-identification is able to exploit the biometric nature of medical
chest X-ray data, Scientific Reports 2022. There a siamese network decides about pairs; here the two images' features
are compared by their cosine, so that the nearest synthetic image can be searched like any other neighbour.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, normalize

from synthcohort.audit.judge import noised
from synthcohort.audit.membership import SHIFTS, move
from synthcohort.audit.neighbours import Rows, Space
from synthcohort.audit.privacy_vocabulary import VERIFIER
from synthcohort.classify.networks import Network, build_network, to_input
from synthcohort.core.config import Statistics
from synthcohort.core.errors import TooFewImagesError
from synthcohort.core.store import Images, ImageStore
from synthcohort.gan.features import GuideFeatures, feature_vectors
from synthcohort.measures.attacks import Estimate
from synthcohort.measures.auroc import weighted_auroc
from synthcohort.measures.bootstrap import patient_weights, percentile_interval
from synthcohort.measures.neighbours import in_blocks

NETWORK = "small"
SPACE = f"{VERIFIER} ({NETWORK})"
KIMG = 20.0
"""Length of the training, thousand images."""
PATIENTS = 32
"""Patients in a batch, with two images each: the others of the batch are the wrong answers."""
SCALE = 10.0
"""What cosines are multiplied by before they become probabilities."""
LEARNING_RATE = 2e-3
FEWEST = 20
"""Patients with several studies at least."""


class Pairs(NamedTuple):
    """Images of patients with several studies: the patient's number and the study of each."""

    rows: Rows
    patients: NDArray[np.int64]
    studies: NDArray[np.int64]


def several_studies(real: ImageStore, rows: Rows) -> Pairs:
    """Keep the images of patients who have several studies among some rows of a store.

    Raises
    ------
    TooFewImagesError
        When there are fewer than `FEWEST` such patients.
    """
    records = real.records.iloc[rows]
    several = records.groupby("patient_id")["study_id"].transform("nunique") > 1
    kept = records[several]
    patients, names = pd.factorize(kept["patient_id"])
    if len(names) < FEWEST:
        raise TooFewImagesError(
            f"re-identification needs {FEWEST} patients with several studies, and there are {len(names)} to learn from."
        )
    return Pairs(rows[several.to_numpy()], patients, pd.factorize(kept["study_id"])[0])


def patients_with_several(real: ImageStore, rows: Rows) -> int:
    """Count the patients who have several studies among some rows of a store."""
    return int((real.records.iloc[rows].groupby("patient_id")["study_id"].nunique() > 1).sum())


def draw_pairs(pairs: Pairs, patients: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw patients, each once, and of each two images of different studies.

    Returns
    -------
    tuple of numpy.ndarray
        int64 ``[patients]`` each: positions within `pairs`.
    """
    order = rng.permutation(len(pairs.rows))
    chosen = rng.permutation(pairs.patients.max() + 1)[:patients]
    first = pd.Series(order, index=pairs.patients[order]).groupby(level=0).first().loc[chosen].to_numpy()
    study_of = dict(zip(chosen.tolist(), pairs.studies[first].tolist(), strict=True))
    other = order[
        [pairs.studies[place] != study_of.get(pairs.patients[place], pairs.studies[place]) for place in order]
    ]
    second = pd.Series(other, index=pairs.patients[other]).groupby(level=0).first().loc[chosen].to_numpy()
    return first, second


def train_verifier(real: ImageStore, rows: Rows, seed: int, device: torch.device) -> Network:
    """Train a network whose features of two images are alike where they show the same patient.

    Each batch holds two images of each of some patients, from different studies, moved by up to a pixel and with a
    little noise, as a replayed image would be; of each first image the network has to find the second one.

    Parameters
    ----------
    real : ImageStore
        The cohort.
    rows : numpy.ndarray
        int64: images to learn from, of patients whom nobody attacks.
    seed : int
        Of weights, batches and changes.
    device : torch.device
        Where to compute.

    Returns
    -------
    Network
        In evaluation mode; its pooled features are meant, its head is not trained.

    Raises
    ------
    TooFewImagesError
        When too few patients have several studies.
    """
    pairs, rng = several_studies(real, rows), np.random.default_rng(seed)
    network = build_network(NETWORK, real.info.channels, ["patient"], real.info.resolution, seed).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    steps = round(KIMG * 1000 / (2 * PATIENTS))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        views = []
        for places in draw_pairs(pairs, PATIENTS, rng):
            images = _changed(real.images[pairs.rows[places]], rng)
            views.append(normalize(network.pooled(to_input(images, device)).float(), dim=1))
        logits = SCALE * views[0] @ views[1].T
        answers = torch.arange(len(logits), device=device)
        loss = (cross_entropy(logits, answers) + cross_entropy(logits.T, answers)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval().requires_grad_(False)


def verifier_space(network: Network) -> Space:
    """Measure distances by the cosine of a verifier's features."""
    features, device = GuideFeatures(network), next(network.parameters()).device

    def pooled(images: Images) -> NDArray[np.float32]:
        return feature_vectors(features, (to_input(np.array(block), device) for block in in_blocks(images)))

    return Space(SPACE, "cosine", pooled)


def verification_auroc(
    network: Network, real: ImageStore, rows: Rows, statistics: Statistics, rng: np.random.Generator
) -> tuple[Estimate, int]:
    """Measure how well a verifier tells two studies of one patient from those of two patients.

    Parameters
    ----------
    network : Network
        See `train_verifier`.
    real : ImageStore
        The cohort.
    rows : numpy.ndarray
        int64: images of patients that the verifier did not learn from. Each patient gives one pair of either kind.
    statistics : Statistics
        Resamples of patients, and level of the interval.
    rng : numpy.random.Generator
        Draws pairs and resamples.

    Returns
    -------
    Estimate, int
        AUROC, and the number of patients.

    Raises
    ------
    TooFewImagesError
        When too few patients have several studies.
    """
    pairs = several_studies(real, rows)
    first, second = draw_pairs(pairs, len(np.unique(pairs.patients)), rng)
    vectors = verifier_space(network).vectors(np.asarray(real.images[pairs.rows]))
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    others = np.roll(second, 1)  # every patient comes once, so the next one's image is another patient's
    scores = np.concatenate([(vectors[first] * vectors[partner]).sum(axis=1) for partner in (second, others)])
    same = np.repeat([True, False], len(first))
    weights = patient_weights(np.tile(pairs.patients[first], 2), statistics.bootstrap, rng)
    area = weighted_auroc(same, scores.astype(np.float64), np.vstack([np.ones((1, len(same))), weights]))
    return Estimate(float(area[0]), *percentile_interval(area[1:], statistics.confidence)), len(first)


def _changed(images: Images, rng: np.random.Generator) -> Images:
    """Move each image by one of `SHIFTS`, and add noise of up to 8 grey levels."""
    drawn = rng.integers(len(SHIFTS), size=len(images))
    moved = np.stack([move(image[None], *SHIFTS[number])[0] for image, number in zip(images, drawn, strict=True)])
    return noised(moved, float(rng.uniform(0, 8)), rng)
