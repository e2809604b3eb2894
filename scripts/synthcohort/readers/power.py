"""What a planned reader study can find out."""

import warnings
from dataclasses import asdict, dataclass
from typing import Any

from statsmodels.stats.power import normal_power
from statsmodels.stats.proportion import power_ztost_prop
from statsmodels.tools.sm_exceptions import HypothesisTestWarning

CHANCE = 0.5
READER_DEVIATION = 0.05
"""Assumed standard deviation of the readers' own accuracies."""
IMAGE_CORRELATION = 0.1
"""Assumed correlation of two readers' being right about the same image."""


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
    Metz 1992).

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
        By the normal approximation, which is kind to studies with few readers.
    """
    variance = CHANCE * (1 - CHANCE)
    of_reader = reader_deviation**2 / variance
    rest = (1 - of_reader - image_correlation) / (readers * images)
    effective = 1 / (of_reader / readers + image_correlation / images + rest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisTestWarning)  # of a study too small for any equivalence: power 0
        limits = (CHANCE - margin, CHANCE + margin)
        equivalence = power_ztost_prop(*limits, effective, CHANCE, alpha=alpha, variance_prop=CHANCE, discrete=False)[0]
    detection = normal_power(margin / variance**0.5, effective, alpha)
    return Power(readers, images, margin, effective, float(max(0.0, equivalence)), float(detection))


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
