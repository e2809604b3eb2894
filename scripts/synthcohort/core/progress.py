"""Logging of jobs, and a bar or a status line for everything that takes longer than five seconds."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
logger = logging.getLogger("synthcohort")
STATUS_SECONDS = 10.0


def configure_logging(log_file: str | Path | None = None) -> None:
    """Send the library's log to the terminal and, where given, to a job's log file."""
    logging.raiseExceptions = False  # a log that a full disk refuses must not bury the error's sentence
    logger.setLevel(logging.INFO)
    logger.handlers.clear()
    logger.propagate = False
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="a", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)


def track(items: Iterable[Item], description: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Iterate with a bar in a terminal, and with a status line every ten seconds in the log.

    Parameters
    ----------
    items : iterable
        What to iterate over.
    description : str
        What is being done, for example ``"head-phantom: drawing"``.
    total : int, optional
        Number of items, where `items` has no length.
    unit : str
        Name of one item.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    start = last = time.monotonic()
    bar = tqdm(items, description, total, unit=unit, disable=not sys.stderr.isatty(), leave=False)
    for done, item in enumerate(bar, start=1):
        yield item
        now = time.monotonic()
        if now - last >= STATUS_SECONDS:
            last = now
            share = f"{done} of {total}" if total else f"{done}"
            logger.info("%s: %s %s, %.0f per second", description, share, unit, done / (now - start))
