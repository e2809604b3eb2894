"""What the reader study's server sends, except pixels: does any of it tell real from synthetic?"""

import json
import re
import runpy
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

from synthcohort.measures.auroc import auroc
from synthcohort.readers.key import AnswerKey
from synthcohort.readers.progress import State
from synthcohort.readers.select import REAL
from synthcohort.readers.study import ServedStudy

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))
client, begin, answer = made_up.client, made_up.begin, made_up.answer


def normalised(page: str) -> str:
    """A reading page without what differs by design: its number and the random submission."""
    page = re.sub(r'data-submission="[0-9a-f]{32}"', "", page)
    return re.sub(r'(Image |data-number="|value=")\d+', r"\1N", page)


def record(reader: httpx.Client, sock: Callable[[str], bytes], state: State) -> dict[str, Any]:
    """Everything about one image but its pixels: headers, sizes, times, order, source."""
    started = time.perf_counter()
    page = reader.get("/")
    middle = time.perf_counter()
    raw = sock(f"/images/{state.stage}/{state.number}")
    ended = time.perf_counter()
    head, body = raw.split(b"\r\n\r\n", 1)
    answered = reader.post("/answers", json=answer(state.model_dump()))
    kept = sorted(line for line in head.decode().split("\r\n") if not line.lower().startswith("date"))
    return {
        "number": state.number,
        "parity": state.number % 2,
        "page_seconds": middle - started,
        "image_seconds": ended - middle,
        "answer_seconds": answered.elapsed.total_seconds(),
        "page_bytes": len(page.content),
        "image_bytes": len(body),
        "head": "\n".join(kept),
        "page_head": json.dumps({key: value for key, value in page.headers.items() if key != "date"}),
        "answer_head": json.dumps({key: value for key, value in answered.headers.items() if key != "date"}),
        "answer": re.sub(r"\d+", "N", answered.text),
        "page": normalised(page.text),
        "submission": int(re.search(r'data-submission="([0-9a-f]{8})', page.text)[1], 16),
    }


def raw_getter(server: Any, cookie: str) -> Callable[[str], bytes]:
    """Bytes as they come over the wire."""

    def get(path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port)) as wire:
            lines = [f"GET {path} HTTP/1.1", "Host: x", f"Cookie: reader={cookie}", "Connection: close", "", ""]
            wire.sendall("\r\n".join(lines).encode())
            return b"".join(iter(lambda: wire.recv(65536), b""))

    return get


def guessed(table: pd.DataFrame, is_synthetic: np.ndarray) -> float:
    """Cross-validated AUROC of a forest on all columns and their predecessors'."""
    numbers = table.apply(lambda column: column if column.dtype.kind in "if" else column.astype("category").cat.codes)
    features = np.hstack([numbers, numbers.shift(1).fillna(-1), numbers.shift(-1).fillna(-1)])
    forest = RandomForestClassifier(150, min_samples_leaf=3, random_state=0)
    return auroc(is_synthetic, cross_val_predict(forest, features, is_synthetic, cv=10, method="predict_proba")[:, 1])


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, np.ndarray]:
    """What one reader is sent for 120 images, and which of them are synthetic."""
    folder = tmp_path_factory.mktemp("silent")
    chosen = made_up.cells(folder / "stores", ("head-phantom",), ("cpd-gan", "r3-gan"), count=500)
    study = made_up.built(folder, chosen, count=1, images=30, repeated=0)
    with made_up.Server(study) as server, client(server, "reader-01") as reader:
        state = State(**begin(reader))
        get = raw_getter(server, reader.cookies["reader"])
        rows = []
        while state.stage != "done":
            rows.append(record(reader, get, state))
            state = State(**reader.get("/state").json())
    built = ServedStudy.read(study)
    truths = AnswerKey(folder / "private", "toy", built.digest).open()
    truths = truths[truths["block"] == "reading"].set_index("picture")["truth"]
    return pd.DataFrame(rows), np.array([truths[picture] != REAL for picture in built.readers[0].reading])


def test_everything_but_the_pixels_is_the_same_for_every_image(sent: tuple[pd.DataFrame, np.ndarray]) -> None:
    table, is_synthetic = sent
    assert len(table) == 120
    assert is_synthetic.sum() == 60
    for column in ("image_bytes", "head", "page", "page_head", "answer_head"):
        # Numbers grow longer while reading; nothing else may vary.
        varying = table[column].astype(str).str.replace(r'"content-length": "\d+"', "", regex=True)
        assert varying.nunique() == 1, column
    assert table["answer"].iloc[:-1].nunique() == 1  # the last one says that all is done


def test_classifier_on_everything_but_the_pixels_gets_chance(sent: tuple[pd.DataFrame, np.ndarray]) -> None:
    table, is_synthetic = sent
    # 3.5 standard errors of an AUROC of 60 against 60 where there is nothing to find (0.053).
    assert abs(guessed(table, is_synthetic) - 0.5) < 0.185


@pytest.mark.parametrize(
    ("column", "plant"),
    [
        ("image_bytes", lambda values, kind, rng: values + rng.integers(0, 3, len(kind)) + 2 * kind),
        ("image_seconds", lambda values, kind, rng: values + 0.01 * kind * (1 + rng.random(len(kind)))),
        ("head", lambda values, kind, rng: values.where(kind == 0, values + "\nx-cache: hit")),
    ],
)
def test_classifier_finds_a_planted_leak(
    sent: tuple[pd.DataFrame, np.ndarray], column: str, plant: Callable[..., pd.Series]
) -> None:
    table, is_synthetic = sent
    leaking = table.assign(**{column: plant(table[column], is_synthetic.astype(int), np.random.default_rng(0))})
    assert guessed(leaking, is_synthetic) > 0.7
