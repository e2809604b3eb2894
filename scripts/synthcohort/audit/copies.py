"""Whether synthetic images are copies of training images, and the closest pairs to look at, which are internal."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.membership import MOVES, PIXELS, Candidates, Sample, move, space_vectors
from synthcohort.audit.neighbours import Arrays, Rows, thin_patients
from synthcohort.core.config import Statistics
from synthcohort.core.store import Images, ImageStore
from synthcohort.measures.attack_scores import whitening
from synthcohort.measures.attacks import Estimate
from synthcohort.measures.authenticity import Closest, closest_training, support_measures
from synthcohort.measures.bootstrap import patient_weights, percentile_interval
from synthcohort.measures.fidelity import GROUPS, jackknife, patient_groups
from synthcohort.measures.neighbours import in_blocks, nearest_neighbours, nearest_ratio

IMAGES = 1000
"""Synthetic images at most: each is looked for among all training images, in each of `MOVES`."""
PAIRS = 6
SUPPORT_MEASURES = ("alpha_precision", "beta_recall")


class Copies(NamedTuple):
    """Some of a sample's images, chosen by chance, and the training image closest to each."""

    images: Images
    groups: NDArray[Any]
    vectors: NDArray[Any]
    closest: Closest


class CopySearch:
    """All training images as vectors of one space, among which copied ones are sought.

    Parameters
    ----------
    candidates : Candidates
        Says which space.
    real : ImageStore
        The cohort.
    training : pandas.DataFrame
        ``row`` and ``patient_id`` of the training images.
    """

    def __init__(self, candidates: Candidates, real: ImageStore, training: pd.DataFrame) -> None:
        self.space, self.real, self.table = candidates.space, real, training
        self.rows: Rows = training["row"].to_numpy()
        self.vectors = space_vectors(self.space, real.images, self.rows)

    def closest(self, sample: Sample, vectors: NDArray[Any], rng: np.random.Generator) -> Copies:
        """Find the training images closest to a sample's, whichever of `MOVES` brings each there; `IMAGES` at most."""
        chosen = np.sort(rng.permutation(len(vectors))[:IMAGES])
        images = np.asarray(sample.images[chosen])
        moved = np.stack([self.space.vectors(move(images, *steps)) for steps in MOVES])
        distances = [nearest_neighbours(placed, in_blocks(self.vectors), 1, self.space.metric)[0] for placed in moved]
        best = moved[np.argmin(distances, axis=0)[:, 0], np.arange(len(images))]
        found = closest_training(best, self.vectors, self.space.metric)
        return Copies(images, sample.groups[chosen], vectors[chosen], found)

    def copy_measures(
        self, copies: Copies, statistics: Statistics, rng: np.random.Generator
    ) -> Iterator[tuple[str, int, Estimate]]:
        """Measure authenticity and, of features, α-precision and β-recall; each with the number of synthetic images.

        α-precision and β-recall compare as many training images, of patients chosen by chance.
        """
        authentic = copies.closest.authentic
        weights = patient_weights(copies.groups, statistics.bootstrap, rng)
        drawn = weights @ authentic / weights.sum(axis=1)
        interval = percentile_interval(drawn, statistics.confidence)
        yield "authenticity", len(authentic), Estimate(float(authentic.mean()), *interval)
        if self.space.name == PIXELS:
            return
        count = min(len(copies.vectors), len(self.table))
        places = self.table.assign(row=np.arange(len(self.table)))
        real = thin_patients(places, count, rng)
        made = np.sort(rng.permutation(len(copies.vectors))[:count])
        axes = whitening(self.vectors[real])
        x, y = (axes.transform(part.astype(np.float64)) for part in (self.vectors[real], copies.vectors[made]))

        def measure(kept: NDArray[np.bool_], kept_made: NDArray[np.bool_]) -> NDArray[np.float64]:
            return np.array(list(support_measures(x[kept], y[kept_made]).values()))

        patients = (self.table["patient_id"].to_numpy()[real], copies.groups[made])
        number = min(GROUPS, *(len(pd.unique(names)) for names in patients))
        dealt = [patient_groups(names, number, rng) for names in patients]
        for name, *estimate in zip(SUPPORT_MEASURES, *jackknife(measure, dealt, statistics.confidence), strict=True):
            yield name, count, Estimate(*(float(np.clip(end, 0, 1)) for end in estimate))

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
            "training": np.stack([self.real.images[row] for row in self.rows[closest.indices[first]]]),
            "distances": closest.distances[first],
            "ratios": ratios[first],
        }
