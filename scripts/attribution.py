"""Map where the classifiers of one experiment look."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.attribution import untrained
from synthcohort.audit.attribution_metrics import (
    UNTRAINED,
    attribution_gallery,
    attribution_metrics,
    choose_images,
    chosen_masks,
    map_chosen,
)
from synthcohort.audit.utility import REAL, experiment_keys
from synthcohort.classify.networks import load_classifier
from synthcohort.core.atomic import write_arrays, write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write the metrics of all maps, and some maps to look at."""
    params = snakemake.params
    cohort, experiment, replicate = snakemake.wildcards
    device = prepare_device(params.device, params.threads)
    real = ImageStore(Path(snakemake.input.real[0]).parent)
    seed = derive_seed(params.seed, "attribution", cohort, experiment, replicate=replicate)
    chosen = choose_images(real, pd.read_parquet(snakemake.input.selection), seed)
    folders = dict.fromkeys(Path(path).parent for path in snakemake.input.classifiers)
    networks = {folder.parts[-2]: load_classifier(folder, device) for folder in folders}
    networks[UNTRAINED] = untrained(networks[REAL], seed)
    maps = {source: map_chosen(network, real, chosen) for source, network in networks.items()}
    metrics = attribution_metrics(
        experiment_keys(params.study, cohort, experiment, replicate=replicate),
        chosen,
        maps,
        chosen_masks(real, chosen),
        Statistics.model_validate(params.statistics),
        seed,
        real.info.simulated,
    )
    write_arrays(snakemake.output.gallery, attribution_gallery(real, chosen, maps))
    write_parquet(snakemake.output.metrics, metrics)


run_job(snakemake, main)
