"""Whether synthetic images are copies of training images, and the closest pairs to look at, which are internal."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.membership import Moves, Sample, move, space_vectors
from synthcohort.audit.neighbours import Arrays, Rows, Space, thin_patients
from synthcohort.core.config import Statistics
from synthcohort.core.store import Images, ImageStore
from synthcohort.measures.attack_scores import whitening
from synthcohort.measures.attacks import Estimate
from synthcohort.measures.authenticity import Closest, closest_training, support_measures
from synthcohort.measures.bootstrap import patient_weights, percentile_interval
from synthcohort.measures.fidelity import GROUPS, jackknife, patient_groups
from synthcohort.measures.neighbours import in_blocks, nearest_neighbours, nearest_ratio

IMAGES = 500
"""Synthetic images among which copies are sought, at most: each moved in all ways, among all training images."""
SUPPORT_IMAGES = 1000
"""Images of each set at most for α-precision and β-recall, whose time and memory grow with the square."""
PAIRS = 6
SUPPORT_MEASURES = ("alpha_precision", "beta_recall")


class Copies(NamedTuple):
    """Some of a sample's images, chosen by chance, and the training image closest to each."""

    images: Images
    groups: NDArray[Any]
    closest: Closest


class CopySearch:
    """All training images as vectors of one space, among which copied ones are sought.

    Parameters
    ----------
    space : Space
        What distances are measured in.
    real : ImageStore
        The cohort.
    rows : numpy.ndarray
        int64: its training images.
    moves : tuple
        How a synthetic image may differ from one that it repeats.
    """

    def __init__(self, space: Space, real: ImageStore, rows: Rows, moves: Moves) -> None:
        self.space, self.real, self.rows, self.moves = space, real, rows, moves
        self.vectors = space_vectors(space, real.images, rows)

    def closest(self, sample: Sample, rng: np.random.Generator) -> Copies:
        """Find the training images closest to a sample's, whichever move brings each there; `IMAGES` at most."""
        chosen = np.sort(rng.permutation(len(sample.images))[:IMAGES])
        images = np.asarray(sample.images[chosen])
        moved = np.stack([self.space.vectors(move(images, *steps)) for steps in self.moves])
        distances = [nearest_neighbours(placed, in_blocks(self.vectors), 1, self.space.metric)[0] for placed in moved]
        best = moved[np.argmin(distances, axis=0)[:, 0], np.arange(len(images))]
        return Copies(images, sample.groups[chosen], closest_training(best, self.vectors, self.space.metric))

    def pairs(self, copies: Copies) -> Arrays:
        """Images that are closest to a training image for its distance to others, and these, the closest pair first.

        Returns
        -------
        dict of numpy.ndarray
            ``synthetic`` and ``training`` uint8 ``[K, C, H, W]``, ``distances`` and ``ratios`` float64 ``[K]``: to the
            training image, and over that image's distance to the closest other one. No identifiers.
        """
        closest = copies.closest
        ratios = nearest_ratio(closest.distances, closest.radii)
        first = np.argsort(ratios, kind="stable")[:PAIRS]
        return {
            "synthetic": copies.images[first],
            "training": self.real.images[self.rows[closest.indices[first]]],
            "distances": closest.distances[first],
            "ratios": ratios[first],
        }


def authenticity(copies: Copies, statistics: Statistics, rng: np.random.Generator) -> Estimate:
    """Estimate the share of samples that are no copies, see `measures.authenticity`."""
    authentic = copies.closest.authentic
    weights = patient_weights(copies.groups, statistics.bootstrap, rng)
    drawn = weights @ authentic / weights.sum(axis=1)
    return Estimate(float(authentic.mean()), *percentile_interval(drawn, statistics.confidence))


def support_estimates(
    space: Space,
    real: ImageStore,
    training: pd.DataFrame,
    sample: Sample,
    statistics: Statistics,
    rng: np.random.Generator,
) -> Iterator[tuple[str, int, Estimate]]:
    """Measure α-precision and β-recall of a sample beside as many training images, of patients chosen by chance.

    Parameters
    ----------
    space : Space
        Of features.
    real : ImageStore
        The cohort.
    training : pandas.DataFrame
        ``row`` and ``patient_id`` of its training images.
    sample : Sample
        Synthetic images.
    statistics : Statistics
        Level of the intervals.
    rng : numpy.random.Generator
        Makes the choices.

    Yields
    ------
    tuple
        Name, number of images of each set, and estimate.
    """
    count = min(len(sample.images), len(training), SUPPORT_IMAGES)
    rows = thin_patients(training, count, rng)
    made = np.sort(rng.permutation(len(sample.images))[:count])
    found = space_vectors(space, real.images, rows)
    axes = whitening(found)
    x, y = (axes.transform(part.astype(float)) for part in (found, space_vectors(space, sample.images, made)))

    def measure(kept: NDArray[np.bool_], kept_made: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.array(list(support_measures(x[kept], y[kept_made]).values()))

    patients = (training.set_index("row").loc[rows, "patient_id"].to_numpy(), sample.groups[made])
    number = min(GROUPS, *(len(pd.unique(names)) for names in patients))
    dealt = [patient_groups(names, number, rng) for names in patients]
    for name, *estimate in zip(SUPPORT_MEASURES, *jackknife(measure, dealt, statistics.confidence), strict=True):
        yield name, count, Estimate(*(float(np.clip(end, 0, 1)) for end in estimate))
