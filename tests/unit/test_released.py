"""Which run is released: names that a study does not have are answered with the nearest that it has."""

import copy
from pathlib import Path

import pytest
import yaml

from synthcohort.core.errors import UserError
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.released import label_policy, released_run

ROOT = Path(__file__).resolve().parents[2]
RUN = {"cohort": "chest-phantom", "experiment": "resolution-032", "source": "r3-gan"}
TERMS = {"license": "CC-BY-4.0", "creator": "Test clinic"}


def plan_of(**changes) -> Plan:
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())
    return Plan(load_study({**demo, "release": {**RUN, **TERMS, **changes}}))


def test_the_released_run_is_the_configs() -> None:
    assert released_run(plan_of()) == {**RUN, "replicate": "r0"}
    # Rules rely on this order.
    assert list(released_run(plan_of())) == ["cohort", "experiment", "source", "replicate"]


@pytest.mark.parametrize(
    ("key", "wrong", "nearest"),
    [
        ("cohort", "chest", "chest-phantom"),
        ("experiment", "resolution-32", "resolution-032"),
        ("source", "real", "r3-gan"),
        ("source", "mix-r3-gan", "r3-gan"),
        ("source", "cpd", "cpd-gan"),
        ("replicate", "r1", "r0"),
    ],
)
def test_other_names_are_answered_with_the_nearest(key: str, wrong: str, nearest: str) -> None:
    with pytest.raises(UserError) as caught:
        released_run(plan_of(**{key: wrong}))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"config key release.{key}: there is no '{wrong}' to release here;")
    assert f"the nearest is '{nearest}'" in sentence


def test_a_config_that_releases_nothing_says_so() -> None:
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert "release" not in demo
    with pytest.raises(UserError, match="config key release: this key is needed for the target 'release'"):
        released_run(Plan(load_study(demo)))


def test_terms_are_needed() -> None:
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())
    for key in ("license", "creator", "cohort", "experiment", "source"):
        release = {**RUN, **TERMS}
        del release[key]
        with pytest.raises(UserError, match=f"release.{key}: this key is needed"):
            load_study({**demo, "release": release})


def test_label_policy_says_what_the_cohort_and_the_protocol_do() -> None:
    plan = plan_of()
    drawn = "drawn from the training distribution of label combinations"
    assert label_policy(plan, "chest-phantom")["labels of synthetic images"] == drawn
    assert "dataset" not in label_policy(plan, "chest-phantom")
    paper = yaml.safe_load((ROOT / "studies/paper.yaml").read_text())
    policies = {
        cohort["name"]: label_policy(Plan(load_study(copy.deepcopy(paper))), cohort["name"])
        for cohort in paper["cohorts"]
    }
    (chexpert,) = (policy for policy in policies.values() if policy["dataset"] == "chexpert")
    assert chexpert["uncertain labels"] == "ones"
    assert chexpert["labels of synthetic images"] == "copies of the real images' labels"
    assert sum("uncertain labels" in policy for policy in policies.values()) == 1
