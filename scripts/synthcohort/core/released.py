"""Which run of a study is released, and what is to be said of its labels."""

import difflib
from collections.abc import Sequence

from synthcohort.core.datasets import DATASETS
from synthcohort.core.errors import UserError
from synthcohort.core.plan import Plan


def released_run(plan: Plan) -> dict[str, str]:
    """Find the run that the config releases.

    Parameters
    ----------
    plan : Plan
        The study's plan.

    Returns
    -------
    dict
        The wildcards ``cohort``, ``experiment``, ``source`` and ``replicate``, in this order.

    Raises
    ------
    UserError
        When the config releases nothing, or a run that the study does not have: names the nearest.
    """
    release = plan.study.release
    if release is None:
        raise UserError(
            "config key release: this key is needed for the target 'release'; it says which synthetic cohort leaves "
            "and on which terms, see docs/release.md."
        )
    _check("cohort", release.cohort, plan.cohorts)
    experiments = [experiment.name for experiment in plan.of_cohort(release.cohort)]
    _check("experiment", release.experiment, experiments)
    _check("source", release.source, plan.experiment(release.cohort, release.experiment).axis.families)
    _check("replicate", release.replicate, plan.replicates)
    return release.model_dump(include={"cohort", "experiment", "source", "replicate"})


def _check(key: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        (nearest,) = difflib.get_close_matches(name, names, n=1, cutoff=0)
        raise UserError(
            f"config key release.{key}: there is no '{name}' to release here; the nearest is '{nearest}' "
            f"(of {', '.join(names)})."
        )


def label_policy(plan: Plan, cohort: str) -> dict[str, str]:
    """Say in words how a cohort's labels are treated, for those who get its synthetic images."""
    config, protocol = plan.cohort(cohort), plan.study.protocol
    drawn = "drawn from the training distribution of label combinations"
    if plan.study.release is not None and plan.study.release.source in plan.private:
        drawn = "drawn from a histogram of the training patients' label combinations, with noise"
    policy = {
        "protocol": protocol.name,
        "smallest label combination": f"{config.minimum_combination} training images at least",
        "labels of synthetic images": "copies of the real images' labels" if protocol.copy_labels else drawn,
    }
    if config.data is not None:
        policy["dataset"] = config.data.dataset
        if "uncertain" in DATASETS[config.data.dataset].keys:
            policy["uncertain labels"] = config.data.uncertain
    return policy
