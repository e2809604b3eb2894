"""Dataset adapters: each on a small tree with its dataset's layout and names, from the tables to the stores.

Layouts and column names are those of the releases that docs/own-data.md cites; patients, labels and pixels are made up.
"""

import numpy as np
import pandas as pd
import pytest

from dataset_trees import SIDE, chexpert, grey, ingest, mimic, nih, picture, reasons, rsna, vindr
from dicom_files import ct_values, radiograph, save
from synthcohort.cohort.datasets.chexpert import FINDINGS as CHEXPERT
from synthcohort.cohort.datasets.registry import read_dataset
from synthcohort.cohort.datasets.vindr_cxr import majority
from synthcohort.core.datasets import DATASETS
from synthcohort.core.errors import UserError
from synthcohort.dicom.labels import snake_case
from synthcohort.dicom.reasons import Reason

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # as the releases have them


def test_chexpert(tmp_path):
    result = ingest(tmp_path, chexpert(tmp_path))
    first, _, second, other = paths = result.table.index[result.table.index.str.startswith("train/")].sort_values()
    assert reasons(result) == {
        paths[1]: Reason.NOT_FRONTAL.value,
        "train.csv": Reason.NOT_DICOM.value,
        "valid/patient64541/study1/view1_frontal.jpg": Reason.NO_LABEL.value,
    }
    assert result.table.loc[[first, second, other], "view"].tolist() == ["AP", "PA", "frontal"]
    patients = result.table["patient_id"]
    assert patients[first] == patients[second] != patients[other]
    assert result.labels(first) == {"edema": 1, "pleural_effusion": 1}
    assert result.labels(second) == {"no_finding": 1}
    assert result.labels(other) == {"no_finding": 1}  # nothing mentioned: every finding is 0
    assert result.store.info.finding_names == [snake_case(finding) for finding in CHEXPERT]
    wanted = grey(0).reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
    assert np.abs(result.image(first) - wanted).max() < 4
    assert set(result.store.records["windowed"]) == {"full_range"}
    assert set(result.table.loc[[first, second], "transfer_syntax"]) == {"JPEG"}


def test_a_frontal_image_with_a_sideways_direction_is_frontal(tmp_path):
    data = chexpert(tmp_path)
    table = pd.read_csv(data.labels)
    table["AP/PA"] = ["LL", "AP", "RL", "AP"]
    table.to_csv(data.labels, index=False)
    assert read_dataset(data).table["view"].tolist() == ["Frontal", "other", "Frontal", "AP"]


@pytest.mark.parametrize(("uncertain", "value"), [("ones", 1), ("zeros", 0), ("unknown", np.nan)])
def test_uncertain_labels_count_as_the_config_says(tmp_path, uncertain, value):
    table = read_dataset(chexpert(tmp_path, uncertain)).table
    assert np.array_equal(table["pleural_effusion"], [value, value, 0, 0], equal_nan=True)
    assert table["edema"].tolist() == [1, 1, 0, 0]


def test_lateral_views_stay_where_they_are_wanted(tmp_path):
    result = ingest(tmp_path, chexpert(tmp_path), frontal_only=False)
    assert result.table.loc["train/patient00001/study1/view2_lateral.jpg", ["status", "view"]].tolist() == [
        "accepted",
        "other",
    ]


def test_single_findings_of_a_dataset(tmp_path):
    result = ingest(tmp_path, chexpert(tmp_path), findings=("edema", "pneumonia"))
    assert result.store.info.finding_names == ["edema", "pneumonia"]


def test_rsna(tmp_path):
    result = ingest(tmp_path, rsna(tmp_path))
    assert (result.table["status"] == "accepted").all()
    assert result.labels("ID_000000001.dcm") == {"any": 1, "subdural": 1}
    assert result.labels("ID_000000000.dcm") == {"no_finding": 1}
    assert result.table["patient_id"].value_counts().tolist() == [2, 2]
    assert result.store.info.units == "HU"
    wanted = np.clip(ct_values(seed=1), 0, 80).reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3)) / 80 * 255
    assert np.abs(result.image("ID_000000001.dcm") - wanted).max() < 1


