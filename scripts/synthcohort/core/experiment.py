"""Experiments: one axis at one level of one cohort."""

from dataclasses import dataclass

from synthcohort.core.config import Axis

REAL = "real"
LEVEL_DIGITS = {"resolution": 3, "classes": 3, "samples": 5, "amount": 4}


@dataclass(frozen=True)
class Experiment:
    """One axis at one level of one cohort."""

    cohort: str
    axis: Axis
    level: int

    @property
    def name(self) -> str:
        """For example ``resolution-032``, as in paths."""
        return f"{self.axis.axis}-{self.level:0{LEVEL_DIGITS[self.axis.axis]}d}"

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.level if self.axis.axis == "resolution" else self.axis.resolution

    @property
    def sources(self) -> list[str]:
        """What classifiers are trained on: real images, each family's, and mixtures of both."""
        families = self.axis.families
        return [REAL, *families, *(f"{kind}-{family}" for kind in self.axis.mixtures for family in families)]

    @property
    def home(self) -> str:
        """Name of the experiment that trains this one's generators and real classifier.

        The levels of the amount axis differ in nothing but the number of samples, so the lowest level trains for all.
        """
        return Experiment(self.cohort, self.axis, min(self.axis.levels)).name if self.shares else self.name

    @property
    def shares(self) -> bool:
        """Whether the levels of this axis share what is trained."""
        return self.axis.axis == "amount"

    @property
    def amount(self) -> float:
        """Synthetic images per real one."""
        return self.level / 100 if self.axis.axis == "amount" else 1.0
