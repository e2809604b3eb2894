"""What a planned reader study can find out."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from synthcohort.measures.crossed import CHANCE, FEWEST_READERS

READER_DEVIATION = 0.05
"""Assumed standard deviation of the readers' own accuracies."""
IMAGE_CORRELATION = 0.1
"""Assumed correlation of two readers' being right about the same image."""
GRID = 1000
"""Quantiles of the variance that are averaged over."""


@dataclass(frozen=True)
class Power:
    """Power of a reader study, or of a part of it."""

    readers: int
    images: int
    margin: float
    effective: float
    """Independent answers that would be as good as all answers together."""
    equivalence: float
    """Probability to show that accuracy is within 0.5 ± margin, where readers guess."""
    detection: float
    """Probability to show that readers do better than chance, where their accuracy is 0.5 + margin."""

    def to_json(self) -> dict[str, Any]:
        """As JSON-serialisable numbers."""
        return asdict(self)


def planned_power(
    readers: int,
    images: int,
    margin: float,
    alpha: float = 0.05,
    reader_deviation: float = READER_DEVIATION,
    image_correlation: float = IMAGE_CORRELATION,
) -> Power:
    """Compute the power of a study in which every reader sees every image.

    Readers differ, and some images are easy for all: answers are therefore not independent. With the share r of an
    answer's variance 0.25 that belongs to the reader and i that belongs to the image, the variance of the pooled
    accuracy is 0.25 · (r / readers + i / images + (1 − r − i) / (readers · images)) (both random: Dorfman, Berbaum and
    Metz 1992). As in the analysis, quantiles are Student's, with the degrees of freedom that few readers leave (Hillis
    2007).

    Parameters
    ----------
    readers : int
        Number of readers.
    images : int
        Images that each sees (first showings).
    margin : float
        Largest distance from 0.5 that counts as chance.
    alpha : float
        Level of each test: two one-sided tests for equivalence (Schuirmann 1987), a two-sided one for detection.
    reader_deviation : float
        Standard deviation of the readers' own accuracies.
    image_correlation : float
        Correlation of two readers' being right about the same image.

    Returns
    -------
    Power
        Averaged over how far the variance that a study finds may be from the true one; 0 with fewer readers than
        `FEWEST_READERS`, as no test over readers is made.
    """
    variance = CHANCE * (1 - CHANCE)
    of_reader = reader_deviation**2 / variance
    rest = (1 - of_reader - image_correlation) / (readers * images)
    told_by_readers = of_reader / readers + rest
    effective = 1 / (told_by_readers + image_correlation / images)
    degrees = max(1, readers - 1) / (told_by_readers * effective) ** 2
    away = margin / (variance / effective) ** 0.5
    found = (stats.chi2.ppf((np.arange(GRID) + 0.5) / GRID, degrees) / degrees) ** 0.5
    one_sided, two_sided = (found * stats.t.ppf(1 - level, degrees) for level in (alpha, alpha / 2))
    if readers < FEWEST_READERS:
        return Power(readers, images, margin, effective, 0.0, 0.0)
    equivalence = np.maximum(0, 2 * stats.norm.cdf(away - one_sided) - 1).mean()
    detection = (stats.norm.sf(two_sided - away) + stats.norm.cdf(-two_sided - away)).mean()
    return Power(readers, images, margin, effective, float(equivalence), float(detection))


def describe_power(whole: Power, part: Power, parts: int) -> list[str]:
    """Say in lines for the terminal what the study, and each of its parts alone, can find out."""
    named = [("All images together", whole), ("One cohort, family and resolution", part)]
    lines = [
        f"{name}: {power.readers} readers × {power.images} images. Power {power.equivalence:.2f} to show that readers "
        f"who guess are within 0.5 ± {power.margin:g}, {power.detection:.2f} to find an accuracy of "
        f"{CHANCE + power.margin:g}."
        for name, power in named[: 1 + (parts > 1)]
    ]
    assumed = (
        f"Assumed: level 0.05, readers' accuracies differ by {READER_DEVIATION:g} (standard deviation), two readers' "
        f"being right about an image correlates by {IMAGE_CORRELATION:g}."
    )
    return [*lines, assumed]
