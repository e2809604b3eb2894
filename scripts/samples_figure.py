"""Draw what a generator draws as its training goes on."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.samples import draw_samples_figure


def main(snakemake):
    """Write the figure and its table."""
    run = snakemake.wildcards
    title = f"{run.source} on {run.cohort}, {run.experiment}: samples over training"
    stem = Path(snakemake.output[0]).with_suffix("")
    draw_samples_figure(snakemake.input.samples, stem, title, StoreInfo.read(snakemake.input.store[0]).simulated)


run_job(snakemake, main)
