"""Train a cohort's judge at one resolution."""

from pathlib import Path

import pandas as pd

from synthcohort.classify.trainer import train_classifier
from synthcohort.cohort.experiments import CohortImages
from synthcohort.core.config import Classifier
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write the judge: a classifier of all training images, whatever experiment they are in."""
    params, wildcards = snakemake.params, snakemake.wildcards
    cohort = Plan(load_study(snakemake.config)).cohort(wildcards.cohort)
    store = ImageStore(Path(snakemake.input.store[0]).parent)
    split = pd.read_parquet(snakemake.input.split)
    table = CohortImages(cohort, store.records, store.info.finding_names, split, params.seed).table
    rows = {side: group["row"].to_numpy() for side, group in table.groupby("side")}
    train_classifier(
        (store, rows["train"]),
        (store, rows["valid"]),
        Classifier.model_validate(params.classifier),
        derive_seed(params.seed, "judge", wildcards.cohort, wildcards.size),
        Path(snakemake.output.history).parent,
        prepare_device(params.device, params.threads),
        params.mirror,
        f"threads {params.threads}",
    )


run_job(snakemake, main)
