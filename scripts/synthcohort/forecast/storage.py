"""Bytes that a study writes."""

from collections.abc import Iterable

from synthcohort.forecast.jobs import Job
from synthcohort.forecast.work import Work, is_generator

DICOM_HEADER, FLOAT = 2500, 4
FIGURES = 3e6  # of one drawing job
LOGS = 2e4  # log, benchmark and Snakemake's metadata of one job
OPTIMISER = 3  # a checkpoint holds each weight with Adam's two moments


def stored_bytes(work: Work, jobs: Iterable[Job]) -> dict[str, float]:
    """Bytes by what they are; images at most, as label combinations that are too rare are left out."""
    plan, sizes = work.plan, work.sizes
    pixels = sum(side**2 for side in plan.resolutions)
    stores = sum(size.images * size.channels * pixels for size in sizes.cohorts.values())
    drawn = sum(
        sizes.cohorts[cohort.name].files * (2 * cohort.phantom.side**2 + DICOM_HEADER)
        for cohort in plan.study.cohorts
        if cohort.phantom is not None
    )
    found = dict.fromkeys(("synthetic images", "weights and checkpoints", "figures, tables and logs"), 0.0)
    for job in jobs:
        found["figures, tables and logs"] += LOGS + (FIGURES if "figure" in job.rule or "picture" in job.rule else 0)
        if job.rule == "sample":
            chosen = plan.experiment(*job.wildcards[:2])
            sides, channels = sizes.sides(chosen), sizes.cohorts[chosen.cohort].channels
            images = chosen.amount * sides.train + sides.valid
            found["synthetic images"] += images * channels * chosen.resolution**2
        if is_generator(job):
            networks = work.networks(job)
            saved = 2 * networks.generator + networks.discriminator
            checkpoint = OPTIMISER * (networks.generator + networks.discriminator) + networks.generator
            found["weights and checkpoints"] += FLOAT * (saved + checkpoint)
    return {"drawn DICOM files": drawn, "image stores": stores, "image stores, twice while merging": stores, **found}
