"""Coming in by a personal link, and leaving."""

import math

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from synthcohort.readers.access import GuessLimit, TooManyError
from synthcohort.readers.desk import COOKIE, Desk
from synthcohort.readers.pages import page
from synthcohort.readers.sessions import SESSION_SECONDS


class Ticket(BaseModel):
    """What a link carries."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    token: str = Field(max_length=200)


def entrance_routes(desk: Desk, secure: bool) -> APIRouter:
    """Make the routes of the entrance.

    A link is ``/enter#TOKEN``: browsers do not send what follows the #, so tokens reach no log and no proxy; the page's
    script exchanges it for a cookie that scripts cannot read and other sites cannot use.
    """
    routes = APIRouter()
    limit = GuessLimit()

    @routes.get("/enter")
    def show_entrance() -> Response:
        return page("enter", title=desk.study.title)

    @routes.post("/enter", status_code=204)
    def enter(ticket: Ticket, request: Request, response: Response) -> None:
        address = request.client.host if request.client else ""
        try:
            session = limit.admit(address, lambda: desk.sessions.open(ticket.token))
        except TooManyError as error:
            raise HTTPException(
                429,
                f"Too many wrong codes. Please wait {math.ceil(error.seconds / 60)} minutes.",
                {"Retry-After": str(math.ceil(error.seconds))},
            ) from None
        if session is None:
            raise HTTPException(401, "This link or code is not valid. Please ask for a new one.")
        response.set_cookie(
            COOKIE,
            session[1],
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=secure,
        )

    @routes.post("/leave", status_code=204)
    def leave(request: Request, response: Response) -> None:
        desk.sessions.close(request.cookies.get(COOKIE, ""))
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=secure)

    return routes
