"""What a study meets first when it grows."""

from collections.abc import Mapping
from typing import NamedTuple

from synthcohort.core.requests import ATTEMPTS, TABLES, minutes_at_most
from synthcohort.forecast.costs import Cost
from synthcohort.forecast.jobs import Job
from synthcohort.forecast.sizes import Sizes

DISK = 10e12
GRAPH_SECONDS = 0.0062
"""Snakemake's processor time per job to build the graph (docs/evidence/scheduling.csv)."""
GRAPH_PATIENCE = 60.0


class Limit(NamedTuple):
    """One limit.

    Attributes
    ----------
    name : str
        What there is too little of.
    share : float
        How much of it the study needs; above 1 it is not enough.
    told : str
        The number behind it.
    """

    name: str
    share: float
    told: str


def limits(jobs: Mapping[str, Job], costs: Mapping[str, Cost], sizes: Sizes, stored: float) -> list[Limit]:
    """Compare a study with what its jobs ask a cluster for, one disk and one Snakemake; the tightest first."""
    longest: dict[str, float] = {}
    for name, job in jobs.items():
        if job.rule != "all":
            longest[job.rule] = max(longest.get(job.rule, 0.0), costs[name].seconds.likely)
    files = max(size.files for size in sizes.cohorts.values())
    graph = len(jobs) * GRAPH_SECONDS
    return sorted(
        [
            *(_run_time(rule, seconds / 3600, minutes_at_most(rule) / 60) for rule, seconds in longest.items()),
            *(
                _memory(rule, files * tables.bytes_per_file, ATTEMPTS * tables.own_mb)
                for rule, tables in TABLES.items()
            ),
            Limit("a disk of 10 TB", stored / DISK, f"{stored / 1e12:,.2f} TB"),
            Limit("building the job graph in a minute", graph / GRAPH_PATIENCE, f"{graph:,.0f} s for {len(jobs)} jobs"),
        ],
        key=lambda limit: -limit.share,
    )


def _run_time(rule: str, hours: float, asked: float) -> Limit:
    return Limit(f"run time of {rule}", hours / asked, f"longest {hours:,.1f} h of {asked:,.0f} h")


def _memory(rule: str, taken: float, asked: float) -> Limit:
    return Limit(f"memory of {rule}", taken / (asked * 1e6), f"{taken / 1e9:,.1f} GB of {asked / 1e3:,.0f} GB")
