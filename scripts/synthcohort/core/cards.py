"""Cards of a workstation, each for one job at a time.

Snakemake counts cards but hands out none: without this, jobs side by side would all compute on the first. A scheduler
hands cards to its own jobs; where one of these is a whole Snakemake, its jobs share those cards in the same way.
"""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from itertools import takewhile
from pathlib import Path

from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger

SCHEDULERS = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "KUBERNETES_SERVICE_HOST")
"""Where one of these is set, cards are handed out by who set it, and are locked within its job alone."""
VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
DEVICES = Path("/dev")
LOCKS = Path(tempfile.gettempdir()) / "synthcohort-cards"
PAUSE = 1.0  # seconds between two looks for a free card
_held: list[int] = []  # descriptors: open until this process is dead, however it dies


def hold_cards(device: str, count: int) -> None:
    """Wait for free cards, keep them until this process ends, and show them alone to CUDA.

    Call it before CUDA is used. Cards that somebody hid by ``CUDA_VISIBLE_DEVICES`` stay hidden. The other processes of
    a training hold nothing themselves: they end with this one.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        The study's `device`.
    count : int
        How many cards: one per process of a training.

    Raises
    ------
    UserError
        When some cards can be seen, but fewer.
    """
    if device == "cpu":
        return
    cards = visible_cards()
    if not cards:  # `prepare_device` says so where it matters
        return
    if count > len(cards):
        raise UserError(f"config key processes: {count} cards are asked for, but {len(cards)} can be seen; lower it.")
    os.environ[VISIBLE] = ",".join(_wait_for(cards, count))
    os.environ[ORDER] = "PCI_BUS_ID"  # indices are nvidia-smi's, while CUDA would begin with the fastest card
    logger.info("holds card %s", os.environ[VISIBLE])


def visible_cards() -> list[str]:
    """List the cards that may be used, by identifiers that are the same for every process."""
    names = _names()
    shown = os.environ.get(VISIBLE)
    if shown is None:
        return list(names.values())
    words = [word for word in map(str.strip, shown.split(",")) if word]
    return [names.get(word, word) for word in takewhile(lambda word: word != "-1", words)]  # as CUDA reads it


def _names() -> dict[str, str]:
    """Give the identifier of each card by its index; without nvidia-smi that is the index itself."""
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except OSError:
        found = sorted(int(path.name.removeprefix("nvidia")) for path in DEVICES.glob("nvidia[0-9]*"))
        return {str(index): str(index) for index in found}
    except subprocess.CalledProcessError:  # it is installed, but no card answers
        return {}
    return dict(line.split(", ") for line in lines)


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
    job = next((f"{os.environ[name]}-" for name in SCHEDULERS if name in os.environ), "")
    for card in cards:
        descriptor = _open(LOCKS / f"{job}{card}")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        taken[card] = descriptor
        if len(taken) == count:
            _held.extend(taken.values())
            return list(taken)
    for descriptor in taken.values():
        os.close(descriptor)
    return []
