"""Draw what one generator's images look like, and next to which real ones they lie."""

from synthcohort.audit.vocabulary import SPACES
from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.attribution import draw_attribution_figure
from synthcohort.figures.copies import draw_copies_figure
from synthcohort.figures.gallery import draw_gallery_figure
from synthcohort.figures.neighbours import draw_neighbours_figure
from synthcohort.figures.samples import draw_samples_figure


def main(snakemake):
    """Write the figures and their tables."""
    run, given, stems = snakemake.wildcards, snakemake.input, snakemake.params.stems
    simulated = StoreInfo.read(given.store[0]).simulated
    title = f"{run.source} on {run.cohort}, {run.experiment}: samples over training"
    draw_samples_figure(given.samples, stems["samples"], title, simulated)
    draw_gallery_figure(given.gallery, stems["gallery"], simulated, run.source)
    for space in SPACES:
        draw_neighbours_figure(given.neighbours, stems[f"neighbours_{space}"], space, simulated, run.source)
    draw_copies_figure(given.copies, stems["copies"], run.source, simulated)
    draw_attribution_figure(given.attribution, stems["attribution"], run.source, simulated)


run_job(snakemake, main)
