"""Index a cohort: one row per file, labels joined, patients pseudonymised."""

from synthcohort.cohort.datasets.registry import read_dataset
from synthcohort.cohort.labels import drop_unlabelled, mark_normal, names_with_normal
from synthcohort.core.atomic import read_json, write_json, write_parquet
from synthcohort.core.cohort_config import Ingest, OwnData
from synthcohort.core.job import run_job
from synthcohort.core.store import Finding
from synthcohort.dicom.folder import note_indexed
from synthcohort.dicom.index import check_rejected, index_folder
from synthcohort.dicom.labels import readable


def main(snakemake):
    """Write the index of the headers, and the names of the findings."""
    params = snakemake.params
    source, ingest = params.source, Ingest.model_validate(params.ingest)
    data = OwnData.model_validate(source["data"])
    display = {}
    if source["findings"]:
        display = {entry["name"]: entry["display"] for entry in read_json(source["findings"])}
    labels = read_dataset(data)
    index = index_folder(
        data.folder,
        labels.table,
        labels.key,
        params.findings or labels.findings,
        ingest,
        max(params.resolutions),
        source["private"],
        params.seed,
        display,
        labels.columns,
    )
    check_rejected(index.reasons, ingest.maximum_rejected)
    known = {finding.name: finding for finding in index.findings}
    if params.drop_unlabelled:
        names = list(known)
        parts = (drop_unlabelled(part, names) for part in index.parts())
    else:
        names = names_with_normal(index.parts(), list(known))
        parts = (mark_normal(part, names) for part in index.parts())
    findings = [known.get(name) or Finding(name=name, display=readable(name)) for name in names]
    write_parquet(snakemake.output.headers, parts)
    write_json(snakemake.output.findings, [finding.model_dump() for finding in findings])
    note_indexed(source["private"], params.study, params.inventory)


run_job(snakemake, main)
