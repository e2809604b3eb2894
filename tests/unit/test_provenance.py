"""The record of what made a study's results, and the check of files against it."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rocrate.rocrate import ROCrate
from snakemake.utils import update_config

from synthcohort.cli import main
from synthcohort.core.atomic import file_digest, value_digest
from synthcohort.core.errors import UserError
from synthcohort.core.load import load_study
from synthcohort.core.shown import NOT_SHOWN, shown_config
from synthcohort.provenance.crate import write_crate
from synthcohort.provenance.record import PROVENANCE, Provenance, read_provenance, record_provenance
from synthcohort.provenance.software import CODE, LOCK, code_version, environment
from synthcohort.provenance.verify import check_results
from test_core import make_store

ROOT = Path(__file__).parents[2]


def study_config() -> dict:
    config = yaml.safe_load((ROOT / "studies/tiny.yaml").read_text())
    del config["cohorts"][0]["phantom"]
    config["cohorts"][0]["data"] = {"folder": "/ward/Erika-Muster", "labels": "/ward/labels-of-erika.csv"}
    config["classifier"]["network"], config["judge"] = "densenet121", {"network": "small"}
    config["classifier"]["weights"] = "/home/erika/weights.pth"
    return config


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Give the folder of a finished study: a store, a table, a figure, a record."""
    folder = tmp_path / "results/tiny"
    make_store(folder / "cohorts/head-phantom/store/008", np.arange(5 * 64, dtype=np.uint8).reshape(5, 1, 8, 8))
    files = {"tables/resolution.csv": "a,b\n1,2\n", "figures/auroc-resolution.svg": "<svg/>"}
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    record = record_provenance(
        folder,
        load_study(study_config()),
        code_version(ROOT),
        environment(ROOT),
        {"head-phantom": {"inventory": "0123456789abcdef", "labels": "absent"}},
        {"number_figures": [str(folder / name) for name in files]},
    )
    (folder / PROVENANCE).write_text(record.model_dump_json())
    return folder


def test_the_record_says_what_made_each_file(results: Path) -> None:
    record = read_provenance(results / PROVENANCE)
    assert {result.path: result.rule for result in record.results} == {
        "tables/resolution.csv": "number_figures",
        "figures/auroc-resolution.svg": "number_figures",
    }
    assert record.digests["tables/resolution.csv"] == file_digest(results / "tables/resolution.csv")
    store = record.cohorts[0].stores["008"]
    assert store.images == 5
    assert store.files["cohorts/head-phantom/store/008/images.npy"] == file_digest(
        results / "cohorts/head-phantom/store/008/images.npy"
    )
    assert record.seeds.study == 1
    assert record.environment.lock_sha256 == file_digest(ROOT / LOCK)
    assert record.environment.packages["numpy"] == np.__version__
    assert record.config_sha256 == value_digest(shown_config(load_study(study_config())))


@pytest.mark.parametrize("name", ["tiny", "smoke", "evidence", "paper"])
def test_the_shown_config_makes_the_same_study_again(name: str) -> None:
    """As Snakemake reads it: merged into config.yaml, which has readers and other cohorts."""
    study = load_study(yaml.safe_load((ROOT / f"studies/{name}.yaml").read_text()))
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load(yaml.safe_dump(shown_config(study))))
    again = load_study(config)
    assert shown_config(again) == shown_config(study)
    assert name == "paper" or again == study, "but for the paths of own data"


def test_no_path_of_own_data_and_no_name_of_the_machine_is_on_record(results: Path) -> None:
    text = (results / PROVENANCE).read_text()
    assert text.count(NOT_SHOWN) == 3
    for word in ("erika", "muster", "/ward", "/home", str(ROOT), str(results.parent)):
        assert word.lower() not in text.lower()


def test_the_reason_of_an_override_stays_in_the_bundle() -> None:
    terms = {"cohort": "head-phantom", "experiment": "resolution-008", "source": "r3-gan", "creator": "Clinic"}
    config = yaml.safe_load((ROOT / "studies/tiny.yaml").read_text())
    config["release"] = {**terms, "license": "CC0-1.0", "override": "Professor Muster allowed it in his letter."}
    shown = shown_config(load_study(config))
    assert "Muster" not in str(shown)
    assert load_study(shown).release.override, "still a release that needs one"


