"""Measure how well readers tell synthetic images from real ones."""

import pandas as pd

from synthcohort.audit.utility import combine_metrics
from synthcohort.core.atomic import read_json, write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.readers.analysis import reader_metrics, study_metrics
from synthcohort.readers.results import answered_studies, people_or_simulated


def main(snakemake):
    """Write the metrics of people's answers, or, as long as there are none, of simulated readers'."""
    params, given = snakemake.params, snakemake.input
    simulated = pd.read_parquet(given.simulated) if given.simulated else None
    study_id = read_json(given.told)["id"]
    results = people_or_simulated(study_id, simulated)
    statistics, seed = Statistics.model_validate(params.statistics), derive_seed(params.seed, "reader-metrics")
    metrics = reader_metrics(params.study, results, params.margin, params.replicate, statistics, seed)
    named = study_metrics(params.study, study_id, answered_studies(params.study), params.replicate)
    write_parquet(snakemake.output[0], combine_metrics([metrics, named]))


run_job(snakemake, main)
