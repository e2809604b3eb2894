"""What the reader study's server sends, except pixels: does any of it tell real from synthetic?

One reader reads a plain study. Another reads one with everything that a study can have: two cohorts, whose findings are
asked for, a training block, repeats, and changes.
"""

import json
import re
import runpy
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

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

STAMP = ("stamp", "stamp_head")
made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))
client, begin, answer = made_up.client, made_up.begin, made_up.answer


def normalised(page: str) -> str:
    """A reading page without what differs by design: its number and the random submission."""
    page = re.sub(r'data-submission="[0-9a-f]{32}"', "", page)
    return re.sub(r'([Ii]mage |data-number="|value="|\?image=)\d+', r"\1N", page)


def head_of(response: httpx.Response) -> str:
    """Status and headers, without the date."""
    return json.dumps([response.status_code, *sorted((k, v) for k, v in response.headers.items() if k != "date")])


def record(reader: httpx.Client, sock: Callable[[str], bytes], state: State) -> dict[str, Any]:
    """Everything about one image but its pixels: headers, sizes, times, order, source."""
    told = reader.get("/state")
    sign = {"block": state.stage, "number": state.number, "kind": "alive"}
    started = time.perf_counter()
    page = reader.get("/")
    middle = time.perf_counter()
    raw = sock(f"/images/{state.stage}/{state.number}")
    ended = time.perf_counter()
    head, body = raw.split(b"\r\n\r\n", 1)
    stamped = reader.post("/stamps", json=sign)
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
        "page_head": head_of(page),
        "answer_head": head_of(answered),
        "state_head": head_of(told),
        "stamp_head": head_of(stamped),
        "answer": re.sub(r"\d+", "N", answered.text),
        "state": re.sub(r"\d+", "N", told.text),
        "stamp": stamped.text,
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


class Sent(NamedTuple):
    """What one reader was sent."""

    table: pd.DataFrame
    """One row per image, ``block`` and ``cohort`` among what the reader knows."""
    is_synthetic: np.ndarray


def send_all(folder: Path, cohorts: tuple[str, ...], families: tuple[str, ...], **changes: Any) -> Sent:
    chosen = made_up.cells(folder / "stores", cohorts, families, count=500)
    study = made_up.built(folder, chosen, count=1, **changes)
    rows = []
    with made_up.Server(study) as server, client(server, "reader-01") as reader:
        state = State(**begin(reader))
        get = raw_getter(server, reader.cookies["reader"])
        while state.stage != "done":
            rows.append({"block": state.stage, **record(reader, get, state)})
            state = State(**reader.get("/state").json())
    built = ServedStudy.read(study)
    key = AnswerKey(folder / "private", "toy", built.digest).open().set_index(["block", "picture"])
    own = built.readers[0]
    shown = key.loc[[(block, picture) for block in ("training", "reading") for picture in own.block(block)]]
    table = pd.DataFrame(rows).assign(cohort=shown["cohort"].to_numpy())
    return Sent(table, shown["truth"].to_numpy() != REAL)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """What one reader is sent for 120 images, 60 of each kind."""
    folder = tmp_path_factory.mktemp("silent")
    found = send_all(folder, ("head-phantom",), ("cpd-gan", "r3-gan"), images=30, repeated=0)
    return Sent(found.table.drop(columns=["block", "cohort"]), found.is_synthetic)


@pytest.fixture(scope="module")
def sent_more(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """What one reader is sent by a study that has everything: 8 training images, 40 others, 6 of them again."""
    folder = tmp_path_factory.mktemp("more")
    changes = {"images": 10, "repeated": 6, "training": 8, "ask_findings": True, "allow_changes": True}
    return send_all(folder, ("head-phantom", "chest-phantom"), ("r3-gan",), **changes)


def counted_out(column: pd.Series) -> pd.Series:
    """A column of heads without lengths: numbers grow longer while reading, nothing else may vary."""
    return column.astype(str).str.replace(r'\["content-length", "\d+"\]', "", regex=True)


def test_everything_but_the_pixels_is_the_same_for_every_image(sent: Sent) -> None:
    assert len(sent.table) == 120
    assert sent.is_synthetic.sum() == 60
    for column in ("image_bytes", "head", "page", "page_head", "answer_head", "state", "state_head", *STAMP):
        assert counted_out(sent.table[column]).nunique() == 1, column
    assert sent.table["answer"].iloc[:-1].nunique() == 1  # the last one says that all is done
    assert '"no-store, no-transform"' in sent.table["page_head"].iloc[0]
    assert "cache-control: no-store, no-transform" in sent.table["head"].iloc[0].lower()


def test_within_block_and_cohort_everything_is_the_same_in_a_study_with_everything(sent_more: Sent) -> None:
    table, kinds = sent_more
    assert table.groupby(["block", "cohort"]).size().sum() == 8 + 46
    assert table["page"].nunique() > 1  # findings are asked by cohort
    for (block, cohort), own in table.groupby(["block", "cohort"]):
        assert len(set(kinds[own.index])) == 2
        for column in ("image_bytes", "head", "page", "page_head", "answer_head", "state", "state_head", *STAMP):
            # The first page of a block has no image to go back to.
            later = own.loc[own["number"] > 1, column]
            assert counted_out(later).nunique() == 1, (block, cohort, column)
    # What the training block tells is in the acknowledgement of the answer, and in nothing before it.
    told = table.loc[table["block"] == "training", "answer"].str.extract('"truth": ?"([a-z]+)"')[0]
    assert (told == np.where(kinds[:8], "synthetic", "real")).all()
    assert not table.loc[table["block"] == "reading", "answer"].str.contains("synthetic|real").any()


def test_classifier_on_everything_but_the_pixels_gets_chance(sent: Sent) -> None:
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
def test_classifier_finds_a_planted_leak(sent: Sent, column: str, plant: Callable[..., pd.Series]) -> None:
    table, is_synthetic = sent
    leaking = table.assign(**{column: plant(table[column], is_synthetic.astype(int), np.random.default_rng(0))})
    assert guessed(leaking, is_synthetic) > 0.7
