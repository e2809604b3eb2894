"""A fabricated reader study and its real server, for unit and browser tests. No image is anyone's."""

import os
import re
import runpy
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd

from synthcohort.audit.utility import combine_metrics
from synthcohort.core.config import Statistics
from synthcohort.core.reader_config import ReaderStudy
from synthcohort.readers.analysis import reader_metrics
from synthcohort.readers.build import build_reader_study
from synthcohort.readers.select import Cell
from synthcohort.readers.simulate import confidence_of, draw_opinions, separation_for

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("fabricated_study.py"))))
SERVE = "import sys; from pathlib import Path; from synthcohort.readers.serve import serve; "
SERVE += "serve(Path(sys.argv[1]), port=int(sys.argv[2]))"
START_SECONDS = 60
COHORTS, FAMILIES, SIDES = ("chest", "head"), ("cpd-gan", "r3-gan"), (16, 32, 64)
PERSON = {"consent": True, "profession": "radiologist", "years": 11}


def selection(real: Any) -> pd.DataFrame:
    """Every row of a store with its side; every other patient is a test patient."""
    patients = real.records["patient_id"]
    sides = np.where(patients.str[-1].astype(int) % 2, "test", "train")
    return pd.DataFrame({"row": np.arange(len(real)), "patient_id": patients, "side": sides})


def cells(
    folder: Path,
    cohorts: tuple[str, ...] = ("head-phantom", "chest-phantom"),
    families: tuple[str, ...] = ("cpd-gan", "r3-gan"),
    count: int = 300,
) -> list[Cell]:
    """Cells whose synthetic images are drawn as the real ones are, with another seed."""
    made = []
    for seed, cohort in enumerate(cohorts):
        real = made_up.store(folder / cohort / "real", cohort, count, seed)
        for number, family in enumerate(families):
            sample = made_up.store(folder / cohort / family, cohort, count, 100 + 10 * seed + number)
            made.append(Cell(cohort, "resolution-032", family, real, selection(real), sample))
    return made


def built(folder: Path, chosen: list[Cell] | None = None, name: str = "toy", **changes: Any) -> Path:
    """Build a reader study below `folder`; return its own folder."""
    config = ReaderStudy(**({"count": 3, "images": 3, "repeated": 2, "side": 64} | changes))
    chosen = chosen or cells(folder / "stores")
    told = build_reader_study(name, chosen, config, 7, folder / "reader-studies", folder / "private")
    return folder / "reader-studies" / told["id"]


class Server:
    """`serve` in a process of its own, at a free port that it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.links: dict[str, str] = {}
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end(signal.SIGTERM)

    def start(self) -> None:
        command = [sys.executable, "-c", SERVE, str(self.folder), str(self.port)]
        with open(self.folder.parent / f"{self.folder.name}.log", "a") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ)
        for line in self.process.stdout:
            if started := re.match(r"Reader study \S+: (http://127\.0\.0\.1:(\d+))/", line):
                self.address, self.port = started[1], int(started[2])
            if link := re.match(r"  (\S+) +(http://\S+)", line):
                self.links[link[1]] = link[2]
            if line.startswith(("  administrator", "Everyone has a link")):
                break
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server did not start (exit code {self.process.poll()}); see {errors.name}")

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(30)
        self.process.stdout.close()

    def token(self, name: str) -> str:
        return self.links[name].split("#")[1]


@contextmanager
def client(server: Any, name: str | None = None) -> Iterator[httpx.Client]:
    """A browser-like client, signed in where a name is given."""
    with httpx.Client(base_url=server.address, trust_env=False) as opened:
        if name:
            assert opened.post("/enter", json={"token": server.token(name)}).status_code == 204
        yield opened


def answer(state: dict[str, Any], **changes: Any) -> dict[str, Any]:
    given = {"block": state["stage"], "number": state["number"], "answer": "real", "confidence": 2}
    return given | {"submission": secrets.token_hex(16)} | changes


def look_and_answer(opened: httpx.Client, state: dict[str, Any], **changes: Any) -> httpx.Response:
    assert opened.get(f"/images/{state['stage']}/{state['number']}").status_code == 200
    return opened.post("/answers", json=answer(state, **changes))


def begin(opened: httpx.Client) -> dict[str, Any]:
    return opened.post("/profile", json=PERSON).json()


def answered(
    readers: int = 6,
    images: int = 12,
    accuracies: tuple[float, ...] = (0.5, 0.6, 0.8),
    repeated: int = 8,
    seed: int = 1,
) -> pd.DataFrame:
    """Results as `read_results` gives them, of readers with a known accuracy at each resolution."""
    rng = np.random.default_rng(seed)
    cells = [(c, f, s) for c in COHORTS for f in FAMILIES for s in SIDES[: len(accuracies)]]
    pictures = pd.DataFrame(
        [
            (n, c, f, s, truth)
            for n, (c, f, s) in enumerate(cells)
            for truth in ("real", "synthetic")
            for _ in range(images)
        ],
        columns=["cell", "cohort", "family", "resolution", "truth"],
    )
    pictures = pictures.assign(
        picture=rng.permutation(len(pictures)),
        group=range(len(pictures)),
        experiment=[f"resolution-{side:03d}" for side in pictures["resolution"]],
    )
    accuracy = pictures["resolution"].map(dict(zip(SIDES, accuracies, strict=False)))
    kinds = pictures["truth"] == "synthetic"
    opinions = draw_opinions(kinds, separation_for(accuracy), readers, rng, showings=2)
    rows = []
    for reader in range(readers):
        order = [*rng.permutation(len(pictures)), *range(repeated)]
        shown = pictures.iloc[order].assign(
            reader=f"reader-{reader + 1:02d}", position=np.arange(1, len(order) + 1), seconds=5.0 + reader,
            exposure=[1] * len(pictures) + [2] * repeated, simulated=True, profession="radiologist", years=reader,
        )  # fmt: skip
        opinion = opinions[reader, order, shown["exposure"] - 1]
        score = [np.sign(value) * confidence_of(value) for value in opinion]
        said = (opinion > 0).astype(int)
        rows.append(shown.assign(synthetic=said, score=score, correct=said == (shown["truth"] == "synthetic")))
    return pd.concat(rows, ignore_index=True)


def reader_rows(readers: int = 4) -> pd.DataFrame:
    """Metrics of simulated readers at two resolutions, and of a machine beside them."""
    results = answered(readers, images=4, accuracies=(0.5, 0.8), repeated=4)
    metrics = reader_metrics("toy", results, 0.1, "r0", Statistics(bootstrap=20), 3)
    pooled = metrics[(metrics["metric"] == "reader_accuracy") & (metrics["parameter"] == "")]
    cells = pooled[~(pooled[["cohort", "source", "level"]] == "all").any(axis=1)]
    machine = cells.assign(metric="machine_accuracy", features="small", value=0.9, ci_low=0.85, ci_high=0.95)
    return combine_metrics([metrics, machine])
