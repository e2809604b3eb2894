"""Draw neighbours and attribution maps of all cohorts in one figure each, in the way of the paper."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.paper_pictures import Run, draw_paper_attribution, draw_paper_neighbours

DRAW = {"neighbours": draw_paper_neighbours, "attribution": draw_paper_attribution}


def main(snakemake):
    """Write the figures and their tables."""
    given, sources = snakemake.input, snakemake.params.sources
    simulated = [StoreInfo.read(path).simulated for path in given.stores]
    for stem in dict.fromkeys(Path(path).with_suffix("") for path in snakemake.output):
        _, kind, width = stem.name.split("-", 2)
        arrays = given[kind]
        files = {
            cohort: Run(path, is_simulated, source)
            for (cohort, source), path, is_simulated in zip(sources.items(), arrays, simulated, strict=True)
        }
        DRAW[kind](files, stem, width.replace("-", "_"))


run_job(snakemake, main)
