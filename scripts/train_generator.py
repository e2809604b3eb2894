"""Train a generator on an experiment's real training images."""

from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.gan.task import run, task_of


def main(snakemake):
    """Write the generator and its history; a killed training goes on where it was."""
    seed = derive_seed(snakemake.params.seed, "generator", *snakemake.wildcards)
    cohort, log = snakemake.wildcards.cohort, snakemake.log[0]
    run(task_of(snakemake.input, snakemake.output, snakemake.params, seed, cohort, log))


run_job(snakemake, main)
