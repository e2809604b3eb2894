"""Collect every metric of the study in one table."""

import pandas as pd

from synthcohort.audit.utility import combine_metrics
from synthcohort.core.atomic import write_parquet
from synthcohort.core.job import run_job


def main(snakemake):
    """Write metrics.parquet."""
    write_parquet(snakemake.output[0], combine_metrics(map(pd.read_parquet, snakemake.input)))


run_job(snakemake, main)
