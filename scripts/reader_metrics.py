"""Measure how well readers tell synthetic images from real ones."""

import pandas as pd

from synthcohort.core.atomic import read_json, write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.readers.analysis import reader_metrics
from synthcohort.readers.results import people_or_simulated


def main(snakemake):
    """Write the metrics of people's answers, or, as long as there are none, of simulated readers'."""
    params, given = snakemake.params, snakemake.input
    simulated = pd.read_parquet(given.simulated) if given.simulated else None
    results = people_or_simulated(read_json(given.told)["id"], simulated)
    statistics, seed = Statistics.model_validate(params.statistics), derive_seed(params.seed, "reader-metrics")
    metrics = reader_metrics(params.study, results, params.margin, params.replicate, statistics, seed)
    write_parquet(snakemake.output[0], metrics)


run_job(snakemake, main)