def test_rsna_labels_that_contradict_each_other(tmp_path):
    with pytest.raises(UserError, match="gives 1 IDs two different labels"):
        read_dataset(rsna(tmp_path, extra=("ID_000000002_any,1",)))


def test_nih(tmp_path):
    result = ingest(tmp_path / "work", nih(tmp_path / "in"))
    first, coded, other = result.table.index[result.table["status"] == "accepted"].sort_values()
    assert first == "images_001/images/00000001_000.png"
    assert reasons(result) == {"Data_Entry_2017.csv": Reason.NOT_DICOM.value}
    assert result.labels(first) == {"pleural_effusion": 1, "pleural_thickening": 1}
    assert result.labels(coded) == {"cardiomegaly": 1}
    assert result.labels(other) == {"no_finding": 1}
    assert len(result.store.info.findings) == 15
    assert result.table.loc[[first, coded], "view"].tolist() == ["PA", "AP"]
    assert result.table["patient_id"][first] == result.table["patient_id"][coded] != result.table["patient_id"][other]
    # Grey that is coded in colours is read like grey.
    wanted = grey(1).reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
    assert np.abs(result.image(coded) - wanted).max() <= 0.5


def test_nih_has_no_other_findings(tmp_path):
    with pytest.raises(UserError, match="an unknown finding in 'Finding Labels' in row 1 ") as error:
        read_dataset(nih(tmp_path, "Effusion|Schnupfen"))
    assert "Schnupfen" not in str(error.value)


@pytest.mark.parametrize("ending", ["dcm", "jpg"])
def test_mimic(tmp_path, ending):
    data, names = mimic(tmp_path / "in", ending)
    result = ingest(tmp_path, data)
    assert reasons(result) == {names[1]: Reason.NOT_FRONTAL.value}
    assert result.table.loc[names, "view"].tolist() == ["PA", "other", "", "AP"]
    assert result.labels(names[0]) == {"edema": 1, "fracture": 1}
    assert result.labels(names[2]) == {"no_finding": 1}
    assert result.labels(names[3]) == {"pneumonia": 1}  # the same study number, another patient
    patients = result.table["patient_id"]
    assert patients[names[0]] == patients[names[2]] != patients[names[3]]


def test_mimic_studies_without_labels(tmp_path):
    data, names = mimic(tmp_path / "in")
    table = pd.read_csv(data.labels)
    table.iloc[:2].to_csv(data.labels, index=False)
    assert reasons(ingest(tmp_path, data))[names[3]] == Reason.NO_LABEL.value
    table.assign(study_id=1).iloc[1:].to_csv(data.labels, index=False)
    with pytest.raises(UserError, match=r"have no study in common; correct 'data\.metadata'"):
        read_dataset(data)
    pd.concat([table, table[:1]]).to_csv(data.labels, index=False)
    with pytest.raises(UserError, match="holds 1 studies twice"):
        read_dataset(data)


@pytest.mark.parametrize("other", ["Other diseases", "Other disease"])
def test_vindr(tmp_path, other):
    data, names = vindr(tmp_path / "in", other)
    save(radiograph(Modality=None, SOPClassUID=None), tmp_path / "in/train/not-in-the-table.dicom")
    result = ingest(tmp_path, data)
    assert reasons(result) == {"not-in-the-table.dicom": Reason.NO_LABEL.value}
    assert result.labels(names[0]) == {"cardiomegaly": 1}
    assert result.labels(names[2]) == {"no_finding": 1}
    unsure = result.labels(names[1])
    assert set(unsure) == {"nodule_mass", "ild", snake_case(other)}
    assert all(np.isnan(value) for value in unsure.values())
    assert result.table.loc[names, "patient_id"].nunique() == 3
    assert result.table.loc[names, ["view", "modality"]].drop_duplicates().to_numpy().tolist() == [["PA", "DX"]]
    assert len(result.store) == 3