def test_verify_names_a_changed_and_a_missing_file(results: Path, capsys) -> None:
    assert main(["verify", str(results)]) == 0
    assert "5 files match." in capsys.readouterr().out
    (results / "tables/resolution.csv").write_text("a,b\n1,3\n")
    (results / "figures/auroc-resolution.svg").unlink()
    with open(results / "cohorts/head-phantom/store/008/images.npy", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    assert main(["verify", str(results)]) == 1
    said = capsys.readouterr().err
    assert "2 files match. 2 differ from the record: " in said
    assert "cohorts/head-phantom/store/008/images.npy, tables/resolution.csv." in said
    assert "1 are missing: figures/auroc-resolution.svg." in said


def test_a_crate_is_not_packed_with_a_file_that_was_changed(results: Path, tmp_path: Path) -> None:
    given = [str(results / "tables/resolution.csv")]
    write_crate(tmp_path / "crate.zip", results, given, ROOT)
    crate = ROCrate(tmp_path / "crate.zip")
    assert crate.get("tables/resolution.csv")["description"] == "Made by rule number_figures."
    assert crate.get("figures/auroc-resolution.svg") is None, "only what was named"
    (tmp_path / "crate.zip").unlink()
    (results / "tables/resolution.csv").write_text("a,b\n1,3\n")
    with pytest.raises(UserError, match=r"tables/resolution\.csv is not the file that provenance\.json knows"):
        write_crate(tmp_path / "crate.zip", results, given, ROOT)
    assert not (tmp_path / "crate.zip").exists()


def test_an_unpacked_crate_is_checked_whole(results: Path, tmp_path: Path, capsys) -> None:
    write_crate(tmp_path / "crate.zip", results, [str(results / "tables/resolution.csv")], ROOT)
    folder = tmp_path / "crate"
    shutil.unpack_archive(tmp_path / "crate.zip", folder)
    assert main(["verify", str(folder)]) == 0
    for name in ("config.yaml", LOCK, "README.md", "workflow/Snakefile"):
        (folder / name).write_text((folder / name).read_text() + "\n# changed\n")
    (folder / "workflow/rules/gan.smk").unlink()
    (folder / "tables/more.csv").write_text("a\n")
    capsys.readouterr()
    assert main(["verify", str(folder)]) == 1
    said = capsys.readouterr().err
    assert f"4 differ from the record: README.md, config.yaml, {LOCK}, workflow/Snakefile." in said
    assert "1 are missing: workflow/rules/gan.smk. 1 are not on record: tables/more.csv." in said


def test_an_empty_folder_is_not_verified(results: Path, tmp_path: Path, capsys) -> None:
    assert main(["verify", str(tmp_path / "nowhere"), "--against", str(results / PROVENANCE)]) == 1
    assert "there is none of the 2 files on record" in capsys.readouterr().err


def test_a_crate_is_not_packed_with_another_lock(results: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOT / "rules", root / "rules")
    shutil.copy(ROOT / "Snakefile", root)
    (root / LOCK).write_text((ROOT / LOCK).read_text() + "another==1\n")
    with pytest.raises(UserError, match=r"requirements\.lock is not the one"):
        write_crate(tmp_path / "crate.zip", results, [str(results / "tables/resolution.csv")], root)


def test_another_run_is_compared_by_what_repeats_byte_for_byte(results: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(results, other)
    (other / "figures/auroc-resolution.svg").write_text("<svg drawn='later'/>")
    pseudonyms = other / "cohorts/head-phantom/store/008/records.parquet"
    pseudonyms.write_bytes(pseudonyms.read_bytes() + b"of another key")
    (other / PROVENANCE).unlink()
    assert check_results(other, against=results / PROVENANCE).changed == []
    (other / "tables/resolution.csv").write_text("a,b\n1,3\n")
    assert check_results(other, against=results / PROVENANCE).changed == ["tables/resolution.csv"]


def test_a_record_that_was_edited_is_refused(results: Path) -> None:
    record = json.loads((results / PROVENANCE).read_text())
    record["config"]["seed"] = 2
    (results / PROVENANCE).write_text(json.dumps(record))
    with pytest.raises(UserError, match="not as the workflow wrote it"):
        read_provenance(results / PROVENANCE)
    (results / PROVENANCE).unlink()
    with pytest.raises(UserError, match="is missing; finish the study"):
        read_provenance(results / PROVENANCE)


def test_code_knows_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True).stdout.strip()

    copy = tmp_path / "copy"
    (copy / "scripts").mkdir(parents=True)
    for name in ("Snakefile", LOCK):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "rules", copy / "rules")
    without = code_version(copy)
    assert (without.commit, without.changed) == (None, None)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    clean = code_version(copy)
    assert (clean.commit, clean.changed, clean.sha256) == (git("rev-parse", "HEAD"), False, without.sha256)
    (copy / "my-study.yaml").write_text("study: mine")
    assert not code_version(copy).changed, "a study of one's own is no change of the code"
    (copy / "rules/report.smk").write_text("# nothing")
    assert code_version(copy).changed
    assert code_version(copy).sha256 != clean.sha256
    assert set(CODE) <= {path.name for path in copy.iterdir()}


def test_packages_that_differ_from_the_lock_are_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(
        f"numpy==1.0\npandas=={pd.__version__}\nno-such-package==3.1\ncolorama==0.1 ; sys_platform == 'win32'\n"
    )
    assert environment(tmp_path).differs_from_lock == {"numpy": "1.0", "no-such-package": "3.1"}


def test_a_synthetic_store_is_on_record_by_the_digests_that_it_holds(results: Path) -> None:
    """Its images are not read again."""
    name = "cohorts/head-phantom/resolution-008/r3-gan/r0/synthetic/train"
    make_store(results / name, np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8))
    image = results / name / "images.npy"
    expected, told = file_digest(image), file_digest(results / name / "store.json")
    image.unlink()
    told_of = {"head-phantom": {"inventory": "0123456789abcdef", "labels": "absent"}}
    given = {"sample": [str(results / name / "store.json")]}
    study = load_study(study_config())
    record = record_provenance(results, study, code_version(ROOT), environment(ROOT), told_of, given)
    made = {result.path: result.sha256 for result in record.results}
    assert (made[f"{name}/images.npy"], made[f"{name}/store.json"]) == (expected, told)
    assert set(made) == {f"{name}/{file}" for file in ("images.npy", "records.parquet", "store.json")}


def test_the_record_refuses_what_is_no_digest(results: Path) -> None:
    record = json.loads((results / PROVENANCE).read_text())
    record["results"][0]["sha256"] = "abc"
    with pytest.raises(ValueError, match="sha256"):
        Provenance.model_validate(record)
