"""Pack the study for a colleague: an RO-Crate without images and patients."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.provenance.crate import write_crate


def main(snakemake):
    """Write the ZIP file from the results that the rule names."""
    given = snakemake.input
    write_crate(snakemake.output[0], Path(given.provenance).parent, given.results, Path(snakemake.scriptdir).parent)


run_job(snakemake, main)
