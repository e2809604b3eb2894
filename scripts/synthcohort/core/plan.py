"""What a config asks for, without looking at any data: experiments, runs, sources of images, paths."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthcohort.core import versions
from synthcohort.core.atomic import value_digest
from synthcohort.core.cohort_config import Cohort, Ingest, OwnData
from synthcohort.core.config import Classifier, Generator, StopRule, Study
from synthcohort.core.experiment import REAL, Experiment
from synthcohort.core.families import FAMILIES

FIRST_STAGE = 8  # side of the images that growing families begin with


class Plan:
    """A study's experiments and paths, as the rules ask for them.

    Parameters
    ----------
    study : Study
        The checked config.

    Attributes
    ----------
    experiments : list of Experiment
        In the order of cohorts, axes and levels.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.experiments = [
            Experiment(cohort.name, axis, level)
            for cohort in study.cohorts
            for axis in study.axes
            if not axis.cohorts or cohort.name in axis.cohorts
            for level in axis.levels
        ]

    @property
    def cohorts(self) -> list[str]:
        """Names of the cohorts."""
        return [cohort.name for cohort in self.study.cohorts]

    @property
    def axes(self) -> list[str]:
        """Names of the axes, each once."""
        return list(dict.fromkeys(axis.axis for axis in self.study.axes))

    @property
    def families(self) -> list[str]:
        """Names of the generator families that any axis uses."""
        return list(dict.fromkeys(family for axis in self.study.axes for family in axis.families))

    @property
    def sources(self) -> list[str]:
        """Names of everything that classifiers are trained on."""
        return list(dict.fromkeys(source for experiment in self.experiments for source in experiment.sources))

    def family(self, source: str) -> str | None:
        """Name the family behind a source: its own name, or that of a mixture without ``mix-`` or ``pre-``."""
        if source == REAL:
            return None
        return source if source in self.families else source.partition("-")[2]

    @property
    def growing(self) -> list[str]:
        """Names of those families that are trained in stages."""
        return [family for family in self.families if FAMILIES[family].grows]

    @property
    def private(self) -> list[str]:
        """Names of those families that are trained with differential privacy."""
        return [family for family in self.families if FAMILIES[family].private]

    @property
    def replicates(self) -> list[str]:
        """Names of the replicates: r0, r1 and so on."""
        return [f"r{number}" for number in range(self.study.replicates)]

    def shadows(self, replicate: str) -> list[str]:
        """Names of a replicate's shadows, which are trained like replicates: r0s0, r0s1 and so on."""
        return [f"{replicate}s{number}" for number in range(self.study.privacy.shadows)]

    @property
    def resolutions(self) -> list[int]:
        """Every resolution of the study, ascending; all cohorts are prepared at each."""
        return sorted({experiment.resolution for experiment in self.experiments})

    @property
    def sizes(self) -> list[str]:
        """The resolutions as in paths: ``016``, ``032``."""
        return [f"{resolution:03d}" for resolution in self.resolutions]

    def cohort(self, name: str) -> Cohort:
        """Find the config of one cohort."""
        return next(cohort for cohort in self.study.cohorts if cohort.name == name)

    def generator(self, family: str) -> Generator:
        """Find the config of a generator family; defaults where it has none."""
        chosen = (entry for entry in self.study.generators if entry.family == family)
        return next(chosen, Generator(family=family))

    @property
    def classifier(self) -> Classifier:
        """How classifiers are trained, as the protocol has it."""
        ignored = {"class_weights": False} if self.study.protocol.ignore_class_weights else {}
        return self.study.classifier.model_copy(update=ignored)

    @property
    def stop_rule(self) -> StopRule:
        """When generators have learnt enough, as the protocol has it."""
        published = {"images": "training", "samples": 10_000} if self.study.protocol.stop_on_training_images else {}
        return self.study.stop_rule.model_copy(update=published)

    def ingest(self, cohort: str) -> Ingest:
        """Say how a cohort's files become images, as the protocol has it."""
        scaled = {"scale_each_image": True} if self.study.protocol.scale_each_image else {}
        return self.cohort(cohort).ingest.model_copy(update=scaled)

    def mirrors(self, cohort: str) -> bool:
        """Tell whether the classifiers of a cohort mirror their training images."""
        return self.study.protocol.mirror_always or self.cohort(cohort).horizontal_flip

    def generators_mirror(self, cohort: str) -> bool:
        """Tell whether the generators of a cohort do; as published none does, though all classifiers do."""
        return not self.study.protocol.mirror_always and self.cohort(cohort).horizontal_flip

    def training(self, cohort: str, experiment: str, family: str, stage: int | None = None) -> dict[str, Any]:
        """Say how a generator, or one stage of its growth, is trained.

        Narrow, so that another length at another resolution trains nothing again.

        Returns
        -------
        dict
            ``family``, ``scale``, ``resolution``, ``on_the_way`` (the experiment's resolution in stages below it, else
            0), ``changes`` (of the preset's settings), ``augmentations``; ``private`` (folder of the cohort's key) for
            private families; and ``canaries`` where there are some.
        """
        config, full = self.generator(family), self.experiment(cohort, experiment).resolution
        side = stage or full
        changes: dict[str, Any] = {
            "horizontal_flip": self.generators_mirror(cohort),
            "augmentation": None if config.augmentation == "adaptive" else config.augmentation,
            "accumulation": config.accumulation,
        }
        if side in config.kimg:
            changes["kimg"] = config.kimg[side]
        if config.unconditional_term:
            changes["unconditional_term"] = True
        for key in ("epsilon", "delta", "clip"):
            if (value := getattr(config, key)) is not None:
                changes[key] = value
        training = {
            "family": family,
            "scale": config.scale,
            "resolution": side,
            "on_the_way": full if side < full else 0,
            "changes": changes,
            "augmentations": list(self.cohort(cohort).augmentation),
        }
        if FAMILIES[family].private:
            training["private"] = self.source_of_images(cohort)["private"]
        canaries = self.study.privacy.canaries
        return training | ({"canaries": canaries} if canaries else {})

    def cards(self, count: int = 1) -> int:
        """Count the cards that a job asks a cluster for: none where `device` does not insist on them."""
        return count if self.study.device == "cuda" else 0

    @property
    def card_type(self) -> str:
        """Kind of card that a job asks a cluster for; empty for any, or none."""
        return (self.study.gpu_model or "") if self.study.device == "cuda" else ""

    def stages(self, cohort: str, experiment: str, family: str) -> list[tuple[str, int]]:
        """Give the stages of a family's growth up to an experiment's resolution: experiment that trains it, and side.

        The levels of a resolution axis have the same training rows, so each stage is trained once, for the lowest level
        that needs it; ``from_scratch`` trains all of them for every level.
        """
        chosen = self.experiment(cohort, experiment)
        sides = [FIRST_STAGE]
        while sides[-1] < chosen.resolution:
            sides.append(2 * sides[-1])
        if chosen.axis.axis != "resolution" or self.generator(family).from_scratch:
            return [(experiment, side) for side in sides]
        homes = [min(level for level in chosen.axis.levels if level >= side) for side in sides]
        return [(Experiment(cohort, chosen.axis, home).name, side) for home, side in zip(homes, sides, strict=True)]

    def of_cohort(self, name: str) -> list[Experiment]:
        """List the experiments of one cohort."""
        return [experiment for experiment in self.experiments if experiment.cohort == name]

    def experiment(self, cohort: str, name: str) -> Experiment:
        """Find an experiment by its name in paths."""
        return next(experiment for experiment in self.of_cohort(cohort) if experiment.name == name)

    def finest(self, cohort: str) -> Experiment:
        """Find the experiment that stands for a cohort: the highest level of its first axis."""
        first = self.of_cohort(cohort)[0].axis
        return max((item for item in self.of_cohort(cohort) if item.axis == first), key=lambda item: item.level)

    @property
    def finest_names(self) -> list[str]:
        """Names of the experiments that stand for the cohorts, each once."""
        return sorted({self.finest(cohort).name for cohort in self.cohorts})

    @property
    def pictured(self) -> dict[str, dict[str, str]]:
        """Give the wildcards of every run whose images are shown, by a name; of several replicates the first."""
        return {
            f"{experiment.cohort}-{experiment.name}-{family}-{self.replicates[0]}": {
                "cohort": experiment.cohort,
                "experiment": experiment.name,
                "source": family,
                "replicate": self.replicates[0],
            }
            for experiment in self.experiments
            for family in experiment.axis.families
            if experiment.axis.axis == "resolution"
        }

    @property
    def standing(self) -> dict[str, dict[str, str]]:
        """Give the run whose images stand for each cohort: the last family's at the highest resolution."""
        ascending = sorted(self.pictured.values(), key=lambda run: run["experiment"])
        return {run["cohort"]: run for run in ascending}

    @property
    def published(self) -> dict[str, str]:
        """Name, for each cohort that has them, the published values to be laid over its figures."""
        return {cohort.name: cohort.published for cohort in self.study.cohorts if cohort.published}

    def runs(self) -> Iterator[tuple[Experiment, dict[str, str]]]:
        """Give every classifier that an experiment compares: the experiment, and the wildcards of the run that has it.

        The real classifier of an experiment may be its `home`'s.
        """
        for experiment in self.experiments:
            for source in experiment.sources:
                for replicate in self.replicates:
                    yield (
                        experiment,
                        {
                            "cohort": experiment.cohort,
                            "experiment": experiment.home if source == REAL else experiment.name,
                            "source": source,
                            "replicate": replicate,
                        },
                    )

    @property
    def trainings(self) -> dict[str, tuple[str, str]]:
        """Give cohort and axis of every figure of training curves, by its name."""
        pairs = dict.fromkeys((experiment.cohort, experiment.axis.axis) for experiment in self.experiments)
        return {f"{cohort}-{axis}": (cohort, axis) for cohort, axis in pairs}

    def source_of_images(self, cohort: str) -> dict[str, Any]:
        """Say where a cohort's files, labels and secrets lie.

        Returns
        -------
        dict
            ``data`` (as in the config: folder, label table and how to read it), ``masks`` and ``findings`` (embedded
            cohorts only), ``private`` (folder of the pseudonymisation key and the table of paths) and ``simulated``.
        """
        config = self.cohort(cohort)
        if config.data is not None:
            return {
                "data": config.data.model_dump(mode="json"),
                "masks": None,
                "findings": None,
                "private": f"private/{cohort}",
                "simulated": False,
            }
        drawn = phantom_folder(config)
        return {
            "data": OwnData(folder=f"{drawn}/dicom", labels=f"{drawn}/labels.csv").model_dump(mode="json"),
            "masks": f"{drawn}/masks",
            "findings": f"{drawn}/findings.json",
            "private": f"private/{drawn.name}",
            "simulated": True,
        }


def phantom_folder(cohort: Cohort) -> Path:
    """Name the folder of an embedded cohort: its digest keeps different drawings apart, studies share equal ones."""
    assert cohort.phantom is not None
    digest = value_digest({"phantom": cohort.phantom.model_dump(mode="json"), "version": versions.DRAW})
    return Path("data") / f"{cohort.name}-{digest[:10]}"
