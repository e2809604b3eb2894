"""The config: what is refused, how it is said, and that everything generated from it is up to date."""

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from synthcohort.core.cohort_config import OwnData
from synthcohort.core.datasets import DATASETS
from synthcohort.core.document import documents
from synthcohort.core.errors import UserError
from synthcohort.core.load import load_study, read_study
from synthcohort.core.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


@pytest.fixture
def demo() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def refusal(config: dict) -> str:
    with pytest.raises(UserError) as caught:
        load_study(config)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_generated_files_are_up_to_date() -> None:
    for path, text in documents(ROOT).items():
        assert path.read_text() == text, f"{path.name} has drifted: run `make config`"


def test_every_key_of_the_config_has_a_comment(demo: dict) -> None:
    seen, previous = set(), ""
    for line in (ROOT / "config.yaml").read_text().splitlines():
        key = line.strip().split(":")[0]
        if not line.strip().startswith(("#", "-")) and ":" in line and key not in seen:
            assert previous.strip().startswith("#"), f"{key} has no comment"
            seen.add(key)
        previous = line
    assert {"study", "axes", "anatomy", "kimg"} <= seen


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_holds_nothing_of_the_demo(path: Path, demo: dict) -> None:
    """--configfile is merged key by key into config.yaml; every key that the demo sets must be set by the study too."""
    merged = copy.deepcopy(demo)
    update_config(merged, yaml.safe_load(path.read_text()))
    assert load_study(merged) == read_study(path)


def test_there_are_studies() -> None:
    assert {"tiny", "smoke"} <= {path.stem for path in STUDIES}


def test_unknown_key_names_the_nearest(demo: dict) -> None:
    demo["cohorts"][0]["ingest"]["shard"] = 3
    assert refusal(demo) == "config key cohorts[0].ingest.shard: there is no such key; did you mean 'shards'?"


def test_unknown_top_level_key_lists_what_is_known(demo: dict) -> None:
    demo["xyzzy"] = 3
    assert refusal(demo).startswith("config key xyzzy: there is no such key; known here: axes, classifier, cohorts")


def test_misspelling_is_named_before_the_missing_key(demo: dict) -> None:
    demo["cohort"] = demo.pop("cohorts")
    assert "did you mean 'cohorts'?" in refusal(demo)


def test_wrong_type_names_key_and_value(demo: dict) -> None:
    demo["axes"][1]["levels"] = [4, "many"]
    sentence = refusal(demo)
    assert sentence.startswith("config key axes[1].levels[1]: ")
    assert "'many'" in sentence


@pytest.mark.parametrize(("value", "nearest"), [(20, 16), (31, 32), (4, 8), (4000, 1024)])
def test_resolution_must_be_a_power_of_two(demo: dict, value: int, nearest: int) -> None:
    demo["axes"][1]["resolution"] = value
    sentence = refusal(demo)
    assert sentence.startswith("config key axes[1].resolution: ")
    assert f"the nearest is {nearest}" in sentence


def test_resolution_levels_too(demo: dict) -> None:
    demo["axes"][0]["levels"] = [16, 48]
    assert "power of two" in refusal(demo)


def test_unknown_family_names_the_nearest(demo: dict) -> None:
    demo["axes"][0]["families"] = ["r3gan"]
    assert "did you mean 'r3-gan'?" in refusal(demo)


@pytest.mark.parametrize(("wrong", "near"), [("prog_gan", "prog-gan"), ("cpdgan", "cpd-gan"), ("r3", "r3-gan")])
def test_settings_of_an_unknown_family_name_the_nearest(demo: dict, wrong: str, near: str) -> None:
    demo["generators"] = [{"family": wrong}]
    sentence = refusal(demo)
    assert sentence.startswith("config key generators[0].family: must be one of prog-gan, cpd-gan, r3-gan")
    assert f"did you mean '{near}'?" in sentence


def test_axis_for_an_unknown_cohort(demo: dict) -> None:
    demo["axes"][0]["cohorts"] = ["knee"]
    assert "there is no cohort 'knee'; the cohorts are head-phantom, chest-phantom" in refusal(demo)


def test_a_cohort_has_one_source(demo: dict) -> None:
    demo["cohorts"][0]["data"] = {"folder": "a", "labels": "b"}
    assert "either 'phantom' (simulated patients) or 'data'" in refusal(demo)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"dataset": "chexprt"}, "config key cohorts[0].data.dataset: must be one of generic, chexpert,"),
        ({"dataset": "chexpert"}, "dataset chexpert needs ingest.modalities: [CR, DX]"),
        ({"dataset": "mimic-cxr"}, "dataset mimic-cxr needs 'metadata', the path of its table of views"),
        ({"dataset": "rsna-haemorrhage", "uncertain": "zeros"}, "uncertain is a key of dataset chexpert and mimic-cxr"),
        ({"dataset": "chexpert", "patient": "Patient"}, "patient is a key of dataset generic only; remove it here"),
        ({"metadata": "c"}, "metadata is a key of dataset mimic-cxr only; remove it here"),
        ({"pateint": "c"}, "did you mean 'patient'?"),
    ],
)
def test_keys_of_own_data(demo: dict, data: dict, sentence: str) -> None:
    demo["cohorts"][0].pop("phantom")
    demo["cohorts"][0]["ingest"]["modalities"] = ["CT"]
    demo["cohorts"][0]["data"] = {"folder": "a", "labels": "b", **data}
    assert sentence in refusal(demo)


def test_every_dataset_can_be_planned_without_its_data(demo: dict) -> None:
    for name, dataset in DATASETS.items():
        data = {"dataset": name, "folder": "/absent", "labels": "/absent.csv"}
        if "metadata" in dataset.keys:
            data["metadata"] = "/absent.csv"
        demo["cohorts"][0] = {
            "name": "head-phantom",
            "data": data,
            "ingest": {"modalities": dataset.modalities or ["CT"]},
        }
        plan = Plan(load_study(demo))
        source = plan.source_of_images("head-phantom")
        assert OwnData.model_validate(source["data"]) == plan.cohort("head-phantom").data
        assert not source["simulated"]


def test_radiographs_have_no_slices(demo: dict) -> None:
    demo["cohorts"][0]["ingest"] |= {"modalities": ["DX"], "slice_step": 2}
    assert "slice_step: radiographs have no slices" in refusal(demo)


def test_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("study: [unclosed\n")
    with pytest.raises(UserError, match="not valid YAML"):
        read_study(path)


def test_ct_and_radiographs_are_two_cohorts(demo: dict) -> None:
    demo["cohorts"][0]["ingest"]["modalities"] = ["CT", "DX"]
    assert "make them two cohorts" in refusal(demo)


def test_keys_of_one_family_are_refused_for_another(demo: dict) -> None:
    for key, family in (("unconditional_term", "r3-gan"), ("from_scratch", "cpd-gan")):
        demo["generators"] = [{"family": family, key: True}]
        assert f"{key} is a key of" in refusal(demo)


def test_pictures_stand_for_a_cohort_at_its_highest_resolution(demo: dict) -> None:
    demo["cohorts"][0]["published"] = "head"
    plan = Plan(load_study(demo))
    assert plan.published == {"head-phantom": "head"}
    assert plan.standing["chest-phantom"] == {
        "cohort": "chest-phantom",
        "experiment": "resolution-032",
        "source": "r3-gan",
        "replicate": "r0",
    }
    assert set(plan.standing) == set(plan.cohorts)
    assert len(plan.pictured) == 2 * 2 * 3
