"""No identifier of a patient leaves the cohort's own files and private/, and no image leaves in a crate."""

import base64
import binascii
import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from planted import study_of, write_cohort
from rocrate.rocrate import ROCrate
from workflows import release_of

from synthcohort.core.errors import UserError
from synthcohort.provenance.verify import verify
from synthcohort.readers.serve import served_here

pytestmark = pytest.mark.workflow
SAMPLE = "cohorts/own/resolution-016/r3-gan/r0/synthetic"
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")


def texts(path: Path) -> Iterator[bytes]:
    """Give all that a file says: its name and bytes, base64 within them, what is packed in tables, arrays, archives."""
    content = path.read_bytes()
    yield from said(str(path).encode(), content)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield from said(name.encode(), archive.read(name))
    if path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv().encode()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            yield from (str(array.tolist()).encode() for array in arrays.values() if array.dtype.kind in "US")


def said(name: bytes, content: bytes) -> Iterator[bytes]:
    yield from (name, content)
    for packed in [*BASE64.findall(name), *BASE64.findall(content)]:
        for decode in (base64.b64decode, base64.urlsafe_b64decode):
            try:
                yield decode(packed + b"=" * (-len(packed) % 4))
            except (binascii.Error, ValueError):
                continue


def leaks(folders: list[Path], planted: set[str]) -> set[tuple[str, str]]:
    pattern = re.compile("|".join(map(re.escape, planted)).encode(), re.IGNORECASE)
    beginnings = {word[:6].lower().encode() for word in planted}  # few, so that most texts are passed over at once
    return {
        (path.name, match.group().decode())
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        for text in texts(path)
        for lower in [text.lower()]
        if any(beginning in lower for beginning in beginnings)
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
    reason = "A test of what leaks decided so: no person is in this cohort."
    workflow.config["release"] = release_of("own", "resolution-016", override=reason)
    workflow.output = workflow.run() + workflow.run("release") + workflow.run("crate")
    return workflow


def test_the_search_finds_what_is_hidden(tmp_path: Path) -> None:
    """Positive control: a name in plain text, base64, a file name, a compressed table, an array, an archive."""
    hidden = "ZQNAME0001X"
    (tmp_path / "a.log").write_text(f"cannot read {hidden}")
    packed = base64.b64encode(json.dumps({"input": [f"data/{hidden}.dcm"]}).encode()).decode()
    (tmp_path / "b.json").write_text(packed)
    (tmp_path / f"{hidden}.txt").write_text("")
    pd.DataFrame({"x": [hidden] * 9}).to_parquet(tmp_path / "c.parquet", compression="zstd")
    np.savez_compressed(tmp_path / "d.npz", names=np.array([hidden]))
    with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", f"a,{hidden},{hidden}")
    found = {name for name, _ in leaks([tmp_path], {hidden})}
    assert found == {"a.log", "b.json", f"{hidden}.txt", "c.parquet", "d.npz", "e.zip"}


def test_nothing_leaks_into_results_or_snakemakes_records(own) -> None:
    folders = [own.results, own.folder / ".snakemake", own.folder / "reader-studies"]
    assert sum(path.is_file() for folder in folders for path in folder.rglob("*")) > 60
    assert (own.results / "report-shareable.html").is_file()
    assert len(list((own.results / "release/data/dicom").glob("*.dcm"))) > 60
    assert not leaks(folders, own.planted)
    assert not any(word in own.output for word in own.planted)


def digests(paths: Iterable[Path]) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def test_provenance_knows_every_result_and_no_path(own) -> None:
    record = json.loads((own.results / "provenance.json").read_text())
    rules = {result["path"]: result["rule"] for result in record["results"]}
    assert rules["metrics.parquet"] == "metrics"
    assert rules["tables/verdict.csv"] == "report"
    assert rules["cohorts/own/resolution-016/r3-gan/r0/generator.safetensors"] == "train_generator"
    for folder in ("figures", "tables", "internal/figures"):
        made = {path.relative_to(own.results).as_posix() for path in (own.results / folder).glob("*.[!n]*")}
        assert made <= set(rules), "every figure and table"
    assert set(record["cohorts"][0]["source"]) == {"inventory", "labels"}
    labels = hashlib.sha256((own.folder / "incoming/labels.csv").read_bytes()).hexdigest()
    assert record["cohorts"][0]["source"]["labels"] == labels
    text = json.dumps(record)
    assert "incoming" not in text
    assert str(own.folder) not in text
    assert not verify(own.results).changed


def test_the_crate_is_a_workflow_run_without_images_of_the_cohort(own, tmp_path: Path) -> None:
    with zipfile.ZipFile(own.results / "crate.zip") as archive:
        archive.extractall(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"config.yaml", "requirements.lock", "provenance.json", "metrics.parquet", "report-shareable.html"} <= names
    assert {"tables/resolution.csv", "figures/auroc-resolution.svg", "workflow/Snakefile", "README.md"} <= names
    assert "incoming" not in (tmp_path / "config.yaml").read_text()
    pictures = [*own.results.glob("internal/**/*"), *own.results.glob("figures/samples-*")]
    assert len(digests(pictures)) > 20
    held = [*own.results.glob("cohorts/**/*"), *own.folder.glob("private/**/*"), *own.folder.glob("incoming/**/*")]
    assert not digests(tmp_path.rglob("*")) & digests([*pictures, *held])
    assert not [name for name in names if name.endswith((".npy", ".npz", ".dcm", ".safetensors"))]

    crate = ROCrate(tmp_path)
    profiles = {entity.id for entity in crate.root_dataset["conformsTo"]}
    assert {f"https://w3id.org/ro/wfrun/{name}/0.6" for name in ("process", "workflow")} <= profiles
    run = crate.root_dataset["mentions"][0]
    assert (run.type, run["instrument"].id) == ("CreateAction", crate.mainEntity.id)
    assert {part.id for part in run["object"]} == {"config.yaml", "requirements.lock"}
    assert {"metrics.parquet", "tables/resolution.csv"} <= {part.id for part in run["result"]}
    assert {entity.id for entity in crate.data_entities} == names - {"ro-crate-metadata.json"}
    for entity in crate.data_entities:
        assert entity["sha256"] == hashlib.sha256((tmp_path / entity.id).read_bytes()).hexdigest()

    assert not verify(tmp_path).missing, "an unpacked crate is asked for its own parts only"
    (tmp_path / "tables/resolution.csv").write_text("")
    with pytest.raises(UserError, match=r"1 differ from the record: tables/resolution\.csv"):
        verify(tmp_path)


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
    parts = [pd.read_parquet(own.results / SAMPLE / part / "records.parquet") for part in ("train", "valid")]
    assert found.loc["value", "n"] == sum(map(len, parts)), "all that leaves"
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
