"""The shipped profile on a real SLURM: the same bytes as on one machine, whatever happens to a job on the way.

Only with SYNTHCOHORT_TEST_SLURM=1, as CI sets it: starting SLURM needs root, and a machine that has none of its own.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from compared import COHORT, GENERATOR, RUN, TRAINING_LOG, digests, tiny
from slurm import ENVIRONMENT, NODES, Slurm, ask
from watching import unlock, wait_until
from workflows import ROOT, Workflow

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(os.environ.get("SYNTHCOHORT_TEST_SLURM") != "1", reason="SYNTHCOHORT_TEST_SLURM=1 starts SLURM"),
]


class ClusterWorkflow(Workflow):
    """The same study, run through sbatch."""

    def command(self, *arguments: str) -> list[str]:
        """Add the profile; the executor's first look at a job, after 40 seconds by default, would cost minutes."""
        command = [word for word in super().command(*arguments) if word not in ("--cores", "2")]
        profile = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--slurm-init-seconds-before-status-checks", "2"]
        return [*command, *profile, "--slurm-no-account", "--default-resources", "slurm_partition=cpu"]

    def start(self, *arguments: str) -> subprocess.Popen:
        """With the configuration of the SLURM under test."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**ENVIRONMENT, "COLUMNS": "200"},
        )

    def unlock(self) -> None:
        """With the same configuration, as it asks the queue; again while a process still works here, as it says.

        This SLURM has no cgroups: it loses sight of a training that writes its checkpoint after its parent has ended.
        """
        deadline = time.monotonic() + 60
        while (done := unlock(self.folder, ENVIRONMENT)).returncode:
            assert "still works in this folder; wait until it is done" in done.stderr, done.stderr
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.5)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    running = Slurm()  # refuses outside: what is somebody else's must not be stopped
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("local") / "project", tiny())
    workflow.run()
    return workflow


@pytest.fixture
def half_done(slurm: Slurm, local: Workflow, tmp_path: Path) -> ClusterWorkflow:
    """The finished local project without its generator and all that came of it."""
    shutil.copytree(local.folder, tmp_path / "project", symlinks=True)
    workflow = ClusterWorkflow(tmp_path / "project", tiny())
    shutil.rmtree(workflow.folder / RUN)
    (workflow.folder / TRAINING_LOG).unlink()
    return workflow


def start_training(workflow: ClusterWorkflow, *arguments: str) -> subprocess.Popen:
    """Start the generator's training through SLURM and wait until it has learnt something."""
    process = workflow.start(GENERATOR, *arguments)  # --set-resources takes all words that follow it
    log = workflow.folder / TRAINING_LOG
    wait_until(lambda: log.is_file() and "of 3.0 kimg" in log.read_text(), process)
    return process


def job_id() -> str:
    """The one job that runs now."""
    (number,) = ask("squeue", "--noheader", "--states=R", "--format=%i").split()
    return number


def node_of(number: str) -> str:
    """Where a job runs."""
    return ask("squeue", "--noheader", f"--jobs={number}", "--format=%N").strip()


def ends_in_the_same_bytes(process: subprocess.Popen, workflow: ClusterWorkflow, local: Workflow) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-6000:]
    made = digests(workflow.folder)
    assert GENERATOR in made
    assert made.items() <= digests(local.folder).items()
    return output


def test_whole_study(slurm: Slurm, local: Workflow, tmp_path: Path) -> None:
    workflow = ClusterWorkflow(tmp_path / "project", tiny())
    shutil.copytree(local.folder / "private", workflow.folder / "private")  # the key of the pseudonyms
    output = workflow.run()
    assert output.count("has been submitted with SLURM jobid") > 20
    assert digests(workflow.folder) == digests(local.folder)
    assert "Nothing to be done" in workflow.run()


def test_jobs_of_seconds_are_submitted_together(slurm: Slurm, local: Workflow, tmp_path: Path) -> None:
    """Four selections are one SLURM job that runs them side by side, as the profile groups them."""
    axis = {"axis": "samples", "levels": [1, 2, 3, 4], "families": ["r3-gan"], "resolution": 8, "combinations": 2}
    config = tiny()
    config["axes"].append(axis)
    names = [f"samples-{level:05d}" for level in axis["levels"]]
    selections = [f"{COHORT}/{name}/selection.parquet" for name in names]
    shutil.copytree(local.folder, tmp_path / "project", symlinks=True)
    alone = Workflow(tmp_path / "project", config)
    alone.run(*selections)
    made = digests(alone.folder)
    for path in selections:
        (alone.folder / path).unlink()
    output = ClusterWorkflow(alone.folder, config).run(*selections)
    assert output.count("has been submitted with SLURM jobid") == 1
    assert digests(alone.folder) == made


