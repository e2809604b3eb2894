"""Let a machine tell synthetic images from real ones."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.detection import detection_metrics
from synthcohort.audit.utility import experiment_keys, no_metrics
from synthcohort.core.atomic import write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.device import prepare_device
from synthcohort.core.errors import TooFewImagesError
from synthcohort.core.job import run_job
from synthcohort.core.progress import logger
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write the metrics of one sample, and of the controls."""
    params = snakemake.params
    cohort, experiment, source, replicate = snakemake.wildcards
    real, synthetic = (ImageStore(Path(files[0]).parent) for files in (snakemake.input.real, snakemake.input.synthetic))
    try:
        metrics = detection_metrics(
            experiment_keys(params.study, cohort, experiment, source=source, replicate=replicate),
            synthetic,
            real,
            pd.read_parquet(snakemake.input.selection),
            Statistics.model_validate(params.statistics),
            derive_seed(params.seed, "detection", *snakemake.wildcards),
            prepare_device(params.device, params.threads),
        )
    except TooFewImagesError as error:
        logger.warning("not measured: %s", error)
        metrics = no_metrics()
    write_parquet(snakemake.output[0], metrics)


run_job(snakemake, main)
