"""No identifier of a patient leaves the cohort's own files and private/."""

import base64
import binascii
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from planted import study_of, write_cohort

from synthcohort.readers.serve import served_here

pytestmark = pytest.mark.workflow
SAMPLE = "cohorts/own/resolution-016/r3-gan/r0/synthetic/train"
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")


def texts(path: Path) -> Iterator[bytes]:
    """Give all that a file says: its name and bytes, base64 within them, and what is packed in tables and arrays."""
    content = path.read_bytes()
    yield from (str(path).encode(), content)
    for packed in [*BASE64.findall(str(path).encode()), *BASE64.findall(content)]:
        for decode in (base64.b64decode, base64.urlsafe_b64decode):
            try:
                yield decode(packed + b"=" * (-len(packed) % 4))
            except (binascii.Error, ValueError):
                continue
    if path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv().encode()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            yield from (str(array.tolist()).encode() for array in arrays.values() if array.dtype.kind in "US")


def leaks(folders: list[Path], planted: set[str]) -> set[tuple[str, str]]:
    pattern = re.compile("|".join(map(re.escape, planted)).encode(), re.IGNORECASE)
    return {
        (path.name, match.group().decode())
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        for text in texts(path)
        for match in pattern.finditer(text)
    }


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, workflow_type):
    workflow = workflow_type(tmp_path_factory.mktemp("own"), study_of("incoming"))
    workflow.planted = write_cohort(workflow.folder / "incoming")
    workflow.config["axes"][0]["levels"] = [16]
    workflow.config["generators"][0]["kimg"] = {16: 0.5}
    workflow.config["privacy"] = {"canaries": 3}
    workflow.config["readers"] = {"count": 3, "images": 2, "repeated": 0, "side": 64, "simulate": True}
    workflow.config["release"] = {
        "cohort": "own",
        "experiment": "resolution-016",
        "source": "r3-gan",
        "license": "CC-BY-4.0",
        "creator": "Test clinic",
        "override": "A test of what leaks decided so: no person is in this cohort.",
    }
    workflow.output = workflow.run() + workflow.run("release")
    return workflow


def test_the_search_finds_what_is_hidden(tmp_path: Path) -> None:
    """Positive control: a name in plain text, in base64, in a file name, in a compressed table, in an array."""
    hidden = "ZQNAME0001X"
    (tmp_path / "a.log").write_text(f"cannot read {hidden}")
    packed = base64.b64encode(json.dumps({"input": [f"data/{hidden}.dcm"]}).encode()).decode()
    (tmp_path / "b.json").write_text(packed)
    (tmp_path / f"{hidden}.txt").write_text("")
    pd.DataFrame({"x": [hidden] * 9}).to_parquet(tmp_path / "c.parquet", compression="zstd")
    np.savez_compressed(tmp_path / "d.npz", names=np.array([hidden]))
    found = {name for name, _ in leaks([tmp_path], {hidden})}
    assert found == {"a.log", "b.json", f"{hidden}.txt", "c.parquet", "d.npz"}


def test_nothing_leaks_into_results_or_snakemakes_records(own) -> None:
    folders = [own.results, own.folder / ".snakemake", own.folder / "reader-studies"]
    assert sum(path.is_file() for folder in folders for path in folder.rglob("*")) > 60
    assert (own.results / "report-shareable.html").is_file()
    assert len(list((own.results / "release/data/dicom").glob("*.dcm"))) > 60
    assert not leaks(folders, own.planted)
    assert not any(word in own.output for word in own.planted)


def test_readers_are_sent_no_identifier(own, tmp_path: Path) -> None:
    served = shutil.copytree(own.folder / "reader-studies" / own.config["study"], tmp_path / "served")
    assert (served / "reading.bin").stat().st_size == 4 * 64 * 64
    person = {"consent": True, "profession": "radiologist", "years": 3}
    with served_here(served) as links:
        address, token = links["reader-01"].split("/enter#")
        with httpx.Client(base_url=address, trust_env=False) as reader:
            sent = [reader.post("/enter", json={"token": token}), reader.get("/"), reader.post("/profile", json=person)]
            sent += [reader.get(path) for path in ("/", "/state", "/images/reading/1", "/images/reading/9", "/nothing")]
    assert [response.status_code for response in sent] == [204, 200, 200, 200, 200, 200, 404, 404]
    for number, response in enumerate(sent):
        (served / f"response-{number}").write_bytes(str(response.headers).encode() + response.content)
    assert not leaks([served], own.planted)


def test_planted_canaries_are_looked_for_beside_both_controls(own) -> None:
    metrics = pd.read_parquet(own.results / "metrics.parquet")
    found = metrics[metrics["metric"] == "canaries_found"].set_index("role")
    assert found.loc["value", "source"] == "r3-gan"
    assert found.loc["value", "n"] == len(pd.read_parquet(own.results / SAMPLE / "records.parquet"))
    assert found.loc["positive_control", "n"] in range(6, 10), "three patients of three images, some of them broken"
    assert found.loc["positive_control", "value"] >= 0.8 * found.loc["positive_control", "n"]
    assert found.loc["negative_control", "value"] == 0


def test_rejected_files_are_counted_by_reason_not_by_name(own) -> None:
    index = pd.read_parquet(own.results / "cohorts/own/index.parquet")
    assert len(index) == 121
    assert (index["status"] == "rejected").sum() == 5
    assert index.loc[index["status"] == "rejected", "reason"].nunique() == 2


def test_private_is_private(own) -> None:
    for path in (own.folder / "private").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_whereis_finds_a_file_again(own) -> None:
    import subprocess
    import sys

    index = pd.read_parquet(own.results / "cohorts/own/index.parquet")
    broken = index.loc[index["status"] == "rejected", "file_id"].iloc[0]
    command = [sys.executable, "-m", "synthcohort.cli", "whereis", broken]
    path = subprocess.run(command, cwd=own.folder, capture_output=True, text=True, check=True).stdout.strip()
    assert (own.folder / "incoming/dicom" / path).is_file()


def test_new_files_are_seen_and_patients_keep_their_side(own) -> None:
    before = pd.read_parquet(own.results / "cohorts/own/split.parquet").set_index("patient_id")["side"]
    write_cohort(own.folder / "more", patients=4, secret="ZP")
    for path in (own.folder / "more/dicom").glob("*"):
        path.rename(own.folder / "incoming/dicom" / path.name)
    labels = [pd.read_csv(own.folder / name / "labels.csv") for name in ("incoming", "more")]
    pd.concat(labels).to_csv(own.folder / "incoming/labels.csv", index=False)
    assert {"index", "preprocess", "split", "train_generator"} <= own.rules_to_run()
    own.run("cohorts")
    after = pd.read_parquet(own.results / "cohorts/own/split.parquet").set_index("patient_id")["side"]
    assert len(after) == len(before) + 4
    pd.testing.assert_series_equal(after[before.index], before)


def test_what_new_files_cost_is_told_before_anything_runs(own) -> None:
    """Last in this file: it adds a file."""
    assert "since the last run" not in own.run("--dry-run")
    folder = own.folder / "incoming/dicom"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    shutil.copy(files[0], folder / "one-more.dcm")
    output = own.run("--dry-run")
    assert output.count(f"own: {len(files) + 1} files lie where {len(files)} lay since the last run.") == 1
    assert {"index", "preprocess", "merge"} <= own.rules_to_run()
