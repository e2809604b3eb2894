"""Draw where the classifiers trained on real and on synthetic images look."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.attribution import draw_attribution_figure


def main(snakemake):
    """Write the figure and its table."""
    info = StoreInfo.read(snakemake.input.store[0])
    stem = Path(snakemake.output[0]).with_suffix("")
    draw_attribution_figure(snakemake.input.maps, stem, snakemake.wildcards.source, info.simulated)


run_job(snakemake, main)
