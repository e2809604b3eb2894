"""What a study meets first when it grows."""

from collections.abc import Mapping
from typing import NamedTuple

from synthcohort.forecast.costs import Cost
from synthcohort.forecast.jobs import Job
from synthcohort.forecast.sizes import Sizes

DAY = 86_400.0
HEADER_BYTES = 4e3
"""Memory that the job `index` takes per file: 3 kB measured with one finding (docs/evidence/ingest-scale.csv)."""
MEMORY = 8e9
"""What a job can have without asking for more than the rules do."""
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
    """Compare a study with what one job, one disk and one Snakemake can do; the tightest first."""
    longest: dict[str, float] = {}
    for name, job in jobs.items():
        longest[job.rule] = max(longest.get(job.rule, 0.0), costs[name].seconds.likely)
    found = [
        Limit(f"a job of {rule} in a day", seconds / DAY, f"longest {seconds / 3600:,.1f} h")
        for rule, seconds in longest.items()
    ]
    files = max(size.files for size in sizes.cohorts.values())
    graph = len(jobs) * GRAPH_SECONDS
    found += [
        Limit("memory of the job index (headers of all files at once)", files * HEADER_BYTES / MEMORY,
              f"{files * HEADER_BYTES / 1e9:,.1f} GB"),
        Limit("a disk of 10 TB", stored / DISK, f"{stored / 1e12:,.2f} TB"),
        Limit("building the job graph in a minute", graph / GRAPH_PATIENCE, f"{graph:,.0f} s for {len(jobs)} jobs"),
    ]  # fmt: skip
    return sorted(found, key=lambda limit: -limit.share)
