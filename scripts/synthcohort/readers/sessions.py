"""Personal links and what follows from them: a session in a browser."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from synthcohort.readers.access import holder_of, new_token, token_digest
from synthcohort.readers.answers import AnswerBook

ADMINISTRATOR = "administrator"
SESSION_SECONDS = 12 * 3600
"""After this a browser needs the link again, so that a shared workstation forgets who used it."""


class Sessions:
    """Tokens of links and of browsers, of which the file keeps digests only.

    Parameters
    ----------
    book : AnswerBook
        Where they are kept.
    """

    def __init__(self, book: AnswerBook) -> None:
        self._book = book

    def issue_links(self, names: Iterable[str], renew: Iterable[str] = ()) -> dict[str, str]:
        """Draw tokens for those who have none yet, and new ones for those in `renew`; they cannot be shown again.

        Whoever is not in `names`, because the study was built anew with fewer readers, cannot come in any more.

        Returns
        -------
        dict
            Token by name, the new ones only. Whoever gets a new one is signed out everywhere.
        """
        names = list(names)
        known = {row["name"] for row in self._book.query("SELECT name FROM links")}
        tokens = {name: new_token() for name in names if name not in known - set(renew)}
        with self._book.write() as database:
            for name in known - set(names):
                for table in ("links", "sessions"):
                    database.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
            for name, token in tokens.items():
                issued = datetime.now(UTC).isoformat(timespec="seconds")
                database.execute("INSERT OR REPLACE INTO links VALUES (?, ?, ?)", (name, token_digest(token), issued))
                database.execute("DELETE FROM sessions WHERE name = ?", (name,))
        return tokens

    def open(self, link_token: str) -> tuple[str, str] | None:
        """Exchange the token of a link for a session: (name, session token), or None where the token is wrong."""
        known = self._book.query("SELECT name, digest FROM links")
        name = holder_of(link_token, [(row["name"], row["digest"]) for row in known])
        if name is None:
            return None
        session, now = new_token(), time.time()
        with self._book.write() as database:
            database.execute("DELETE FROM sessions WHERE expires < ?", (now,))
            database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?)", (token_digest(session), name, now + SESSION_SECONDS)
            )
        return name, session

    def holder(self, session_token: str) -> str | None:
        """Whose session it is; None where it is none, or over."""
        open_now = self._book.query("SELECT name, digest FROM sessions WHERE expires >= ?", time.time())
        return holder_of(session_token, [(row["name"], row["digest"]) for row in open_now])

    def close(self, session_token: str) -> None:
        """End a session."""
        with self._book.write() as database:
            database.execute("DELETE FROM sessions WHERE digest = ?", (token_digest(session_token),))
