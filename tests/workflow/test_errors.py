"""What a user does wrong: one clear sentence, exit code 1, nothing half-done used."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from planted import study_of, write_cohort
from workflows import sentence

pytestmark = pytest.mark.workflow


def test_bad_config(tiny) -> None:
    tiny.config["cohorts"][0]["shards"] = 2
    output = tiny.run(expect=1)
    assert sentence(output).startswith(
        "config key cohorts[0].shards: there is no such key; known here: augmentation, data,"
    )
    assert not (tiny.folder / "results").exists()


@pytest.fixture
def own(tmp_path: Path, workflow_type):
    workflow = workflow_type(tmp_path / "work", study_of("incoming"))
    workflow.planted = write_cohort(workflow.folder / "incoming", patients=20, images=1)
    return workflow


def test_missing_folder_stops_the_run_but_not_the_dry_run(own) -> None:
    shutil.rmtree(own.folder / "incoming/dicom")
    assert "train_generator" in own.rules_to_run()
    assert "folder" in sentence(own.run(expect=1))


def test_no_label_fits(own) -> None:
    labels = pd.read_csv(own.folder / "incoming/labels.csv").assign(uid=[f"1.2.3.{row}" for row in range(20)])
    labels.to_csv(own.folder / "incoming/labels.csv", index=False)
    said = sentence(own.run(expect=1))
    assert "'uid'" in said
    assert not any(word in said for word in own.planted)


def test_too_many_rejected(own) -> None:
    for path in list((own.folder / "incoming/dicom").rglob("*.dcm"))[:8]:
        path.write_bytes(b"not DICOM")
    said = sentence(own.run(expect=1))
    assert "ingest.maximum_rejected" in said
    assert "9 of 21 files" in said


@pytest.mark.parametrize("expected", [0, 1])
def test_nothing_keeps_a_finished_or_failed_run_waiting(own, expected: int) -> None:
    """Snakemake's scheduler leaves timers behind, and the process waits for the last of them."""
    if expected == 1:
        own.config["cohorts"][0]["ingest"]["maximum_rejected"] = 0.0
        (own.folder / "incoming/dicom/more.dcm").write_bytes(b"not DICOM")
    process = own.start("cohorts", "--max-jobs-per-timespan", "1000/1h")
    try:
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == expected, output[-6000:]
    assert ("more than ingest.maximum_rejected" in output) == bool(expected)


def test_a_level_that_cannot_be_filled_stops_before_training(own) -> None:
    own.config["axes"].append({"axis": "samples", "levels": [500], "resolution": 8, "combinations": 2})
    output = own.run(expect=1)
    assert "the largest feasible level is" in sentence(output)
    assert "Training" not in output
