"""Find the real images that are nearest to synthetic ones."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.neighbours import neighbour_gallery, neighbour_metrics
from synthcohort.audit.utility import experiment_keys
from synthcohort.classify.networks import load_classifier
from synthcohort.core.atomic import write_arrays, write_csv, write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write the metrics of all samples, and some samples with their neighbours."""
    params = snakemake.params
    cohort, experiment, source, replicate = snakemake.wildcards
    judge = load_classifier(Path(snakemake.input.judge[0]).parent, prepare_device(params.device, params.threads))
    real, synthetic = (ImageStore(Path(files[0]).parent) for files in (snakemake.input.real, snakemake.input.synthetic))
    selection = pd.read_parquet(snakemake.input.selection)
    seed = derive_seed(params.seed, "neighbours", *snakemake.wildcards)
    keys = experiment_keys(params.study, cohort, experiment, source=source, replicate=replicate)
    statistics = Statistics.model_validate(params.statistics)
    metrics = neighbour_metrics(keys, synthetic, real, selection, judge, statistics, seed)
    arrays, table = neighbour_gallery(synthetic, real, selection, judge, seed)
    write_csv(snakemake.output.table, table)
    write_arrays(snakemake.output.gallery, arrays)
    write_parquet(snakemake.output.metrics, metrics)


run_job(snakemake, main)
