"""What readers see and say."""

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from synthcohort.readers.answers import Answer, ConflictError
from synthcohort.readers.clock import HEARTBEAT
from synthcohort.readers.desk import Desk
from synthcohort.readers.pages import page
from synthcohort.readers.progress import State, is_open, is_reached, state_of
from synthcohort.readers.select import READING, SYNTHETIC, TRAINING
from synthcohort.readers.sessions import ADMINISTRATOR
from synthcohort.readers.study import Block
from synthcohort.readers.tables import SIMULATED
from synthcohort.readers.vocabulary import PROFESSIONS

CONFIDENCES = {1: "guess", 2: "unsure", 3: "fairly sure", 4: "sure", 5: "certain"}


def _known_profession(name: str) -> str:
    if name not in (*PROFESSIONS, SIMULATED):
        raise ValueError("no such profession")
    return name


class Form(BaseModel):
    """Base of what pages send."""

    model_config = ConfigDict(extra="forbid")


class Person(Form):
    """Consent and profile."""

    consent: Literal[True]
    profession: Annotated[str, AfterValidator(_known_profession)]
    years: int = Field(ge=0, le=80)


class Place(Form):
    """An image in the reader's own order."""

    block: Block
    number: int = Field(ge=1)


class Said(Place):
    """An answer."""

    answer: Literal["real", "synthetic"]
    confidence: int = Field(ge=1, le=5)
    submission: str = Field(pattern=r"^[0-9a-f]{32}$")
    findings: list[Annotated[str, Field(max_length=60)]] = Field([], max_length=60)
    comment: str = Field("", max_length=2000)
    seconds: float | None = Field(None, ge=0, le=1e6)


class Sign(Place):
    """A sign of life."""

    kind: Literal["alive", "paused", "resumed"]


class Stored(State):
    """An answer is stored, and this comes next."""

    truth: str | None = None
    """In the training block only."""


def reading_routes(desk: Desk) -> APIRouter:
    """Make the routes of readers."""
    routes = APIRouter()
    study, book = desk.study, desk.book

    @routes.get("/")
    def show_next(request: Request, image: int | None = None) -> Response:
        if desk.holder(request) == ADMINISTRATOR:
            return RedirectResponse("/admin", 303)
        name = desk.reader(request)
        state = state_of(name, study, book)
        if image is not None:
            if not is_open(state, study, READING, image) or image > len(study.reader(name).reading):
                raise HTTPException(404)
            return _reading_page(desk, name, READING, image)
        if state.stage == "consent":
            return page("consent", study=study, name=name, professions=PROFESSIONS)
        if state.stage == "done":
            return page("done", study=study, images=len(study.reader(name).reading))
        return _reading_page(desk, name, state.stage, state.number)

    @routes.get("/state")
    def tell_state(request: Request) -> State:
        return state_of(desk.reader(request), study, book)

    @routes.post("/profile")
    def save_profile(person: Person, request: Request) -> State:
        name = desk.reader(request)
        book.save_profile(name, person.profession, person.years)
        return state_of(name, study, book)

    @routes.get("/images/{block}/{number}")
    def send_image(block: Block, number: int, request: Request) -> Response:
        name = desk.reader(request)
        pictures = study.reader(name).block(block)
        if not is_open(state_of(name, study, book), study, block, number) or number > len(pictures):
            raise HTTPException(404)
        book.stamp(name, block, number, "opened")
        return Response(desk.pictures[block][pictures[number - 1]], media_type="application/octet-stream")

    @routes.post("/answers")
    def save_answer(said: Said, request: Request) -> Stored:
        name = desk.reader(request)
        pictures = study.reader(name).block(said.block)
        if not is_reached(state_of(name, study, book), said.block, said.number) or said.number > len(pictures):
            raise ConflictError("this image is not yet to be seen")
        if not book.was_opened(name, said.block, said.number):
            raise ConflictError("this image was never looked at")
        picture = pictures[said.number - 1]
        asked = study.findings[study.packs[said.block].cohorts[picture]] if study.ask_findings else []
        answer = Answer(
            reader=name,
            block=said.block,
            position=said.number,
            picture=picture,
            synthetic=said.answer == SYNTHETIC,
            confidence=said.confidence,
            submission=said.submission,
            findings=tuple(item.name for item in asked if item.name in said.findings) if asked else None,
            comment=said.comment.strip(),
            seconds_client=said.seconds,
        )
        book.save_answer(answer, study.allow_changes and said.block == READING)
        truth = desk.truths[picture] if said.block == TRAINING else None
        return Stored(**state_of(name, study, book).model_dump(), truth=truth)

    @routes.post("/stamps", status_code=204)
    def save_stamp(sign: Sign, request: Request) -> None:
        name = desk.reader(request)
        if is_open(state_of(name, study, book), study, sign.block, sign.number):
            book.stamp(name, sign.block, sign.number, sign.kind)

    return routes


def _reading_page(desk: Desk, name: str, block: Block, number: int) -> Response:
    """One image and what is asked about it; the page is the same for every image of a cohort."""
    study, reader = desk.study, desk.study.reader(name)
    pictures = reader.block(block)
    cohort = study.packs[block].cohorts[pictures[number - 1]]
    answered = desk.book.answered(name, block)
    values: dict[str, Any] = {
        "study": study,
        "block": block,
        "number": number,
        "of": len(pictures),
        "answered": answered,
        "findings": study.findings[cohort] if study.ask_findings else [],
        "confidences": CONFIDENCES,
        "submission": secrets.token_hex(16),
        "heartbeat": HEARTBEAT,
        "before": desk.book.last_answer(name, block, number),
        "changes": study.allow_changes and block == READING,
    }
    return page("read", **values)
