"""Write provenance.json: what the study's results were made from and with, and the digest of each."""

from pathlib import Path

from synthcohort.core.atomic import write_json
from synthcohort.core.job import run_job
from synthcohort.core.load import load_study
from synthcohort.provenance.record import record_provenance
from synthcohort.provenance.software import code_version, environment


def main(snakemake):
    """Take the digests and describe code and environment."""
    params, root = snakemake.params, Path(snakemake.scriptdir).parent
    record = record_provenance(
        Path(snakemake.output[0]).parent,
        load_study(snakemake.config),
        code_version(root),
        environment(root),
        params.sources,
        params.results,
    )
    write_json(snakemake.output[0], record.model_dump(mode="json"))


run_job(snakemake, main)
