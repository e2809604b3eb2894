"""Draw synthetic images beside the real ones that are nearest to them."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.neighbours import draw_neighbours_figure


def main(snakemake):
    """Write the figure and its table."""
    info = StoreInfo.read(snakemake.input.store[0])
    stem = Path(snakemake.output[0]).with_suffix("")
    wildcards = snakemake.wildcards
    draw_neighbours_figure(snakemake.input.neighbours, stem, wildcards.space, info.simulated, wildcards.source)


run_job(snakemake, main)
