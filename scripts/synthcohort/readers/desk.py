"""What all routes work with: the study, the answers, and who asks."""

from pathlib import Path

from fastapi import Request

from synthcohort.core.atomic import read_json
from synthcohort.readers.answers import ANSWERS, AnswerBook
from synthcohort.readers.pictures import Pictures
from synthcohort.readers.sessions import ADMINISTRATOR, Sessions
from synthcohort.readers.study import BLOCKS, TRUTHS, ServedStudy

COOKIE = "reader"


class SignedOutError(Exception):
    """A request without a session, or with one that is over or another's."""


class Desk:
    """A study that is being served.

    Parameters
    ----------
    folder : Path
        The built study; ``answers.sqlite`` is opened, or made, in it. The answer key is never looked at.

    Attributes
    ----------
    study : ServedStudy
    book : AnswerBook
    sessions : Sessions
    pictures : dict of Pictures
        By block.
    truths : list of str
        Of the training block's pictures.

    Raises
    ------
    UserError
        When the study is damaged, or the answers are to another one.
    """

    def __init__(self, folder: Path) -> None:
        self.study = ServedStudy.read(folder)
        self.pictures = {
            block: Pictures(folder / f"{block}.bin", self.study.side, self.study.packs[block].digest)
            for block in BLOCKS
        }
        self.truths: list[str] = read_json(folder / TRUTHS)
        self.book = AnswerBook(folder / ANSWERS)
        self.book.belong_to(self.study.digest)
        self.sessions = Sessions(self.book)

    def close(self) -> None:
        """Close all files."""
        self.book.close()
        for pictures in self.pictures.values():
            pictures.close()

    @property
    def names(self) -> list[str]:
        """Everyone who has a link."""
        return [reader.name for reader in self.study.readers] + [ADMINISTRATOR]

    def holder(self, request: Request) -> str | None:
        """Who asks."""
        return self.sessions.holder(request.cookies.get(COOKIE, ""))

    def reader(self, request: Request) -> str:
        """Which reader asks.

        Raises
        ------
        SignedOutError
            When it is none.
        """
        name = self.holder(request)
        if name is None or name == ADMINISTRATOR:
            raise SignedOutError
        return name

    def administrator(self, request: Request) -> None:
        """Let nobody but the administrator pass.

        Raises
        ------
        SignedOutError
            When it is someone else.
        """
        if self.holder(request) != ADMINISTRATOR:
            raise SignedOutError
