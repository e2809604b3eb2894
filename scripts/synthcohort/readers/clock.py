"""Time on task, from what the server's own clock saw."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

HEARTBEAT = 20
"""Seconds after which a page that is looked at gives a sign of life."""
LONGEST_SILENCE = 3.0 * HEARTBEAT
"""A longer silence is an absence, and counts as this long."""

Kind = Literal["opened", "alive", "paused", "resumed", "answered"]


class Stamp(NamedTuple):
    """A sign of life of a reader at an image."""

    kind: str
    run: str
    """Which start of the server noted it: the monotonic clocks of two starts cannot be compared."""
    monotonic: float
    """Seconds of the server's monotonic clock."""
    at: float
    """Seconds since 1970 of the server's clock."""


class TimeOnTask(NamedTuple):
    """How long a reader looked at an image."""

    seconds: float
    interrupted: bool
    """True where the reader paused or was away, or the server was started anew, so that the time says little."""


def time_on_task(stamps: Sequence[Stamp]) -> TimeOnTask:
    """Add up the time between signs of life, pauses left out.

    Parameters
    ----------
    stamps : sequence of Stamp
        Of one reader at one image, in the order in which they came, the answer last.

    Returns
    -------
    TimeOnTask
        Seconds by the server's monotonic clock; where the server was started anew in between, by its wall clock.
        Without a sign of life before the answer 0, and interrupted, as nothing is known.

    Examples
    --------
    >>> time_on_task([Stamp("opened", "a", 5.0, 0.0), Stamp("answered", "a", 12.5, 0.0)])
    TimeOnTask(seconds=7.5, interrupted=False)
    """
    seconds, interrupted = 0.0, len(stamps) < 2
    for before, after in pairwise(stamps):
        if before.kind == "paused":
            interrupted = True
            continue
        same = before.run == after.run
        gap = after.monotonic - before.monotonic if same else max(0.0, after.at - before.at)
        interrupted = interrupted or not same or gap > LONGEST_SILENCE
        seconds += min(gap, LONGEST_SILENCE)
    return TimeOnTask(seconds, interrupted)
