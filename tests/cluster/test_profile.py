"""What the shipped profile asks SLURM for, seen by an `sbatch` that writes its words down and refuses."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from workflows import ROOT, Workflow

pytestmark = pytest.mark.workflow
FAKE = '#!/bin/sh\necho "$*" >> {}\nexit 1\n'
COHORTS = {f"results/demo/cohorts/{anatomy}-phantom": anatomy for anatomy in ("head", "chest")}
LEVELS = ["resolution-016", "resolution-032", "classes-002", "classes-004"]
SAMPLES = {"head": ["samples-00050", "samples-00200"], "chest": ["samples-00040", "samples-00120"]}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words of every sbatch for eleven selections and one training of the default study; inputs are empty files."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "bin").mkdir()
    (folder / "bin/sbatch").write_text(FAKE.format(folder / "words"))
    (folder / "bin/sbatch").chmod(0o755)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config |= {"device": "cuda", "processes": 4, "threads": 2, "gpu_model": "a100"}
    workflow = Workflow(folder / "project", config)
    training = "results/demo/cohorts/head-phantom/resolution-032"
    names = ["experiments.csv", "split.parquet", "store/016/records.parquet", "store/016/store.json"]
    inputs = [f"{cohort}/{name}" for cohort in COHORTS for name in names]
    inputs += [f"{Path(training).parent}/store/032/{name}" for name in ("images.npy", "records.parquet", "store.json")]
    inputs += [f"{training}/real/r0/classifier.{kind}" for kind in ("json", "safetensors")]
    selections = [
        f"{cohort}/{level}/selection.parquet" for cohort in COHORTS for level in LEVELS + SAMPLES[COHORTS[cohort]]
    ]
    for name in [*inputs, f"{training}/selection.parquet"]:
        (workflow.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (workflow.folder / name).touch()
    targets = [*selections, f"{training}/r3-gan/r0/generator.safetensors"]
    command = [word for word in workflow.command(*targets) if word not in ("--cores", "2")]
    command += ["--allowed-rules", "select_images", "train_generator"]
    command += ["--workflow-profile", str(ROOT / "profiles/slurm"), "--retries", "0", "--keep-going"]
    command += ["--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "1"]
    command += ["--default-resources", "slurm_partition=cpu"]
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SLURM_CONF": os.devnull}
    done = subprocess.run(
        command, cwd=workflow.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert (folder / "words").is_file(), done.stdout + done.stderr
    return (folder / "words").read_text().splitlines()


def number(word: str, asked: str) -> int:
    found = re.search(rf"{word}[ =]([0-9]+)", asked)
    assert found, asked
    return int(found[1])


def test_groups_fit_a_small_node(asked: list[str]) -> None:
    selections = [words for words in asked if "select_images" in words]
    requests = [(number("--cpus-per-task", words), number("--mem", words)) for words in selections]
    assert sorted(requests) == [(3, 3000), (4, 4000), (4, 4000)]
    assert len({number("-t", words) for words in selections}) == 1, "side by side: no more time than one job"


def test_a_training_in_several_processes_asks_for_cards_of_one_node(asked: list[str]) -> None:
    (training,) = [words for words in asked if "train_generator" in words and "select_images:" not in words]
    assert "--gpus=a100:4" in training
    assert number("--nodes", training) == 1
    assert number("--cpus-per-task", training) == 8


def test_jobs_of_a_lost_node_are_left_to_slurm(asked: list[str]) -> None:
    assert all(" --requeue " in words for words in asked)


def test_no_group_asks_for_more_than_four_cores() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    groups = dict(entry.split("=") for entry in profile["groups"])
    sizes = dict(entry.split("=") for entry in profile["group-components"])
    assert sizes == dict.fromkeys(groups.values(), "4")
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    for name in groups:
        (body,) = re.findall(rf"^( *)rule {name}:\n((?:\1 .*\n|\n)*)", rules, re.MULTILINE)
        assert "threads: 1\n" in body[1]
