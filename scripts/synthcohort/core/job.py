"""What every rule's script runs in: a log, and clear sentences instead of tracebacks."""

import errno
import gc
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthcohort.core.cards import hold_cards
from synthcohort.core.errors import UserError
from synthcohort.core.interrupt import Interrupted
from synthcohort.core.progress import configure_logging, logger

TERMINATED = 128 + signal.SIGTERM  # what a shell reports for a process that was asked to end
DISK_SENTENCES = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, finished work is kept.",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again, finished work is kept.",
    errno.EROFS: "the folder cannot be written (read-only file system); choose another folder or make it writable.",
    errno.EACCES: "the folder cannot be written (permission denied); choose another folder or make it writable.",
    errno.EPERM: "the folder cannot be written (not permitted); choose another folder or make it writable.",
}


def describe_os_error(error: OSError) -> str | None:
    """Say in one sentence what the operating system refused, or None where that is no user's concern.

    Only paths below ``results/`` or ``data/`` are repeated: any other could name a patient.
    """
    sentence = DISK_SENTENCES.get(error.errno or 0)
    if sentence is None:
        return None
    name = str(error.filename or "")
    shown = f"{name}: " if name.startswith(("results/", "data/")) else ""
    return f"{shown}{sentence}"


@contextmanager
def job_errors() -> Iterator[None]:
    """Turn what a user can mend into one sentence, last in the log and on stderr, and exit code 1."""
    try:
        yield
    except UserError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except Interrupted as interruption:
        logger.warning("%s", interruption)
        sys.exit(TERMINATED)
    except OSError as error:
        sentence = describe_os_error(error)
        if sentence is None:
            frames = "".join(traceback.format_tb(error.__traceback__))
            sentence = (
                f"unexpected {type(error).__name__} (errno {error.errno}); this is a defect, please report:\n{frames}"
            )
        logger.error("error: %s", sentence)
        sys.exit(1)
    except Exception as error:
        logger.error(
            "unexpected %s; this is a defect, please report it:\n%s", type(error).__name__, traceback.format_exc()
        )
        sys.exit(1)


def run_job(snakemake: Any, function: Callable[[Any], None]) -> None:
    """Run one rule's work with its log open.

    Parameters
    ----------
    snakemake : object
        What Snakemake gives a script: `input`, `output`, `params`, `log`, `wildcards`.
    function : callable
        Called with `snakemake`; reads inputs, calls the library, writes outputs.
    """
    log = snakemake.log[0] if snakemake.log else None
    try:
        configure_logging(log)
    except OSError as error:
        sys.exit(f"error: {describe_os_error(error) or f'cannot write the log {Path(str(log)).name}.'}")
    gc.freeze()  # what was imported stays: looking through it again and again takes 6 % of drawing figures
    with job_errors():
        hold_cards(snakemake.params.get("device", "cpu"), snakemake.params.get("processes", 1))
        function(snakemake)
