"""Merge the shards of a cohort into its stores and its final index."""

from pathlib import Path

from synthcohort.core.atomic import read_parts
from synthcohort.core.job import run_job
from synthcohort.dicom.merge import merge_shards


def main(snakemake):
    """Write one store per resolution and index.parquet."""
    merge_shards(
        read_parts(snakemake.input.headers),
        [Path(path).parent for path in snakemake.input.files],
        Path(snakemake.output.stores[0]).parent.parent,
        snakemake.output.index,
        snakemake.params.resolutions,
        snakemake.params.maximum_rejected,
    )


run_job(snakemake, main)
