"""The plan of a study in words and numbers."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from synthcohort.core.errors import UserError
from synthcohort.core.plan import Plan
from synthcohort.core.progress import track
from synthcohort.forecast.costs import Basis, Cost, Costs, Range, default_calibration, study_calibration, total
from synthcohort.forecast.jobs import Job, study_jobs
from synthcohort.forecast.limits import GRAPH_SECONDS, Limit, limits
from synthcohort.forecast.machines import AUDIT_SPEEDUP, REFERENCE, STEP_SECONDS, UTILISATION, find_card
from synthcohort.forecast.schedule import Schedule, Task, schedule
from synthcohort.forecast.sizes import Sizes
from synthcohort.forecast.storage import stored_bytes
from synthcohort.forecast.work import Work

JOB_SECONDS, QUEUED_SECONDS = 0.1, 6.0
"""What Snakemake adds to a job here, and to one that goes through SLURM."""
SNAKEMAKE = 2.2
"""Seconds to start and stop Snakemake."""
CORES_PER_CARD = 16
STORAGE_RANGE = (0.5, 1.1)


class Machine(NamedTuple):
    """What the study would run on."""

    cores: int
    cards: int = 0
    card: str | None = None


class Forecast(NamedTuple):
    """What a study will cost."""

    jobs: dict[str, Job]
    costs: dict[str, Cost]
    schedules: tuple[Schedule, Schedule, Schedule]
    stored: dict[str, float]
    limits: list[Limit]

    @property
    def wall(self) -> Range:
        """Seconds from start to end."""
        return Range(*(found.seconds for found in self.schedules))

    @property
    def chain(self) -> Range:
        """Seconds of the critical path."""
        return Range(*(found.chain_seconds for found in self.schedules))


def forecast(
    plan: Plan, machine: Machine, files: Mapping[str, int] | None = None, measured: Path | None = None
) -> Forecast:
    """Forecast a study.

    Parameters
    ----------
    plan : Plan
        The study's plan.
    machine : Machine
        Where it would run.
    files : mapping of str to int, optional
        Numbers of files, by cohort, where they are not known or are to be others.
    measured : Path, optional
        Folder of a finished study to calibrate with, ``results/STUDY``.

    Raises
    ------
    UserError
        When the machine, or a number of files, makes no sense.
    """
    if machine.cores < 1 or machine.cards < 0:
        raise UserError("--cores and --cards: a study needs at least one core, and no fewer than no cards.")
    if machine.cards and machine.card is None:
        raise UserError("--cards: say which with --card, for example --card a100.")
    card = find_card(machine.card) if machine.card is not None else None
    sizes = Sizes(plan, files)
    work, jobs = Work(plan, sizes), study_jobs(plan)
    calibration = default_calibration()
    if measured is not None:
        calibration = study_calibration(measured, jobs, work, calibration)
    calculated = Costs(work, calibration, card if machine.cards else None)
    costs = {name: calculated.of(name, job) for name, job in track(jobs.items(), "counting operations", len(jobs))}
    added = QUEUED_SECONDS if machine.cards else JOB_SECONDS
    start = SNAKEMAKE + GRAPH_SECONDS * len(jobs)
    found = []
    for kind in range(3):
        tasks = {
            name: Task(cost.seconds[kind] + added, cost.cores, cost.cards, jobs[name].needs)
            for name, cost in costs.items()
        }
        done = schedule(tasks, machine.cores, machine.cards)
        found.append(done._replace(seconds=done.seconds + start))
    stored = stored_bytes(work, jobs.values())
    tightest = limits(jobs, costs, sizes, sum(stored.values()))
    return Forecast(jobs, costs, (found[0], found[1], found[2]), stored, tightest)


def describe(plan: Plan, machine: Machine, found: Forecast) -> str:
    """Write a forecast for a terminal."""
    cards = f"{machine.cards} × {machine.card} and " if machine.cards else ""
    lines = [f"Study {plan.study.study}: {len(found.jobs)} jobs on {cards}{machine.cores} cores", ""]
    lines += [*_rules(found), "", *_sums(found), "", *_limits(found), "", *_basis(machine)]
    return "\n".join(lines)


def _rules(found: Forecast) -> list[str]:
    lines = [f"{'rule':<20}{'jobs':>6}  {'core hours':<26}{'card hours':<26}rests on"]
    counts = Counter(job.rule for job in found.jobs.values())
    for rule in sorted(counts, key=lambda rule: -sum(_hours(found, rule, "likely"))):
        costs = [cost for name, cost in found.costs.items() if found.jobs[name].rule == rule]
        core, card = (total([cost.seconds.times(held(cost) / 3600) for cost in costs]) for held in (_cores, _cards))
        bases: list[Basis] = list(dict.fromkeys(cost.basis for cost in costs))
        lines.append(f"{rule:<20}{counts[rule]:>6}  {_shown(core):<26}{_shown(card):<26}{', '.join(bases)}")
    every = list(found.costs.values())
    core, card = (total([cost.seconds.times(held(cost) / 3600) for cost in every]) for held in (_cores, _cards))
    return [*lines, f"{'together':<20}{len(found.jobs):>6}  {_shown(core):<26}{_shown(card):<26}".rstrip()]


def _hours(found: Forecast, rule: str, kind: str) -> list[float]:
    return [getattr(cost.seconds, kind) for name, cost in found.costs.items() if found.jobs[name].rule == rule]


def _cores(cost: Cost) -> int:
    return 0 if cost.cards else cost.cores


def _cards(cost: Cost) -> int:
    return cost.cards


def _sums(found: Forecast) -> list[str]:
    chain = Counter(found.jobs[name].rule for name in found.schedules[1].chain if name != "all")
    steps = " → ".join(f"{rule} × {count}" if count > 1 else rule for rule, count in chain.items())
    stored = sum(found.stored.values())
    low, high = (_bytes(share * stored) for share in STORAGE_RANGE)
    parts = ", ".join(f"{what} {_bytes(count)}" for what, count in found.stored.items() if count)
    return [
        f"wall time      {_time(found.wall)}",
        f"critical path  {_time(found.chain)}: {steps}",
        f"storage        {_bytes(stored)} ({low} to {high}): {parts}",
    ]


def _limits(found: Forecast) -> list[str]:
    first = found.limits[0]
    lines = [f"first bottleneck: {first.name}, {first.share:.2g} of what there is ({first.told})"]
    if first.share < 1:
        lines = [f"no limit is reached; the nearest: {first.name}, {first.share:.2g} of what there is ({first.told})"]
    return lines + [f"  then: {limit.name}, {limit.share:.2g} ({limit.told})" for limit in found.limits[1:4]]


def _basis(machine: Machine) -> list[str]:
    lines = [
        f"measured: calibrated with the default study's cost on {REFERENCE}",
        "scaled: the same, for larger images or more of them, by what grows with them: half to twice",
        "never measured: by the networks' floating-point operations: a third to three times",
    ]
    if machine.cards:
        lines.append(
            f"cards were never measured: assumed are {UTILISATION:.0%} of a card's bfloat16 peak in networks, steps of "
            f"at least {STEP_SECONDS * 1000:.0f} ms, and {AUDIT_SPEEDUP:.0f} times a core's speed in the audit"
        )
    return lines


def _shown(hours: Range) -> str:
    if not hours.high:
        return "–"
    digits = 2 if hours.high < 10 else 0
    return f"{hours.likely:,.{digits}f} ({hours.low:,.{digits}f} to {hours.high:,.{digits}f})"


def _time(seconds: Range) -> str:
    """Write a range in the unit that fits."""
    unit, size = next(
        (name, size)
        for name, size in (("days", 86_400), ("h", 3600), ("min", 60))
        if seconds.likely > 2 * size or size == 60
    )
    return f"{seconds.likely / size:,.1f} {unit} ({seconds.low / size:,.1f} to {seconds.high / size:,.1f})"


def _bytes(count: float) -> str:
    unit, size = next(
        (name, size) for name, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)) if count >= size or size == 1e6
    )
    return f"{count / size:,.1f} {unit}"
