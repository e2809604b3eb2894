"""Decode one shard of a cohort into image stores."""

from pathlib import Path

from synthcohort.core.atomic import read_json, read_parts
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.job import run_job
from synthcohort.core.store import Finding
from synthcohort.dicom.preprocess import Masks, Shard, preprocess_shard


def main(snakemake):
    """Write one store per resolution, and what became of each file."""
    params, wildcards = snakemake.params, snakemake.wildcards
    source = params.source
    masks = None
    if source["masks"]:
        masks = Masks(Path(source["masks"]), [entry["name"] for entry in read_json(source["findings"])])
    shard = Shard(
        cohort=wildcards.cohort,
        simulated=source["simulated"],
        folder=Path(source["data"]["folder"]),
        private_folder=Path(source["private"]),
        ingest=Ingest.model_validate(params.ingest),
        resolutions=params.resolutions,
        findings=[Finding.model_validate(entry) for entry in read_json(snakemake.input.findings)],
        masks=masks,
    )
    index, output = read_parts(snakemake.input.headers), Path(snakemake.output.files).parent
    preprocess_shard(shard, int(wildcards.shard), index, output)


run_job(snakemake, main)
