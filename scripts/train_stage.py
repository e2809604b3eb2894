"""Train one stage of a generator's growth, from where the stage before ended."""

from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.gan.task import run, task_of


def main(snakemake):
    """Write the stage's generator and its history; a killed training goes on where it was."""
    *run_names, stage = snakemake.wildcards
    seed = derive_seed(snakemake.params.seed, f"generator-{stage}", *run_names)
    cohort, log = snakemake.wildcards.cohort, snakemake.log[0]
    run(task_of(snakemake.input, snakemake.output, snakemake.params, seed, cohort, log))


run_job(snakemake, main)
