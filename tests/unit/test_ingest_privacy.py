"""What identifies a patient stays in the private folder: not in tables, stores, logs or messages."""

import logging
import pickle

import pandas as pd
import pytest
from pydicom import Dataset
from pydicom.dataset import PrivateBlock

from dicom_files import ct, ct_values, patch, save
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError
from synthcohort.core.job import job_errors
from synthcohort.core.progress import configure_logging
from synthcohort.dicom.describe import describe_file
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Shard, preprocess_shard

UID = "1.2.826.0.1.3680043.8.498.777"
SECRETS = [
    "Quastenflosser",  # name
    "PID4711X",
    "19310214",  # birth date
    "20190511",  # study date
    "ACC0815Z",
    "Charivari",  # institution
    "Doktorwal",  # referring physician
    "PRIVTAG99",
    "NESTED77Q",
    "folderleak",
    "fileleak",
    "LABELROW5",
    UID,
]


def planted(number, **changes):
    """A slice with something of every kind to leak."""
    dataset = ct(ct_values(seed=number), number=number, patient=f"PID4711X{number}", **changes)
    dataset.SOPInstanceUID = f"{UID}.{number}"
    dataset.StudyInstanceUID = f"{UID}.1"
    dataset.SeriesInstanceUID = f"{UID}.2"
    dataset.PatientName, dataset.PatientBirthDate = "Quastenflosser^Q", "19310214"
    dataset.StudyDate, dataset.AccessionNumber = "20190511", "ACC0815Z"
    dataset.InstitutionName, dataset.ReferringPhysicianName = "Charivari Clinic", "Doktorwal"
    nested = Dataset()
    nested.PatientID = "NESTED77Q"
    dataset.OtherPatientIDsSequence = [nested]
    block: PrivateBlock = dataset.private_block(0x0011, "PRIVTAG99 CREATOR", create=True)
    block.add_new(0x01, "LO", "PRIVTAG99")
    return dataset


@pytest.fixture
def cohort(tmp_path):
    folder = tmp_path / "in" / "folderleak Quastenflosser"
    for number in range(6):
        save(planted(number), folder / f"fileleak{number}.dcm")
    # Text that pydicom's warnings and errors would quote, in fields that are copied to tables, and in broken files.
    save(planted(7, ViewPosition="QUASTENFLOSSER"), folder / "fileleak7.dcm")
    save(planted(8, PhotometricInterpretation="QUASTENFLOSSER"), folder / "fileleak8.dcm")
    save(planted(9, Modality="QUASTENFLOSSER"), folder / "fileleak9.dcm")
    patch(save(planted(10, RescaleSlope="1.2345678"), folder / "fileleak10.dcm"), b"1.2345678 ", b"Quastenflo")
    cut = save(planted(12), folder / "fileleak12.dcm")
    cut.write_bytes(cut.read_bytes()[:-50])
    (folder / "fileleak13 Quastenflosser.txt").write_text("Quastenflosser")
    (folder / "fileleak14").symlink_to("folderleak")
    return tmp_path


def labels():
    names = [f"folderleak Quastenflosser/fileleak{number}.dcm" for number in range(13)]
    return pd.DataFrame({"LABELROW": names, "note": "LABELROW5", "bleed": [0, 1] * 6 + [0]})


def leaks(text):
    return [secret for secret in SECRETS if secret.lower() in text.lower()]


def run(cohort, table=None, maximum_rejected=0.9, lose_private_table=False):
    table = labels() if table is None else table
    ingest = Ingest(shards=2, maximum_rejected=maximum_rejected)
    index = index_folder(cohort / "in", table, "LABELROW", ["bleed"], ingest, 16, cohort / "private", seed=1)
    if lose_private_table:
        (cohort / "private" / "files.parquet").unlink()
    shard = Shard("test", False, cohort / "in", cohort / "private", ingest, [8, 16], index.findings)
    folders = [cohort / "results" / str(number) for number in range(2)]
    for number, folder in enumerate(folders):
        preprocess_shard(shard, number, index.parts(), folder)
    merge_shards(
        index.parts(),
        folders,
        cohort / "results" / "store",
        cohort / "results" / "index.parquet",
        [8, 16],
        maximum_rejected,
    )
    return index.table


def test_nothing_leaks_into_tables_stores_and_logs(cohort, capfd):
    configure_logging(cohort / "results" / "log.txt")
    logging.getLogger().addHandler(logging.FileHandler(cohort / "results" / "root.txt"))
    table = run(cohort)
    assert (table["status"] == "accepted").sum() == 8
    files = [path for path in (cohort / "results").rglob("*") if path.is_file()]
    texts = [path.read_bytes().decode("latin-1") + str(path.relative_to(cohort)) for path in files]
    # Parquet compresses: look at the values as well as at the bytes.
    texts += [pd.read_parquet(path).to_csv() for path in files if path.suffix == ".parquet"]
    output = capfd.readouterr()
    texts += [output.out, output.err, table.to_csv(), str(pickle.dumps(table))]
    assert len(files) > 10
    assert [leaks(text) for text in texts if leaks(text)] == []


def test_the_private_folder_does_hold_them(cohort):
    # The control: were nothing of this in the files, the test above would prove nothing.
    run(cohort)
    private = pd.read_parquet(cohort / "private" / "files.parquet").to_csv()
    assert {"PID4711X", "folderleak", "fileleak", UID} <= set(leaks(private))
    raw = (cohort / "in" / "folderleak Quastenflosser" / "fileleak0.dcm").read_bytes().decode("latin-1")
    assert {"Charivari", "NESTED77Q", "PRIVTAG99", "19310214", "ACC0815Z", "Doktorwal"} <= set(leaks(raw))


def test_describing_a_file_shows_no_identifier(cohort):
    for path in (cohort / "in" / "folderleak Quastenflosser").iterdir():
        assert leaks(str(describe_file(path, Ingest(), 16))) == []


@pytest.mark.parametrize("mistake", ["no overlap", "contradiction", "bad value", "limit", "no private table"])
def test_messages_name_no_patient(cohort, mistake, capfd):
    table = labels()
    if mistake == "no overlap":
        table["LABELROW"] = "LABELROW5 Quastenflosser"
    elif mistake == "contradiction":
        table["LABELROW"] = table["LABELROW"][0]
    elif mistake == "bad value":
        table["bleed"] = "Quastenflosser"
    configure_logging()
    with pytest.raises(SystemExit), job_errors():
        run(cohort, table, maximum_rejected=0.1, lose_private_table=mistake == "no private table")
    message = capfd.readouterr().err
    assert "error: " in message
    assert "Traceback" not in message
    assert leaks(message) == []


def test_errors_carry_no_traceback_of_pydicom(cohort):
    with pytest.raises(UserError) as error:
        index_folder(cohort / "in", labels().assign(bleed="x"), "LABELROW", ["bleed"], Ingest(), 16, cohort / "p", 1)
    assert leaks(str(error.value)) == []
