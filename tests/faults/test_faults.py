"""What machines do to a study: nothing is lost, nothing wrong used silently, and a sentence says what to do."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from compared import (
    CLASSIFIER,
    COHORT,
    COMPLETE,
    GENERATOR,
    RUN,
    SHEET,
    STORE,
    TRAINING_LOG,
    complete_tiny,
    digests,
)
from watching import Watcher, jobs, unlock, wait_until
from workflows import Workflow, sentence

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """An undisturbed run; `seconds` says how much CPU time the first job of every rule took."""
    workflow = Workflow(tmp_path_factory.mktemp("whole") / "project", complete_tiny())
    process = workflow.start(*COMPLETE)
    watcher = Watcher()
    with watcher.watching(process.pid):
        output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output[-6000:]
    workflow.seconds = watcher.seconds
    return workflow


@pytest.fixture
def moved(whole: Workflow, tmp_path: Path) -> Workflow:
    """The whole project folder of the undisturbed run, with its .snakemake, in another place."""
    shutil.copytree(whole.folder, tmp_path / "moved" / "project", symlinks=True)
    return Workflow(tmp_path / "moved" / "project", complete_tiny())


def test_every_rule_is_killed_once(whole: Workflow, tmp_path: Path) -> None:
    """SIGKILL at a random moment of the first job of every rule, and one retry.

    A job that was done before its moment came, as no two runs take the same time, runs again with an earlier one.
    """
    cut = Workflow(tmp_path / "cut", complete_tiny())
    shutil.copytree(whole.folder / "private", cut.folder / "private")  # the keys of pseudonyms and of the reader study
    rules = cut.rules_to_run(*COMPLETE) - {"figures", "cohorts"}  # these two have no job of their own
    assert rules == set(whole.seconds)
    assert {"train_stage", "grow", "reader_study", "simulated_readers", "reader_metrics", "release", "crate"} < rules
    moment = random.Random(7)
    moments = {rule: moment.uniform(0, 0.95) * whole.seconds[rule] for rule in sorted(rules)}
    killed: set[str] = set()
    for latest in (1.0, 0.5, 0.25):
        left = rules - killed
        if not left:
            break
        again = ["--forcerun", *sorted(left)] if killed else []
        process = cut.start("--retries", "1", *COMPLETE, *again)
        watcher = Watcher({rule: latest * moments[rule] for rule in left})
        with watcher.watching(process.pid):
            output, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, output[-6000:]
        killed |= watcher.killed
    assert killed == rules
    assert digests(cut.folder) == digests(whole.folder)


def test_power_cut_during_training(whole: Workflow, moved: Workflow) -> None:
    """A training is asked to end, as schedulers do, begins again, and then everything dies at once."""
    shutil.rmtree(moved.folder / RUN)
    log = moved.folder / TRAINING_LOG
    log.unlink()
    process = moved.start("--retries", "1", GENERATOR, CLASSIFIER)
    wait_until(lambda: log.is_file() and "of 3.0 kimg" in log.read_text(), process)
    jobs(process.pid)["train_generator"].terminate()
    wait_until(lambda: log.is_file() and "continues at" in log.read_text(), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (moved.folder / GENERATOR).exists()
    assert "unlock" in moved.run(GENERATOR, CLASSIFIER, expect=1)
    moved.unlock()
    assert "r3-gan: continues at" in moved.run(GENERATOR, CLASSIFIER)
    made = digests(moved.folder)
    assert {GENERATOR, CLASSIFIER} <= made.keys()
    assert made.items() <= digests(whole.folder).items()


@pytest.fixture
def small_disk(whole: Workflow, tmp_path: Path) -> Iterator[Workflow]:
    """A project whose results/ is a file system of its own, too small for the study."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root, as CI has")
    workflow = Workflow(tmp_path / "small", complete_tiny())
    for name in ("data", "private"):
        shutil.copytree(whole.folder / name, workflow.folder / name)
    results = workflow.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(results)], check=True)
    yield workflow
    subprocess.run(["umount", str(results)], check=True)


def remount(workflow: Workflow, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(workflow.folder / "results")], check=True)


def test_full_disk(whole: Workflow, small_disk: Workflow) -> None:
    assert "the disk is full; free some space and run the same command again" in sentence(small_disk.run(expect=1))
    remount(small_disk, "size=100m")
    small_disk.run("cohorts")
    made = digests(small_disk.folder)
    assert {f"{COHORT}/experiments.csv", f"{STORE}/images.npy", f"{STORE}/store.json"} <= made.keys()
    assert made.items() <= digests(whole.folder).items()


def test_results_that_cannot_be_written(small_disk: Workflow) -> None:
    remount(small_disk, "ro")
    assert sentence(small_disk.run(expect=1)).startswith("results/ cannot be written; make it writable, or run with")


def flip_bit(path: Path) -> None:
    """What a failing disk does: one bit, and no new time of change."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("name", ["images.npy", "records.parquet", "store.json"])
def test_a_flipped_bit_in_a_store(whole: Workflow, moved: Workflow, name: str) -> None:
    """It is named before anything is made of it; what the sentence says brings back the same bytes."""
    target = f"{SHEET}.npz" if name == "images.npy" else f"{COHORT}/resolution-008/selection.parquet"
    flip_bit(moved.folder / STORE / name)
    (moved.folder / target).unlink()
    said = sentence(moved.run(target, expect=1))
    assert said.startswith(f"image store {STORE}: {name} ")
    assert "delete the folder and run the same command again" in said
    assert not (moved.folder / target).exists()
    if name == "images.npy":
        shutil.rmtree(moved.folder / STORE)
        moved.run(target)
        assert digests(moved.folder) == digests(whole.folder)


def test_two_snakemakes_at_once(whole: Workflow, moved: Workflow) -> None:
    """The second is told, `synthcohort unlock` refuses, and the first goes on undisturbed."""
    first = moved.start("--forcerun", "cohort_figure", f"{SHEET}.npz")
    wait_until(lambda: jobs(first.pid), first)
    os.killpg(first.pid, signal.SIGSTOP)  # so that it lives as long as it takes
    try:
        said = moved.run(f"{SHEET}.npz", expect=1)
        refused = unlock(moved.folder)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert "Traceback" not in said
    assert "Directory cannot be locked. Please make sure that no other Snakemake process is trying to create" in said
    assert refused.returncode == 1
    assert "works in this folder; wait until it is done or end it" in refused.stderr
    output, _ = first.communicate(timeout=400)
    assert first.returncode == 0, output[-6000:]
    assert digests(moved.folder) == digests(whole.folder)


def test_moved_folders(moved: Workflow, tmp_path: Path) -> None:
    """Nothing is rerun in a moved project, nor with results on another disk; without results everything is."""

    def idle(*arguments: str) -> bool:
        return "Nothing to be done" in moved.run("--dry-run", *arguments)

    assert idle()
    results, elsewhere = moved.folder / "results", tmp_path / "elsewhere"
    results.rename(elsewhere)
    assert {"preprocess", "train_generator", "report"} <= moved.rules_to_run()
    results.symlink_to(elsewhere)
    assert idle()
    results.unlink()
    fresh = Workflow(tmp_path / "fresh", complete_tiny())
    elsewhere.rename(fresh.folder / "results")
    assert "Nothing to be done" in fresh.run("--dry-run")
