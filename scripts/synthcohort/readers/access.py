"""Who may come in: tokens, kept as digests, and a limit on guessing."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterable

TOKEN_BYTES = 24
FAILURES = 10
"""Wrong tokens that one address may send …"""
PERIOD = 600.0
"""… within this many seconds."""
ADDRESSES = 10_000
"""Addresses that are remembered at most."""


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


class GuessLimit:
    """Counts wrong tokens by address."""

    def __init__(self, failures: int = FAILURES, period: float = PERIOD) -> None:
        self._allowed, self._period = failures, period
        self._failed: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Seconds until this address may try again, 0 where it may now."""
        with self._lock:
            recent = self._recent(address)
            return max(0.0, recent[0] + self._period - time.monotonic()) if len(recent) >= self._allowed else 0.0

    def note_failure(self, address: str) -> None:
        """Note a wrong token."""
        with self._lock:
            if len(self._failed) >= ADDRESSES and address not in self._failed:
                self._failed = {known: times for known in list(self._failed) if (times := self._recent(known))}
            self._failed[address] = [*self._recent(address), time.monotonic()][-self._allowed :]

    def _recent(self, address: str) -> list[float]:
        since = time.monotonic() - self._period
        return [moment for moment in self._failed.get(address, []) if moment > since]
