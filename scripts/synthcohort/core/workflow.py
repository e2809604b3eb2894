"""What the Snakefile asks besides the plan; everything that must not fail with a traceback."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthcohort.core.atomic import file_digest
from synthcohort.core.config import Study
from synthcohort.core.errors import UserError
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan, phantom_folder
from synthcohort.core.released import released_run
from synthcohort.core.requests import TABLES, training_mb

PER_MEGAPIXEL = 20_000
"""MB that audits hold more at 1024², and a quarter as much at 512²: 5000 noised images and their like."""


def hand_library_to_jobs() -> None:
    """Make every job use the library of this checkout, whatever else is installed where it runs."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])


def end_timers() -> None:
    """End what the scheduler left behind: the process would wait for its last timer, a whole max-jobs-per-timespan."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


def check_config(config: Mapping[str, Any]) -> Study:
    """Check the merged config and that results can be written; end with one sentence on stderr where they cannot."""
    with one_sentence():
        study = load_study(config)
        if study.release is not None:
            released_run(Plan(study))
        _check_writable(Path("results"))
    return study


def released(plan: Plan) -> dict[str, str]:
    """Give the wildcards of the run that is released; end with one sentence on stderr where the config names none."""
    with one_sentence():
        return released_run(plan)


@contextmanager
def one_sentence() -> Iterator[None]:
    """End with one sentence on stderr where a user can mend what is wrong."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _check_writable(folder: Path) -> None:
    nearest = folder if folder.exists() else folder.absolute().parent
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{folder}/ cannot be written; make it writable, or run with --directory in another folder.")


def growing(amount: int) -> Callable[[Any, int], int]:
    """Ask for an amount of a resource, and for as much again at every further attempt of a job."""

    def asked(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return asked


def growing_with_side(plan: Plan, amount: int) -> Callable[[Any, int], int]:
    """Ask for memory as `growing` does, and for `PER_MEGAPIXEL` more per megapixel of an experiment's images."""

    def asked(wildcards: Any, attempt: int) -> int:
        side = plan.experiment(wildcards.cohort, wildcards.experiment).resolution
        return (amount + round(PER_MEGAPIXEL * side**2 / 2**20)) * attempt

    return asked


def holding_tables(plan: Plan, rule: str) -> Callable[[Any, int], int]:
    """Ask for the memory of a rule's job that holds a table of all files of a cohort; embedded ones are small."""
    tables = TABLES[rule]

    def asked(wildcards: Any, attempt: int) -> int:
        return attempt * (tables.embedded_mb if plan.cohort(wildcards.cohort).phantom else tables.own_mb)

    return asked


def training_memory(plan: Plan) -> Callable[[Any, int], int]:
    """Ask for the memory of a generator's training, or of one stage."""

    def asked(wildcards: Any, attempt: int) -> int:
        full = plan.experiment(wildcards.cohort, wildcards.experiment).resolution
        side = int(wildcards.get("stage", full))
        return attempt * training_mb(side, plan.study.processes, plan.cards() > 0)

    return asked


def phantom_of(plan: Plan, drawn: str) -> dict[str, Any]:
    """Find the config of the embedded cohort that is drawn into the folder ``data/{drawn}``."""
    for cohort in plan.study.cohorts:
        if cohort.phantom is not None and phantom_folder(cohort).name == drawn:
            return {"name": cohort.name, **cohort.phantom.model_dump(mode="json")}
    raise KeyError(drawn)


def lock_digest(root: str) -> str:
    """Digest of the lock file: which versions of all packages a study was run with."""
    return file_digest(Path(root) / "requirements.lock")
