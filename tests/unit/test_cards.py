"""Jobs side by side on a workstation never share a card: real processes, cards that nvidia-smi is made to name."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synthcohort.core.cards import SCHEDULERS

JOB = """
import os, sys, time
from pathlib import Path
from synthcohort.core import cards
from synthcohort.core.progress import configure_logging
cards.LOCKS, cards.DEVICES, cards.PAUSE = Path(sys.argv[1]), Path(sys.argv[1]).parent / "dev", 0.05
configure_logging()
cards.hold_cards("cuda", int(sys.argv[2]))
print("has", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
print(os.environ.get("CUDA_DEVICE_ORDER"), flush=True)
time.sleep(60)
"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with two cards."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho '0, GPU-a'\necho '1, GPU-b'\n")
    tool.chmod(0o755)
    hidden = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", *SCHEDULERS)
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "PATH": f"{tool.parent}:{os.environ['PATH']}"}


@pytest.fixture
def start(machine: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    jobs = []

    def starting(count: int = 1, **changes: str) -> subprocess.Popen:
        command = [sys.executable, "-c", JOB, str(tmp_path / "locks"), str(count)]
        job = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**machine, **changes}
        )
        jobs.append(job)
        return job

    yield starting
    for job in jobs:
        job.kill()
        job.communicate()


def says(job: subprocess.Popen) -> str:
    """The next word that matters: what it has, that it waits, or the error it ends with."""
    for line in job.stdout:
        if "has " in line or "waiting" in line or line.startswith("synthcohort"):
            return line.strip()
    return "ended"


def has(job: subprocess.Popen) -> str:
    while not (line := says(job)).startswith("has"):
        assert line != "ended"
    return line.removeprefix("has").strip()


def test_each_job_has_a_card_of_its_own_until_it_is_dead(start: Callable[..., subprocess.Popen]) -> None:
    first, second = start(), start()
    cards = {first: has(first), second: has(second)}
    assert set(cards.values()) == {"GPU-a", "GPU-b"}
    third = start()
    assert "waiting for 1 of 2 cards" in says(third)
    first.send_signal(signal.SIGKILL)
    assert has(third) == cards[first]


def test_two_cards_are_taken_together_or_not_at_all(start: Callable[..., subprocess.Popen]) -> None:
    first = start()
    assert has(first) == "GPU-a"
    both = start(2)
    assert "waiting for 2 of 2 cards" in says(both)
    time.sleep(0.3)
    other = start()
    assert has(other) == "GPU-b"  # it was not kept by who waits
    first.kill()
    other.kill()
    assert has(both) == "GPU-a,GPU-b"


def test_jobs_of_a_snakemake_within_a_schedulers_job_share_its_cards(start: Callable[..., subprocess.Popen]) -> None:
    """Another job of the scheduler, whose card has the same index, is not in the way."""
    within = {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1", "PATH": "/nowhere"}
    assert {has(start(1, **within)), has(start(1, **within))} == {"0", "1"}
    third, other = start(1, **within), start(1, **{**within, "SLURM_JOB_ID": "8"})
    assert "waiting for 1 of 2 cards" in says(third)
    assert has(other) == "0"


def test_cards_without_nvidia_smi(start: Callable[..., subprocess.Popen], tmp_path: Path) -> None:
    """Device files are named by index; nvidiactl and the like are no cards."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia3", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    job = start(2, PATH="/nowhere")
    assert has(job) == "3,10"
    assert job.stdout.readline() == "PCI_BUS_ID\n", "the order of these indices, while CUDA begins with the fastest"


def test_more_cards_than_there_are(start: Callable[..., subprocess.Popen]) -> None:
    assert "config key processes: 3 cards are asked for, but 2 can be seen" in says(start(3))


@pytest.mark.parametrize(
    "changes", [{"CUDA_VISIBLE_DEVICES": "-1"}, {"CUDA_VISIBLE_DEVICES": ""}, {"PATH": "/nowhere"}]
)
def test_who_has_no_card_is_left_alone(start: Callable[..., subprocess.Popen], changes: dict[str, str]) -> None:
    assert has(start(1, **changes)) == str(changes.get("CUDA_VISIBLE_DEVICES"))
