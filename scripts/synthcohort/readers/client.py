"""A reader that is a program: it uses the server as a browser does."""

import secrets
import time
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from synthcohort.core.errors import UserError
from synthcohort.readers.progress import State
from synthcohort.readers.tables import SIMULATED

PATIENCE = 60.0
"""Seconds for which an unreachable server is asked again."""
RETRY = 0.2
BROKEN = 500


class ReaderClient:
    """One simulated reader, by its personal link; a context manager.

    Every request is sent until the server answers, as the pages do: a killed server costs time and no answer.

    Parameters
    ----------
    link : str
        ``http://…/enter#TOKEN``.

    Raises
    ------
    UserError
        When the server refuses, or stays away longer than `PATIENCE` seconds.
    """

    def __init__(self, link: str) -> None:
        address, self._token = link.split("/enter#")
        self._client = httpx.Client(base_url=address, timeout=10.0, trust_env=False)
        self.enter()

    def __enter__(self) -> "ReaderClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def enter(self) -> None:
        """Exchange the link's token for a session."""
        self._ask("POST", "/enter", {"token": self._token})

    def agree(self, years: int = 0) -> State:
        """Consent, as what it is: a simulated reader."""
        return self._state("POST", "/profile", {"consent": True, "profession": SIMULATED, "years": years})

    def state(self) -> State:
        """Where this reader is."""
        return self._state("GET", "/state")

    def look(self, state: State) -> NDArray[np.uint8]:
        """Get the image that comes next, uint8 ``[side, side]``."""
        content = self._ask("GET", f"/images/{state.stage}/{state.number}").content
        side = round(len(content) ** 0.5)
        return np.frombuffer(content, np.uint8).reshape(side, side)

    def answer(self, state: State, synthetic: bool, confidence: int, comment: str = "") -> State:
        """Answer the image that `state` tells; return what comes next, once the answer is stored."""
        body = {
            "block": state.stage,
            "number": state.number,
            "answer": "synthetic" if synthetic else "real",
            "confidence": confidence,
            "submission": secrets.token_hex(16),
            "comment": comment,
        }
        return self._state("POST", "/answers", body)

    def _state(self, method: str, path: str, body: dict[str, Any] | None = None) -> State:
        return State.model_validate(self._ask(method, path, body).json())

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        given_up = time.monotonic() + PATIENCE
        while True:
            try:
                response = self._client.request(method, path, json=body)
                if response.status_code < BROKEN:
                    break
            except httpx.TransportError:
                pass
            if time.monotonic() > given_up:
                raise UserError(f"the reader study's server cannot be reached at {self._client.base_url}.")
            time.sleep(RETRY)
        if response.is_error:
            raise UserError(f"the reader study's server refused {method} {path}: {response.status_code}.")
        return response
