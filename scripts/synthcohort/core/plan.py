"""What a config asks for, without looking at any data: experiments, sources, paths."""

from dataclasses import dataclass
from pathlib import Path

from synthcohort.core import versions
from synthcohort.core.atomic import value_digest
from synthcohort.core.config import Axis, Cohort, Generator, Study

LEVEL_DIGITS = {"resolution": 3, "classes": 3, "samples": 5}


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


def experiments(study: Study) -> list[Experiment]:
    """Every experiment of a study, in the order of cohorts, axes and levels."""
    return [
        Experiment(cohort.name, axis, level)
        for cohort in study.cohorts
        for axis in study.axes
        if not axis.cohorts or cohort.name in axis.cohorts
        for level in axis.levels
    ]


def resolutions(study: Study, cohort: str) -> list[int]:
    """Every resolution that a cohort's experiments need, ascending."""
    return sorted({experiment.resolution for experiment in experiments(study) if experiment.cohort == cohort})


def replicates(study: Study) -> list[str]:
    """Name the replicates ``r0``, ``r1`` and so on."""
    return [f"r{number}" for number in range(study.replicates)]


def cohort_config(study: Study, name: str) -> Cohort:
    """Find the config of one cohort."""
    return next(cohort for cohort in study.cohorts if cohort.name == name)


def generator_config(study: Study, family: str) -> Generator:
    """The config of one family; its defaults where the study says nothing."""
    return next(
        (entry for entry in study.generators if entry.family == family), Generator.model_validate({"family": family})
    )


def phantom_folder(cohort: Cohort) -> Path:
    """Name the folder of an embedded cohort: its digest keeps different drawings apart, studies share equal ones."""
    assert cohort.phantom is not None
    digest = value_digest({"phantom": cohort.phantom.model_dump(mode="json"), "version": versions.DRAW})
    return Path("data") / f"{cohort.name}-{digest[:10]}"
