"""Train a generator on an experiment's real training images."""

from pathlib import Path

import pandas as pd

from synthcohort.classify.networks import load_classifier
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.registry import FAMILIES
from synthcohort.gan.trainer import train_generator


def main(snakemake):
    """Write the generator and its history; a killed training goes on where it was."""
    params = snakemake.params
    cohort, experiment, source, replicate = snakemake.wildcards
    device = prepare_device(params.device, params.threads)
    store = ImageStore(Path(snakemake.input.real[0]).parent)
    selection = pd.read_parquet(snakemake.input.selection)
    family = FAMILIES[source]
    train_generator(
        store,
        selection.loc[selection["side"] == "train", "row"].to_numpy(),
        family,
        resolve_settings(family.presets, store.info.resolution, params.kimg, params.horizontal_flip),
        derive_seed(params.seed, "generator", cohort, experiment, source, replicate),
        Path(snakemake.output.weights).parent,
        device,
        guide=load_classifier(Path(snakemake.input.guide[0]).parent, device),
        params_digest=f"version {params.version}, threads {params.threads}",
    )


run_job(snakemake, main)
