"""Join the stages of a growth to one generator."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.gan.growth import join_stages


def main(snakemake):
    """Write the last stage's generator, with the history and the cost of all of them."""
    stages = dict.fromkeys(Path(path).parent for path in snakemake.input)
    join_stages(list(stages), Path(snakemake.output[0]).parent)


run_job(snakemake, main)
