"""Select the images of one experiment."""

import pandas as pd

from synthcohort.cohort.experiments import CohortImages
from synthcohort.core.atomic import write_parquet
from synthcohort.core.job import run_job
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.store import StoreInfo


def main(snakemake):
    """Write selection.parquet."""
    plan = Plan(load_study(snakemake.config))
    cohort, experiment = snakemake.wildcards
    findings = StoreInfo.read(snakemake.input.store).finding_names
    records = pd.read_parquet(snakemake.input.records)
    split = pd.read_parquet(snakemake.input.split)
    params = snakemake.params
    images = CohortImages(plan.cohort(cohort), records, findings, split, params.seed, params.unequal_totals)
    write_parquet(snakemake.output[0], images.select(plan.experiment(cohort, experiment)))


run_job(snakemake, main)
