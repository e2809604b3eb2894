"""How many images a study will have: counted where the config says it, known for public datasets, else asked for."""

from collections.abc import Mapping
from typing import NamedTuple

from synthcohort.cohort.split import SHARES
from synthcohort.core.cohort_config import Cohort
from synthcohort.core.errors import UserError
from synthcohort.core.experiment import Experiment
from synthcohort.core.plan import Plan

FRONTAL = 0.855  # of CheXpert's images, and of the chest phantom's, which follow it
PER_PATIENT = {"head": 5.5, "chest": 2.09}
FINDINGS = {"head": 6, "chest": 14}
DATASETS = {"chexpert": 223_414, "rsna-haemorrhage": 752_803, "nih-chest-xray14": 112_120, "mimic-cxr": 377_110}
DATASETS |= {"vindr-cxr": 18_000}
HAEMORRHAGE = 0.143  # of the RSNA's slices show one; the rest has no finding
ALL_COMBINATIONS = 10  # that a samples axis over "all" combinations is assumed to have


class CohortSize(NamedTuple):
    """A cohort's files, images that can be used, channels and findings."""

    files: int
    images: int
    channels: int
    findings: int


class Sides(NamedTuple):
    """Images of an experiment, at most."""

    train: int
    valid: int
    test: int


class Sizes:
    """Numbers of images, before any file is read.

    Parameters
    ----------
    plan : Plan
        The study's plan.
    files : mapping of str to int
        For cohorts whose size is not known, or is to be another, their number of files.

    Raises
    ------
    UserError
        When a number is missing, or names no cohort.
    """

    def __init__(self, plan: Plan, files: Mapping[str, int] | None = None) -> None:
        given = dict(files or {})
        if unknown := sorted(set(given) - set(plan.cohorts)):
            raise UserError(f"--images: there is no cohort '{unknown[0]}'; the cohorts are {', '.join(plan.cohorts)}.")
        self.cohorts = {cohort.name: _size(cohort, given.get(cohort.name)) for cohort in plan.study.cohorts}
        self.unequal_totals = plan.study.protocol.unequal_totals

    def sides(self, experiment: Experiment) -> Sides:
        """Images of an experiment: what its axis asks for, but no more than the cohort has."""
        axis, level = experiment.axis, experiment.level
        there = {side: int(share * self.cohorts[experiment.cohort].images) for side, share in SHARES.items()}
        combinations = 1
        train = there["train"]
        if axis.axis == "classes":
            combinations = level
            train = axis.images[level] * level if self.unequal_totals else axis.train_images
        elif axis.axis == "samples":
            combinations = ALL_COMBINATIONS if axis.combinations == "all" else axis.combinations
            train = level * combinations
        asked = Sides(
            train, *((limit or there["train"]) * combinations for limit in (axis.valid_images, axis.test_images))
        )
        return Sides(*(min(there[side], count) for side, count in asked._asdict().items()))


def _size(cohort: Cohort, given: int | None) -> CohortSize:
    if cohort.phantom is not None:
        anatomy = cohort.phantom.anatomy
        files = given or round(cohort.phantom.patients * PER_PATIENT[anatomy])
        images = files * (1 - cohort.phantom.unfit_share)
        findings = FINDINGS[anatomy]
    else:
        assert cohort.data is not None
        dataset = cohort.data.dataset
        if given is None and dataset not in DATASETS:
            raise UserError(
                f"cohort {cohort.name}: how many files it has is not known before they are read; say it with "
                f"--images {cohort.name}=NUMBER."
            )
        files = given or DATASETS[dataset]
        images = float(files)
        if dataset == "rsna-haemorrhage":
            normal = (1 - HAEMORRHAGE) * files
            images += min(normal, cohort.maximum_combination.get("no_finding", normal)) - normal
        findings = len(cohort.findings) or (FINDINGS["chest"] if "CT" not in cohort.ingest.modalities else 1)
    if "CT" not in cohort.ingest.modalities and cohort.ingest.frontal_only:
        images *= FRONTAL
    channels = len(cohort.ingest.windows) if "CT" in cohort.ingest.modalities else 1
    return CohortSize(files, round(images / cohort.ingest.slice_step), channels, findings)
