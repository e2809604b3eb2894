"""What the Snakefile asks of own data before anything runs: whether it has changed, and what that will cost."""

import sys
from functools import cache
from pathlib import Path

from synthcohort.core.atomic import file_digest
from synthcohort.core.plan import Plan
from synthcohort.dicom.folder import changes_since_index, inventory_digest


def inventory_of(plan: Plan, cohort: str, refresh: bool) -> str:
    """Digest what lies in a user's folder and tables, in one word, so that new files are seen; say what they cost.

    Parameters
    ----------
    plan, cohort, refresh
        As for `source_digests`.

    Returns
    -------
    str
        A digest; ``drawn`` for embedded cohorts, whose manifest is an input; ``absent`` where there is no such folder.
    """
    inventory = "-".join(source_digests(plan, cohort, refresh).values()) or "drawn"
    if refresh and inventory != "drawn":
        private = plan.source_of_images(cohort)["private"]
        _tell(cohort, changes_since_index(private, plan.study.study, inventory))
    return inventory


@cache  # Snakemake asks several times
def _tell(cohort: str, changes: str) -> None:
    """Say before anything runs what will run again."""
    if changes:
        print(
            f"{cohort}: {changes} since the last run. Only new files are decoded, and patients keep their side, but "
            "all that depends on this cohort's images runs again, training included; the table of jobs says what "
            "(--dry-run shows it alone).",
            file=sys.stderr,
        )


def source_digests(plan: Plan, cohort: str, refresh: bool) -> dict[str, str]:
    """Digest what lies in a user's folder and tables.

    Images are no inputs of a rule, since Snakemake would keep their names. The main process takes the inventory
    and caches it in ``private/``; its jobs read the cache.

    Parameters
    ----------
    plan : Plan
        The study's plan.
    cohort : str
        Name of the cohort.
    refresh : bool
        True in the main process.

    Returns
    -------
    dict
        ``inventory`` of the folder, and the SHA-256 of ``labels`` and ``metadata``, where there are such tables;
        ``absent`` stands for what is not there. Empty for embedded cohorts.
    """
    source = plan.source_of_images(cohort)
    if source["simulated"]:
        return {}
    data = source["data"]
    tables = {name: Path(data[name]) for name in ("labels", "metadata") if data[name]}
    digests = {name: file_digest(table) if table.is_file() else "absent" for name, table in tables.items()}
    return {"inventory": inventory_digest(data["folder"], source["private"], refresh), **digests}
