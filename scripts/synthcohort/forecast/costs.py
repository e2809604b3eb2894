"""Seconds and bytes of every job on a given machine, each with a range and with what it rests on."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from synthcohort.core.errors import UserError
from synthcohort.core.load import read_study
from synthcohort.core.plan import Plan
from synthcohort.core.progress import track
from synthcohort.forecast.jobs import Job, study_jobs
from synthcohort.forecast.machines import AUDIT_SPEEDUP, STEP_SECONDS, UTILISATION
from synthcohort.forecast.sizes import Sizes
from synthcohort.forecast.work import BACKWARD, TORCH, Work, is_generator, on_card

ROOT = Path(__file__).parents[3]
MEASURED = ROOT / "docs" / "evidence" / "default-study-cost.csv"
Basis = Literal["measured", "scaled", "never measured"]
SPREAD: dict[Basis, tuple[float, float]] = {
    "measured": (0.75, 1.3),
    "scaled": (0.5, 2.0),
    "never measured": (0.33, 3.0),
}
"""Range of the seconds, as shares of what is likely."""
SCALED = 2.0
"""A job is measured up to so many times the longest of its rule in the study that was measured."""


class Range(NamedTuple):
    """The least, the likely and the most."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> "Range":
        """Multiply all three."""
        return Range(*(factor * value for value in self))


def total(ranges: list[Range]) -> Range:
    """Add ranges up as if all were wrong in the same way, the most careful assumption."""
    return Range(*(sum(values) for values in zip(*ranges, strict=True))) if ranges else Range(0, 0, 0)


@dataclass(frozen=True)
class Cost:
    """What one job takes.

    Attributes
    ----------
    seconds : Range
        Wall time.
    cores, cards : int
        Held meanwhile.
    basis : str
        What the seconds rest on.
    """

    seconds: Range
    cores: int
    cards: int
    basis: Basis


@dataclass(frozen=True)
class Calibration:
    """What a finished study says of this machine.

    Attributes
    ----------
    factors : mapping of str to float
        By rule: measured seconds, divided by those that `Work` expects.
    longest : mapping of str to float
        By rule: the longest job that `Work` expects there.
    seconds : mapping of str to float
        Jobs that were themselves measured, by id.
    rough : set of str
        Rules whose seconds were not measured as such.
    """

    factors: Mapping[str, float]
    longest: Mapping[str, float]
    seconds: Mapping[str, float] = field(default_factory=dict)
    rough: frozenset[str] = frozenset()


def default_calibration() -> Calibration:
    """Compare what is expected of the default study with what docs/evidence/default-study-cost.csv says it took."""
    plan = Plan(read_study(ROOT / "config.yaml"))
    work, expected = Work(plan, Sizes(plan)), defaultdict[str, list[float]](list)
    for job in track(study_jobs(plan).values(), "calibrating with the default study", unit="jobs"):
        if job.rule != "all":
            expected[job.rule].append(work.seconds(job))
    factors: dict[str, float] = {}
    rough = set(expected)
    for row in pd.read_csv(MEASURED).itertuples():
        rules = str(row.rules).split()
        factors |= dict.fromkeys(rules, float(row.seconds) / sum(sum(expected[rule]) for rule in rules))  # type: ignore[arg-type]
        if row.basis == "measured":
            rough -= set(rules)
    return Calibration(factors, {rule: max(seconds) for rule, seconds in expected.items()}, {}, frozenset(rough))


def study_calibration(folder: Path, jobs: Mapping[str, Job], work: Work, fallback: Calibration) -> Calibration:
    """Take the seconds of a finished study's jobs, and from them a factor for its rules' other jobs.

    Raises
    ------
    UserError
        When the folder holds no benchmark of any of these jobs.
    """
    seconds: dict[str, float] = {}
    for name, job in jobs.items():
        if (path := _benchmark(folder, job)) is not None:
            seconds[name] = float(pd.read_csv(path, sep="\t")["s"].iloc[-1])
    if not seconds:
        raise UserError(f"--measured: {folder}/benchmarks has no job of this study; give the folder of a finished one.")
    measured, expected = defaultdict[str, float](float), defaultdict[str, list[float]](list)
    for name, value in seconds.items():
        measured[jobs[name].rule] += value
        expected[jobs[name].rule].append(work.seconds(jobs[name]))
    factors = {rule: measured[rule] / sum(values) for rule, values in expected.items()}
    longest = {rule: max(values) for rule, values in expected.items()}
    return Calibration(
        {**fallback.factors, **factors}, {**fallback.longest, **longest}, seconds, fallback.rough - set(factors)
    )


def _benchmark(folder: Path, job: Job) -> Path | None:
    """Find a job's benchmark; those of drawings carry a digest in their names."""
    name = "-".join(wildcard.removeprefix("stage-") for wildcard in job.wildcards) or "all"
    pattern = f"{name}-*.tsv" if job.rule == "draw" else f"{name}.tsv"
    return next((folder / "benchmarks" / job.rule).glob(pattern), None)


class Costs:
    """Seconds of jobs on a machine.

    Parameters
    ----------
    work : Work
        What the jobs work on.
    calibration : Calibration
        What a finished study says.
    card : float, optional
        Peak of the card that networks are computed on, FLOP/s; without one, on the reference machine's cores.
    """

    def __init__(self, work: Work, calibration: Calibration, card: float | None = None) -> None:
        self.work, self.calibration, self.card = work, calibration, card
        self.study = work.plan.study

    def of(self, name: str, job: Job) -> Cost:
        """Cost of a job."""
        if job.rule == "all":
            return Cost(Range(0, 0, 0), 1, 0, "measured")
        threads = self.study.threads if on_card(job) else 1
        processes = self.study.processes if is_generator(job) else 1
        if self.card is not None and on_card(job):
            return Cost(_range(self._on_card(job), "never measured"), threads * processes, processes, "never measured")
        if name in self.calibration.seconds:
            return Cost(_range(self.calibration.seconds[name], "measured"), threads * processes, 0, "measured")
        expected = self.work.seconds(job)
        seconds = self.calibration.factors.get(job.rule, 1.0) * expected / (threads * processes)
        return Cost(_range(seconds, self._basis(job, expected)), threads * processes, 0, self._basis(job, expected))

    def _basis(self, job: Job, expected: float) -> Basis:
        known = self.calibration
        if job.rule not in known.factors or (is_generator(job) and self.work.measured_speed(job) is None):
            return "never measured"
        near = job.rule not in known.rough and expected <= SCALED * known.longest[job.rule]
        return "measured" if near and self.study.threads <= 2 else "scaled"

    def _on_card(self, job: Job) -> float:
        """Seconds by FLOPs at an assumed share of the card's peak, but no shorter steps than assumed."""
        assert self.card is not None
        speed = UTILISATION * self.card
        if is_generator(job):
            settings = self.work.settings(job)
            steps = settings.kimg * 1000 / settings.batch
            return 10 * TORCH + max(self.work.flops(job) / speed / self.study.processes, steps * STEP_SECONDS)
        if job.rule in ("train_classifier", "train_judge"):
            return 10 * TORCH + self.work.classifier_flops(job) * BACKWARD / speed
        if job.rule == "sample":
            images, flops = self.work.sampling(job)
            return 10 * TORCH + images * 2e-4 + flops / speed
        return TORCH + self.calibration.factors.get(job.rule, 1.0) * self.work.seconds(job) / AUDIT_SPEEDUP


def _range(seconds: float, basis: Basis) -> Range:
    low, high = SPREAD[basis]
    return Range(low * seconds, seconds, high * seconds)
