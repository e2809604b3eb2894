"""Draw an embedded cohort and write it as DICOM."""

from pathlib import Path

from synthcohort.core.cohort_config import Phantom
from synthcohort.core.job import run_job
from synthcohort.phantoms.draw import draw_cohort


def main(snakemake):
    """Write the DICOM files, lesion masks and label table beside the declared manifest and ground truth."""
    phantom = dict(snakemake.params.phantom)
    name = phantom.pop("name")
    draw_cohort(Phantom.model_validate(phantom), name, Path(snakemake.output.manifest).parent)


run_job(snakemake, main)
