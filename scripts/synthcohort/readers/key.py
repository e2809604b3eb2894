"""The answer key: a signed file that stays at home, apart from everything that is served."""

import hashlib
import secrets
from pathlib import Path

import pandas as pd
from itsdangerous import BadData, URLSafeSerializer

from synthcohort.core.atomic import write_text
from synthcohort.core.errors import UserError
from synthcohort.core.seeds import derive_seed
from synthcohort.dicom.pseudonyms import private_path

DIGITS = 12
"""Of a build's digest, in the names of its files."""


class AnswerKey:
    """The truth about a reader study's pictures, and the secret behind it.

    Parameters
    ----------
    private : Path
        Folder of all keys, open to its owner alone.
    study_id : str
        Whose key.
    digest : str
        Of the build that it is the key to. Both files are named after it too: answers may be given to a build on
        another machine, unknown to this one, so that no build may replace another's key.

    Attributes
    ----------
    path : Path
        The sealed key.
    secret : Path
        What signs it. It also numbers the pictures: a study's seed is no secret, and whoever knows it could otherwise
        work out the truth from the served files.
    """

    def __init__(self, private: Path, study_id: str, digest: str) -> None:
        self.study_id, self._digest = study_id, digest
        name = f"{study_id}-{digest[:DIGITS]}"
        self.path = private_path(private, f"{name}.key")
        self.secret = private_path(private, f"{name}.secret")

    @property
    def is_there(self) -> bool:
        """Whether key and secret are both there."""
        return self.path.is_file() and self.secret.is_file()

    def seed(self, purpose: str) -> int:
        """Derive a seed that nobody can guess; the secret is drawn where there is none."""
        if not self.secret.is_file():
            write_text(self.secret, secrets.token_hex(32) + "\n", mode=0o600)
        return derive_seed(int(self._read_secret(), 16), purpose)

    def seal(self, items: pd.DataFrame) -> None:
        """Write the key, with mode 0600, so that no change of it goes unseen.

        Parameters
        ----------
        items : pandas.DataFrame
            One row per picture, the truth among them.

        Raises
        ------
        UserError
            When there is another key of this build, which is never overwritten.

        Notes
        -----
        Signed by HMAC-SHA-256 with a secret of 256 bits.
        """
        content = {"digest": self._digest, "items": items.to_dict("records")}
        sealed = str(self._serializer().dumps(content)) + "\n"
        if self.path.is_file() and self.path.read_text(encoding="ascii") != sealed:
            raise UserError(
                f"reader study {self.study_id}: {self.path.name} is the key of another study, or its secret was lost; "
                "restore both from a backup, or move them away."
            )
        write_text(self.path, sealed, mode=0o600)

    def open(self) -> pd.DataFrame:
        """Read the key.

        Returns
        -------
        pandas.DataFrame
            As sealed.

        Raises
        ------
        UserError
            When key or secret is missing, the key was changed, or it belongs to another study.
        """
        for file, name in ((self.path, "answer key"), (self.secret, "secret of its answer key")):
            if not file.is_file():
                raise UserError(f"reader study {self.study_id}: the {name} is missing ({file.name}); restore it.")
        try:
            content = self._serializer().loads(self.path.read_text(encoding="ascii").strip())
        except (BadData, ValueError):
            content = {"digest": None}
        if content["digest"] != self._digest:
            raise UserError(
                f"reader study {self.study_id}: the answer key was changed, or key, secret and study are not of the "
                "same build; restore all three from where it was built."
            )
        return pd.DataFrame(content["items"])

    def _read_secret(self) -> str:
        return self.secret.read_text(encoding="ascii").strip()

    def _serializer(self) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._read_secret(), salt="reader study", signer_kwargs={"digest_method": hashlib.sha256}
        )
