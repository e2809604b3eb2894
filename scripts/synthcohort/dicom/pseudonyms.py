"""Pseudonyms that cannot be traced back without the key in ``private/`` (PS3.15 annex E asks for as much)."""

import contextlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from synthcohort.core.errors import UserError

KEY_BYTES = 32
HEX_DIGITS = 16


class Pseudonyms:
    """Keyed pseudonyms of files, patients and studies: HMAC-SHA-256, cut to 16 hexadecimal digits.

    Parameters
    ----------
    key : bytes
        The secret; whoever has it can test a guessed identifier against a pseudonym.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, private_folder: str | Path) -> "Pseudonyms":
        """Load the key of a cohort, or create it (mode 0600, its folder 0700); safe when two jobs come at once.

        Raises
        ------
        UserError
            When the key file does not hold a key.
        """
        path = private_path(private_folder, "key")
        if not path.exists():
            _create_key(path)
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise UserError(
                "the pseudonymisation key in the cohort's private folder is damaged; restore it from a backup, or "
                "delete the file 'key' there to give every patient a new pseudonym."
            )
        return cls(key)

    def file_id(self, relative_path: str) -> str:
        """Pseudonym of a file, from its path below the cohort's folder."""
        return self._pseudonym("file", relative_path)

    def patient(self, patient_id: str) -> str:
        """Pseudonym of a patient, from the patient ID."""
        return self._pseudonym("patient", patient_id)

    def study(self, uid: str) -> str:
        """Pseudonym of a study, from its study instance UID."""
        return self._pseudonym("study", uid)

    def secret(self, purpose: str) -> bytes:
        """Derive 32 bytes for another purpose, from which neither the key nor a pseudonym can be found."""
        return hmac.digest(self._key, f"secret|{purpose}".encode(), "sha256")

    def _pseudonym(self, purpose: str, value: str) -> str:
        message = f"{purpose}|{value}".encode("utf-8", "backslashreplace")
        return hmac.digest(self._key, message, "sha256").hex()[:HEX_DIGITS]


def private_path(private_folder: str | Path, name: str) -> Path:
    """Path of a file in a private folder, which is made when absent and open to its owner alone."""
    folder = Path(private_folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder / name


def _create_key(path: Path) -> None:
    """Write a new key as a whole; when another process was first, its key stays."""
    handle, name = tempfile.mkstemp(prefix=".key.", dir=path.parent)  # mkstemp makes files of mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)  # unlike a rename, a link never replaces what is there
    finally:
        os.unlink(name)