def test_majority_of_readers_by_hand():
    seen = pd.DataFrame({"a": [1, 1, 0, 1, 0], "b": [1, 1, 1, 0, 0], "no_finding": [0, 0, 1, 0, 1]}, dtype=float)
    labels = majority(seen, pd.Series(["x", "x", "x", "y", "y"]))
    assert labels.loc["x"].tolist() == [1, 1, 0]
    assert labels.loc["y"].isna().tolist() == [True, False, True]
    tie = majority(pd.DataFrame({"a": [1.0, 0], "b": [1.0, 1], "c": [0.0, 0]}), pd.Series(["z", "z"]))
    assert np.array_equal(tie.loc["z"], [np.nan, 1, 0], equal_nan=True)
    # The test images have one row of consensus each.
    assert majority(seen, pd.Series(list("vwxyz"))).to_numpy().tolist() == seen.to_numpy().tolist()


def test_what_is_left_out_by_choice_does_not_stop_the_run(tmp_path):
    data = chexpert(tmp_path)
    with pytest.raises(UserError, match=r"2 of 5 files \(40\.0%\)"):  # six files, one of them lateral
        ingest(tmp_path / "a", data, maximum_rejected=0.3)
    ingest(tmp_path / "b", data, maximum_rejected=0.4)


# Wrong tables, and what messages and results may say


BUILDERS = {
    "chexpert": chexpert,
    "rsna-haemorrhage": rsna,
    "nih-chest-xray14": nih,
    "mimic-cxr": lambda work: mimic(work)[0],
    "vindr-cxr": lambda work: vindr(work)[0],
}


FIRST_COLUMNS = {
    "chexpert": "Path",
    "rsna-haemorrhage": "ID",
    "nih-chest-xray14": "Image Index",
    "mimic-cxr": "subject_id",
    "vindr-cxr": "image_id",
}


def test_every_dataset_is_tested():
    assert {*BUILDERS, "generic"} == set(DATASETS)


@pytest.mark.parametrize("dataset", BUILDERS)
def test_wrong_tables_are_one_clear_sentence(tmp_path, dataset):
    data = BUILDERS[dataset](tmp_path)
    column = FIRST_COLUMNS[dataset]
    wrong = tmp_path / "SECRET.csv"
    absent = data.model_copy(update={"labels": str(wrong)})
    sentences = {None: "does not exist; correct 'data.labels'"}
    sentences[b'SECRET,b\n"1'] = f"has no column '{column}'|is no readable CSV file"
    sentences["Sécret\n1".encode("latin-1")] = "is no readable CSV file"
    for content, sentence in sentences.items():
        if content is not None:
            wrong.write_bytes(content)
        with pytest.raises(UserError, match=f"the table of dataset {dataset} ({sentence})") as error:
            read_dataset(absent)
        assert "SECRET" not in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("dataset", BUILDERS)
def test_a_wrong_folder_is_one_clear_sentence(tmp_path, dataset):
    data = BUILDERS[dataset](tmp_path / "in")
    picture(tmp_path / "other/elsewhere.png", grey())
    with pytest.raises(UserError, match=r"names none of the 1 files.*correct 'folder'"):
        ingest(tmp_path, data.model_copy(update={"folder": str(tmp_path / "other")}))


@pytest.mark.parametrize("dataset", ["chexpert", "mimic-cxr", "vindr-cxr"])
def test_labels_that_cannot_be_are_named_and_not_quoted(tmp_path, dataset):
    data = BUILDERS[dataset](tmp_path)
    pd.read_csv(data.labels).assign(Edema="SECRET").to_csv(data.labels, index=False)
    with pytest.raises(UserError, match="or blank in column 'Edema', row 1 below the heading") as error:
        read_dataset(data)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("dataset", BUILDERS)
def test_nothing_of_names_and_patients_leaks(tmp_path, dataset):
    data = BUILDERS[dataset](tmp_path / "in")
    result = ingest(tmp_path / "out", data)
    private = pd.read_parquet(tmp_path / "out/private/files.parquet")
    secrets = {*private["path"], *private["patient_id"], *private["sop_instance_uid"]} - {""}
    secrets = {secret for secret in secrets if len(secret) > 4}
    assert len(secrets) > 3
    public = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and "private" not in path.parts]
    texts = [
        pd.read_parquet(path).to_csv() if path.suffix == ".parquet" else path.read_text("latin-1") for path in public
    ]
    assert len(texts) > 5
    assert [secret for secret in secrets for text in texts if secret in text] == []
    assert result.table.loc[result.table["status"] == "accepted", "patient_id"].str.fullmatch("[0-9a-f]{16}").all()