def test_a_cancelled_job_is_queued_again(half_done: ClusterWorkflow, local: Workflow) -> None:
    process = start_training(half_done)
    ask("scancel", job_id())
    output = ends_in_the_same_bytes(process, half_done, local)
    assert "Trying to restart job" in output


def test_killed_snakemake(half_done: ClusterWorkflow, local: Workflow) -> None:
    """Its job runs on: as docs/cluster.md says, cancel as `synthcohort unlock` tells, unlock, run again."""
    process = start_training(half_done)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    number = job_id()
    run = ask("squeue", "--noheader", f"--jobs={number}", "--format=%j").strip()
    logs = "".join(path.read_text() for path in (half_done.folder / ".snakemake/log").glob("*.log"))
    assert f"SLURM run ID: {run}" in logs
    refused = unlock(half_done.folder, ENVIRONMENT)
    assert refused.returncode == 1
    command = f"scancel --name={run}"
    assert f"1 SLURM jobs of this folder still wait or run; end them with `{command}`" in refused.stderr
    ask(*command.split())
    while number in ask("squeue", "--noheader", "--states=R,CG", "--format=%i").split():
        time.sleep(0.2)
    assert not (half_done.folder / GENERATOR).exists()
    half_done.unlock()
    ends_in_the_same_bytes(half_done.start(GENERATOR), half_done, local)


def test_a_job_over_its_memory_asks_for_more(half_done: ClusterWorkflow, local: Workflow) -> None:
    """It has a card as well, by name alone: the made-up one computes nothing."""
    asked = ["train_generator:mem_mb=400 * attempt ** 2", "train_generator:gpu=1"]
    process = half_done.start(GENERATOR, "--set-resources", *asked)
    wait_until(
        lambda: "gres:gpu:1" in ask("squeue", "--noheader", "--states=R", "--Format=tres-per-job,tres-alloc"), process
    )
    output = ends_in_the_same_bytes(process, half_done, local)
    assert "Trying to restart job" in output
    logs = (half_done.folder / ".snakemake/slurm_logs/rule_train_generator").rglob("*.log")
    assert any("exceeded memory limit" in path.read_text() for path in logs)


def test_a_job_over_its_time(half_done: ClusterWorkflow, local: Workflow) -> None:
    """It hangs; SLURM ends it, and the next attempt goes on and is given more time."""
    process = start_training(half_done, "--set-resources", "train_generator:runtime=attempt")
    hanging = [job for job in psutil.process_iter(["cmdline"]) if _trains(job, half_done.folder)]
    assert hanging
    for job in hanging:
        job.suspend()
    wait_until(lambda: ask("squeue", "--noheader", "--states=R", "--format=%l").strip() == "2:00", process)
    output = ends_in_the_same_bytes(process, half_done, local)
    assert "Trying to restart job" in output


def _trains(job: psutil.Process, folder: Path) -> bool:
    words = " ".join(job.info["cmdline"] or [])
    return str(folder) in words and "train_generator.py" in words


def test_a_node_dies_and_comes_back(slurm: Slurm, half_done: ClusterWorkflow, local: Workflow) -> None:
    """Its slurmd is killed and its job with it; SLURM queues the job again by itself, and it goes on on the other."""
    process = start_training(half_done)
    number = job_id()
    node = node_of(number)
    slurm.kill_node(node, number)
    ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    (other,) = set(NODES) - {node}
    try:
        wait_until(lambda: node_of(number) == other, process)
        ends_in_the_same_bytes(process, half_done, local)
    finally:
        slurm.start_node(node)
        ask("scontrol", "update", f"nodename={node}", "state=resume")
        slurm.wait_for_nodes(len(NODES))


def test_controller_restarts(slurm: Slurm, half_done: ClusterWorkflow, local: Workflow) -> None:
    process = start_training(half_done)
    slurm.end("slurmctld")
    time.sleep(5)
    slurm.start_controller()
    ends_in_the_same_bytes(process, half_done, local)
