"""Write the tables of every axis."""

from pathlib import Path

import pandas as pd

from synthcohort.core.job import run_job
from synthcohort.figures.tables import write_tables


def main(snakemake):
    """Write one CSV and one LaTeX table per axis."""
    write_tables(pd.read_parquet(snakemake.input[0]), Path(snakemake.output[0]).parent)


run_job(snakemake, main)
