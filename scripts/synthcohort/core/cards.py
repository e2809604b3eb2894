"""Cards of a workstation, each for one job at a time.

Snakemake counts cards but hands out none: without this, jobs side by side would all compute on the first. A scheduler
hands them out itself.
"""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger

SCHEDULERS = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "KUBERNETES_SERVICE_HOST")
"""Where one of these is set, whoever set it shares the cards out."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
LOCKS = Path(tempfile.gettempdir()) / "synthcohort-cards"
PAUSE = 1.0  # seconds between two looks for a free card
_held: list[int] = []  # descriptors: open until this process and its children are dead, however they die


def hold_cards(device: str, count: int) -> None:
    """Wait for free cards, keep them until this process ends, and show them alone to CUDA.

    Call it before CUDA is used. Cards that somebody hid by ``CUDA_VISIBLE_DEVICES`` stay hidden.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        The study's `device`.
    count : int
        How many cards: one per process of a training.

    Raises
    ------
    UserError
        When the machine has some cards, but fewer.
    """
    if device == "cpu" or any(name in os.environ for name in SCHEDULERS):
        return
    cards = visible_cards()
    if not cards:  # `prepare_device` says so where it matters
        return
    if count > len(cards):
        raise UserError(f"config key processes: {count} cards are asked for, but {len(cards)} can be seen; lower it.")
    os.environ[VISIBLE] = ",".join(_wait_for(cards, count))
    logger.info("holds card %s", os.environ[VISIBLE])


def visible_cards() -> list[str]:
    """List the cards of this machine that may be used, by identifiers that are the same for every process."""
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []
    names = dict(line.split(", ") for line in lines)
    shown = os.environ.get(VISIBLE)
    if shown is None:
        return list(names.values())
    return [names.get(word.strip(), word.strip()) for word in shown.split(",") if word.strip()]


def _wait_for(cards: list[str], count: int) -> list[str]:
    with contextlib.suppress(FileExistsError):
        LOCKS.mkdir()
        LOCKS.chmod(0o1777)  # for all users of the machine
    told = False
    while True:
        found = _take(cards, count)
        if found:
            return found
        if not told:
            logger.info("waiting for %d of %d cards: other jobs hold them", count, len(cards))
            told = True
        time.sleep(PAUSE)


def _open(path: Path) -> int:
    """Open for locking, which needs no right to write: the file may be another user's."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)


def _take(cards: list[str], count: int) -> list[str]:
    """Lock so many cards, or none: who held one and waited for another could wait for ever."""
    taken: dict[str, int] = {}
    for card in cards:
        descriptor = _open(LOCKS / card)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        taken[card] = descriptor
        if len(taken) == count:
            for held in taken.values():
                os.set_inheritable(held, True)  # the processes of a training outlive a killed job for a moment
            _held.extend(taken.values())
            return list(taken)
    for descriptor in taken.values():
        os.close(descriptor)
    return []
