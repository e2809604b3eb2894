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
    """Write the metrics of every family's sample in an experiment, and of the controls."""
    params = snakemake.params
    cohort, experiment, replicate = snakemake.wildcards
    folders = dict.fromkeys(Path(path).parent for path in snakemake.input.synthetic)
    try:
        metrics = detection_metrics(
            experiment_keys(params.study, cohort, experiment, replicate=replicate),
            {folder.parts[-4]: ImageStore(folder) for folder in folders},
            ImageStore(Path(snakemake.input.real[0]).parent),
            pd.read_parquet(snakemake.input.selection),
            Statistics.model_validate(params.statistics),
            derive_seed(params.seed, "detection", cohort, experiment, replicate=replicate),
            prepare_device(params.device, params.threads),
        )
    except TooFewImagesError as error:
        logger.warning("not measured: %s", error)
        metrics = no_metrics()
    write_parquet(snakemake.output[0], metrics)


run_job(snakemake, main)
