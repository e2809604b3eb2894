"""The web application: its parts put together."""

import sqlite3

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from synthcohort.core.progress import logger
from synthcohort.readers.administration import administration_routes
from synthcohort.readers.answers import ConflictError
from synthcohort.readers.desk import Desk, SignedOutError
from synthcohort.readers.entrance import entrance_routes
from synthcohort.readers.headers import SecureHeaders
from synthcohort.readers.pages import FILES, FOLDER, page
from synthcohort.readers.reading import reading_routes

MESSAGES = {404: "There is no such page.", 405: "This page cannot do that."}


def create_app(desk: Desk, secure: bool = False) -> SecureHeaders:
    """Make the application.

    Parameters
    ----------
    desk : Desk
        The study that it serves, and where answers go.
    secure : bool
        Whether readers come by HTTPS alone; browsers are then told to use nothing else.

    Returns
    -------
    SecureHeaders
        An ASGI application. It loads nothing from elsewhere, and has no page that describes its interface.
    """
    app = FastAPI(title=desk.study.title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for routes in (entrance_routes(desk, secure), reading_routes(desk), administration_routes(desk)):
        app.include_router(routes)

    @app.get("/{name}.{kind}")
    def send_file(name: str, kind: str) -> Response:
        known = f"{name}.{kind}"
        if known not in FILES:
            raise HTTPException(404)
        return Response((FOLDER / known).read_bytes(), media_type=FILES[known])

    _handle_errors(app)
    return SecureHeaders(app, secure)  # outermost, so that failures have the headers too


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(SignedOutError)
    def ask_for_link(request: Request, error: SignedOutError) -> Response:
        return RedirectResponse("/enter", 303) if _wants_page(request) else _refuse(401, "Please open your link again.")

    @app.exception_handler(ConflictError)
    def tell_conflict(request: Request, error: ConflictError) -> Response:
        return _refuse(409, f"Not stored: {error}.")

    @app.exception_handler(RequestValidationError)
    def tell_invalid(request: Request, error: RequestValidationError) -> Response:
        # What was sent is not repeated: it may be a token.
        if request.method == "GET":
            return tell_other(request, HTTPException(404))
        return _refuse(422, "This is not what was expected.")

    @app.exception_handler(sqlite3.Error)
    def tell_not_stored(request: Request, error: sqlite3.Error) -> Response:
        logger.error("error: the answers cannot be read or written: %s", error)
        return _refuse(503, "Not stored yet: the server cannot write.")

    @app.exception_handler(HTTPException)
    def tell_other(request: Request, error: HTTPException) -> Response:
        text = MESSAGES.get(error.status_code, str(error.detail))
        if _wants_page(request):
            return page("error", error.status_code, text=text)
        return _refuse(error.status_code, text, error.headers)


def _wants_page(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def _refuse(status: int, text: str, headers: object = None) -> Response:
    return JSONResponse({"detail": text}, status, headers=dict(headers) if isinstance(headers, dict) else None)
