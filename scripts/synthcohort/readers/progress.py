"""Where a reader is, and which images that opens."""

from typing import Literal

from pydantic import BaseModel

from synthcohort.readers.answers import AnswerBook
from synthcohort.readers.select import READING
from synthcohort.readers.study import BLOCKS, Block, ServedStudy

Stage = Literal["consent", "training", "reading", "done"]
STAGES: tuple[Stage, ...] = ("consent", *BLOCKS, "done")


class State(BaseModel):
    """Where a reader is."""

    stage: Stage
    number: int = 0
    """Of the image that comes next, from 1."""
    of: int = 0
    """Images in this block."""


def state_of(name: str, study: ServedStudy, book: AnswerBook) -> State:
    """Find out what comes next for a reader."""
    if name not in book.profiles():
        return State(stage="consent")
    reader = study.reader(name)
    for block in BLOCKS:
        answered, count = book.answered(name, block), len(reader.block(block))
        if answered < count:
            return State(stage=block, number=answered + 1, of=count)
    return State(stage="done")


def is_open(state: State, study: ServedStudy, block: Block, number: int) -> bool:
    """Whether a reader may look at this image now: the next one, or an answered one where changes are allowed."""
    if state.stage == block:
        return number == state.number or (study.allow_changes and block == READING and 1 <= number < state.number)
    if number < 1:
        return False
    finished = STAGES.index(state.stage) > STAGES.index(block)
    return finished and study.allow_changes and block == READING


def is_reached(state: State, block: Block, number: int) -> bool:
    """Whether an answer to this image can have been given or be given now; `AnswerBook` refuses second ones."""
    if state.stage == block:
        return 1 <= number <= state.number
    return STAGES.index(state.stage) > STAGES.index(block)
