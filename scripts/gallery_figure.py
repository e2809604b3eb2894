"""Draw real beside synthetic images of one experiment."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.gallery import draw_gallery_figure


def main(snakemake):
    """Write the figure and its table."""
    info = StoreInfo.read(snakemake.input.store[0])
    stem = Path(snakemake.output[0]).with_suffix("")
    draw_gallery_figure(snakemake.input.gallery, stem, info.simulated, snakemake.wildcards.source)


run_job(snakemake, main)
