"""Who may come in: tokens, kept as digests, and a limit on guessing."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

TOKEN_BYTES = 24
FAILURES = 10
"""Wrong tokens that one address may send …"""
PERIOD = 600.0
"""… within this many seconds."""
ADDRESSES = 10_000
"""Addresses that are remembered at most; of more, those whose last wrong token is oldest are forgotten."""

Holder = TypeVar("Holder")


def new_token() -> str:
    """Draw a token of 192 bits, in 32 characters that need no quoting in an address."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> bytes:
    """SHA-256 of a token; a salt or a slow hash would add nothing, as nobody can try 2^192 tokens."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def holder_of(token: str, known: Iterable[tuple[str, bytes]]) -> str | None:
    """Find whose token it is, in a time that depends on nothing but how many are known.

    Parameters
    ----------
    token : str
        As sent.
    known : iterable of (str, bytes)
        Names and digests.

    Returns
    -------
    str or None
        The name.
    """
    digest, found = token_digest(token), None
    for name, own in known:
        if hmac.compare_digest(digest, own):
            found = name
    return found


class TooManyError(Exception):
    """An address that sent too many wrong tokens; `seconds` say when it may try again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds = seconds


class GuessLimit:
    """Counts wrong tokens by address."""

    def __init__(self, failures: int = FAILURES, period: float = PERIOD) -> None:
        self._allowed, self._period = failures, period
        self._failed: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def admit(self, address: str, check: Callable[[], Holder | None]) -> Holder | None:
        """Check a token, one at a time, so that many tries at once are no way around the limit.

        Parameters
        ----------
        address : str
            Who tries.
        check : callable
            Gives None where the token is wrong.

        Returns
        -------
        What `check` gives.

        Raises
        ------
        TooManyError
            Unchecked, when this address has to wait.
        """
        with self._lock:
            now = time.monotonic()
            recent = [moment for moment in self._failed.get(address, []) if moment > now - self._period]
            if len(recent) >= self._allowed:
                raise TooManyError(recent[0] + self._period - now)
            found = check()
            if found is None:
                self._failed.pop(address, None)
                self._failed[address] = [*recent, now]  # at the end
                while len(self._failed) > ADDRESSES:
                    del self._failed[next(iter(self._failed))]
            return found
