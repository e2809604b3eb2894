"""Train a classifier on real or synthetic images, and predict the real test images."""

from pathlib import Path

import pandas as pd

from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.predict import predict, predictions_table, whole_batches
from synthcohort.classify.trainer import train_classifier
from synthcohort.classify.training import RECIPES
from synthcohort.core.atomic import write_parquet
from synthcohort.core.checkpoint import read_weights
from synthcohort.core.config import Classifier
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def material(source, real, rows, synthetic):
    """Choose what a classifier learns from and what it is stopped by.

    Whoever has real images to mix in, or to go on with, has real validation images as well.
    """
    own = [(real, rows[side]) for side in ("train", "valid")]
    if synthetic is None or source.startswith("pre-"):
        return own
    made = [(store := ImageStore(synthetic / side), store.all_rows) for side in ("train", "valid")]
    if not source.startswith("mix-"):
        return made
    joined = JoinedStore(own[0], made[0])
    return [(joined, joined.all_rows), own[1]]


def main(snakemake):
    """Write the classifier, its history and its predictions for the test side."""
    params, wildcards = snakemake.params, snakemake.wildcards
    device = prepare_device(params.device, params.threads)
    real = ImageStore(Path(snakemake.input.real[0]).parent)
    selection = pd.read_parquet(snakemake.input.selection)
    rows = {side: group["row"].to_numpy() for side, group in selection.groupby("side")}
    synthetic = Path(snakemake.input.synthetic[0]).parent.parent if snakemake.input.synthetic else None
    train, valid = material(wildcards.source, real, rows, synthetic)
    network = train_classifier(
        train,
        valid,
        Classifier.model_validate(params.classifier),
        # The source is left out: real and synthetic classifiers of a replicate start from the same weights.
        derive_seed(params.seed, "classifier", wildcards.cohort, wildcards.experiment, replicate=wildcards.replicate),
        Path(snakemake.output.weights).parent,
        device,
        params.mirror,
        f"threads {params.threads}",
        read_weights(snakemake.input.before[0]) if snakemake.input.before else None,
    )
    test = whole_batches(rows["test"], RECIPES[network.name].batch) if params.drop_incomplete_batch else rows["test"]
    write_parquet(snakemake.output.predictions, predictions_table(network, real, test, predict(network, real, test)))


run_job(snakemake, main)
