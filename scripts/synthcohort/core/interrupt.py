"""Ending on request: schedulers send SIGTERM before they kill."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - no error
    """A job was asked to end, saved its state, and can be continued by the same command."""


class Request:
    """Whether the process was asked to end."""

    made = False


@contextmanager
def termination_request() -> Iterator[Request]:
    """Note SIGTERM instead of dying of it, so that work can end at a point from which it continues."""
    request = Request()

    def note(number: int, frame: FrameType | None) -> None:
        request.made = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
