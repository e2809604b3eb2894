"""Select the images of one experiment."""

from pathlib import Path

import pandas as pd

from synthcohort.cohort.experiments import CohortImages
from synthcohort.core.atomic import write_parquet
from synthcohort.core.job import run_job
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.store import read_records


def main(snakemake):
    """Write selection.parquet."""
    plan = Plan(load_study(snakemake.config))
    cohort, experiment = snakemake.wildcards
    info, records = read_records(Path(snakemake.input.store).parent)
    split = pd.read_parquet(snakemake.input.split)
    params = snakemake.params
    images = CohortImages(plan.cohort(cohort), records, info.finding_names, split, params.seed, params.unequal_totals)
    write_parquet(snakemake.output[0], images.select(plan.experiment(cohort, experiment)))


run_job(snakemake, main)
