"""What the server knows of a reader study: everything but the truth."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from synthcohort.core.atomic import read_json
from synthcohort.core.errors import UserError
from synthcohort.core.store import Finding
from synthcohort.readers.select import READING, TRAINING, Block

PRIVATE = Path("private/reader-studies")
"""Where the answer keys stay, apart from what is served."""
STUDY = "study.json"
TRUTHS = "training.json"
"""Truths of the training block, which readers are told; those of the others are in the answer key alone."""
LOCK = "lock"
OWNER_ALONE = 0o600
"""Mode of what is served: patients' images, and truths of the training block. Their folder's is 0700."""
BLOCKS: tuple[Block, ...] = (TRAINING, READING)


class Record(BaseModel):
    """Base of what study.json is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reader(Record):
    """One reader: which picture stands at each position."""

    name: str
    """``reader-01`` and so on; nobody's name."""
    training: list[int]
    """Number of the picture in training.bin at each position."""
    reading: list[int]
    """Number of the picture in reading.bin at each position."""

    def block(self, name: Block) -> list[int]:
        """Pictures of one block."""
        return self.training if name == TRAINING else self.reading


class Pack(Record):
    """One block's pictures."""

    digest: str
    """SHA-256 of the file with the pixels."""
    cohorts: list[str]
    """Cohort of each picture, to ask for its findings."""


class ServedStudy(Record):
    """A reader study as it is served."""

    study_id: str
    study: str
    """Name of the study that it was built from."""
    digest: str
    """Of everything that it was built from."""
    title: str
    consent: str
    simulated: bool
    """True where the patients behind any of the real images were drawn by this project."""
    side: int
    ask_findings: bool
    allow_changes: bool
    findings: dict[str, list[Finding]]
    """By cohort."""
    packs: dict[Block, Pack]
    readers: list[Reader]

    @classmethod
    def read(cls, folder: Path) -> "ServedStudy":
        """Read a built study.

        Raises
        ------
        UserError
            When there is none.
        """
        try:
            return cls.model_validate(read_json(folder / STUDY))
        except (FileNotFoundError, ValidationError, ValueError):
            raise UserError(
                f"reader study {folder.name}: {STUDY} is missing or damaged; build the study again "
                "(`snakemake --forcerun reader_study`), or copy its folder again from where it was built."
            ) from None

    @classmethod
    def read_if_whole(cls, folder: Path) -> "ServedStudy | None":
        """Read a built study; None where there is none."""
        try:
            return cls.read(folder)
        except UserError:
            return None

    def reader(self, name: str) -> Reader:
        """Find a reader by name."""
        return next(reader for reader in self.readers if reader.name == name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a study to oneself: nothing is rebuilt while it is served, and it is served once.

    Raises
    ------
    UserError
        When another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(folder / LOCK, "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"reader study {folder.name} is being served or built right now; end that first.") from None
        yield
