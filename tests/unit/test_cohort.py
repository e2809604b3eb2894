"""Label policies, patient split and experiments."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcohort.cohort.experiments import CohortImages, experiments_table
from synthcohort.cohort.findings import finding_list
from synthcohort.cohort.labels import combination_names, mark_normal, names_with_normal
from synthcohort.cohort.split import split_patients, split_table
from synthcohort.core.config import Statistics, Study
from synthcohort.core.errors import UserError
from synthcohort.core.plan import Plan


def labels(*rows: tuple, findings: tuple[str, ...] = ("edema", "fracture")) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(findings), dtype=float).assign(status="accepted")


def test_normal_rows_get_no_finding() -> None:
    index = labels((0, 0), (1, 0), (0, np.nan))
    findings = names_with_normal([index], ["edema", "fracture"])
    assert findings == ["edema", "fracture", "no_finding"]
    np.testing.assert_array_equal(mark_normal(index, findings)["no_finding"], [1, 0, np.nan])


def test_an_existing_no_finding_column_is_completed_not_replaced() -> None:
    index = labels((0, 0), (1, 0), findings=("edema", "no_finding"))
    findings = names_with_normal([index], ["edema", "no_finding"])
    assert findings == ["edema", "no_finding"]
    np.testing.assert_array_equal(mark_normal(index, findings)["no_finding"], [1, 0])


def test_a_cohort_without_normal_rows_gets_no_column() -> None:
    parts = [labels((0, 1)), labels((1, 0))]
    findings = names_with_normal(parts, ["edema", "fracture"])
    assert findings == ["edema", "fracture"]
    assert mark_normal(parts[0], findings).equals(parts[0])


def test_one_normal_row_gives_every_part_the_column() -> None:
    parts = [labels((0, 1)), labels((0, 0)), labels((np.nan, 1))]
    findings = names_with_normal(parts, ["edema", "fracture"])
    marked = [mark_normal(part, findings)["no_finding"].tolist() for part in parts]
    np.testing.assert_array_equal(marked, [[0], [1], [np.nan]])


def test_combinations_are_named_by_their_positive_findings() -> None:
    names = combination_names(labels((0, 0), (1, 0), (1, 1), (np.nan, 1))[["edema", "fracture"]])
    assert names.tolist()[:3] == ["none", "edema", "edema+fracture"]
    assert pd.isna(names[3])


@given(st.integers(3, 400), st.integers(0, 5))
def test_split_is_80_10_10(patients: int, seed: int) -> None:
    sides = pd.Series(split_patients([f"P{n}" for n in range(patients)], seed, "c", {}))
    counts = sides.value_counts()
    assert len(sides) == patients
    assert counts["test"] == counts["valid"] == max(1, round(patients / 10))


def test_new_patients_are_appended_and_old_ones_keep_their_side() -> None:
    old = [f"P{n:03d}" for n in range(0, 200, 2)]
    first = split_patients(old, 1, "c", {})
    grown = split_patients([f"P{n:03d}" for n in range(200)], 1, "c", first)
    assert {patient: grown[patient] for patient in old} == first
    assert pd.Series(grown).value_counts().to_dict() == {"train": 160, "valid": 20, "test": 20}


def test_split_follows_from_ids_and_seed_not_from_their_order() -> None:
    ids = [f"P{n}" for n in range(50)]
    assert split_patients(ids, 1, "c", {}) == split_patients(ids[::-1], 1, "c", {})
    assert split_patients(ids, 1, "c", {}) != split_patients(ids, 2, "c", {})


def test_too_few_patients() -> None:
    with pytest.raises(UserError, match="cohort c: 2 patients with accepted images cannot be split"):
        split_patients(["a", "b"], 1, "c", {})


STUDY = Study.model_validate(
    {
        "cohorts": [
            {"name": "c", "phantom": {"anatomy": "head"}, "minimum_combination": 5},
        ],
        "axes": [
            {"axis": "resolution", "levels": [16]},
            {"axis": "classes", "levels": [2, 3], "train_images": 60},
            {"axis": "samples", "levels": [10, 20], "combinations": 2},
        ],
    }
)
PLAN = Plan(STUDY)


def cohort(seed: int = 1) -> CohortImages:
    """600 images of 200 patients: combinations a (about 60 %), b (30 %), a+b (9 %), and one image of c."""
    rng = np.random.default_rng(0)
    kind = rng.choice(3, 600, p=[0.6, 0.3, 0.1])
    records = pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(600)],
            "patient_id": [f"p{number // 3}" for number in range(600)],
            "a": (kind != 1).astype(float),
            "b": (kind != 0).astype(float),
            "c": 0.0,
        }
    )
    records.loc[0, ["a", "b", "c"]] = [0, 0, 1]
    records.loc[1, "a"] = np.nan
    sides = split_patients([f"p{number}" for number in range(200)], seed, "c", {})
    split = pd.DataFrame({"patient_id": list(sides), "side": list(sides.values())})
    return CohortImages(PLAN.cohort("c"), records, ["a", "b", "c"], split, seed)


def test_rare_and_unknown_combinations_are_left_out() -> None:
    images = cohort()
    assert images.names == ["a", "b", "a+b"]
    assert images.left_out == 2
    assert not {0, 1} & set(images.table["row"])


@pytest.mark.parametrize("experiment", PLAN.experiments, ids=lambda experiment: experiment.name)
def test_no_patient_is_on_two_sides(experiment) -> None:
    selection = cohort().select(experiment)
    assert selection.groupby("patient_id")["side"].nunique().max() == 1
    assert list(selection.columns) == ["row", "image_id", "patient_id", "side", "combination"]
    assert selection["row"].is_monotonic_increasing


def test_classes_axis_has_equal_totals() -> None:
    images = cohort()
    for level in (2, 3):
        selection = images.select(PLAN.experiment("c", f"classes-00{level}"))
        counts = selection[selection["side"] == "train"]["combination"].value_counts()
        assert counts.to_dict() == dict.fromkeys(range(level), 60 // level) or counts.sum() < 60
    with pytest.raises(UserError, match="the largest feasible level is 3"):
        images.select(PLAN.experiment("c", "classes-003").__class__("c", STUDY.axes[1], 4))


def test_samples_axis_selections_are_nested() -> None:
    images = cohort()
    small, large = (images.select(PLAN.experiment("c", f"samples-000{level}")) for level in (10, 20))
    trained = [set(selection[selection["side"] == "train"]["row"]) for selection in (small, large)]
    assert len(trained[0]) == 20
    assert len(trained[1]) == 40
    assert trained[0] < trained[1]
    held = [selection[selection["side"] != "train"] for selection in (small, large)]
    pd.testing.assert_frame_equal(held[0].reset_index(drop=True), held[1].reset_index(drop=True))


def test_an_unfillable_sample_level_names_the_largest() -> None:
    images = cohort()
    smallest = images.train_counts()[1]
    with pytest.raises(UserError, match=f"axis samples, level 5000: .*the largest feasible level is {smallest}"):
        images.select(PLAN.experiment("c", "samples-00010").__class__("c", STUDY.axes[2], 5000))


def test_findings_with_few_test_patients_are_not_averaged() -> None:
    table = experiments_table(cohort(), PLAN.experiments, Statistics(minimum_positive_patients=5))
    assert set(table["averaged"]) <= {"a;b", "a", "b"}
    assert (table["averaged"] == "a;b").all()
    assert (table[table["axis"] == "classes"]["common"] == "a;b").all()
    strict = experiments_table(cohort(), PLAN.experiments, Statistics(minimum_positive_patients=19))
    assert strict["averaged"].str.contains("a").sum() == 0


def test_split_table_counts_images_per_pseudonym() -> None:
    index = pd.DataFrame({"file_id": ["f1", "f2", "f3"], "patient_id": ["x", "x", "y"]})
    files = pd.DataFrame({"file_id": ["f3", "f1", "f2"], "patient_id": ["DOE", "ROE", "ROE"]})
    table = split_table(index, files, {"DOE": "test", "ROE": "train"})
    assert table.to_dict("list") == {"patient_id": ["x", "y"], "side": ["train", "test"], "images": [2, 1]}


def test_findings_are_read_as_they_were_written() -> None:
    assert finding_list("a;b") == ["a", "b"]
    assert finding_list("") == finding_list(float("nan")) == []
