"""Train a classifier on real or synthetic images, and predict the real test images."""

from pathlib import Path

import pandas as pd

from synthcohort.classify.predict import predict, predictions_table
from synthcohort.classify.trainer import train_classifier
from synthcohort.core.atomic import write_parquet
from synthcohort.core.config import Classifier
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write the classifier, its history and its predictions for the test side."""
    params, wildcards = snakemake.params, snakemake.wildcards
    device = prepare_device(params.device, params.threads)
    real = ImageStore(Path(snakemake.input.real[0]).parent)
    selection = pd.read_parquet(snakemake.input.selection)
    rows = {side: group["row"].to_numpy() for side, group in selection.groupby("side")}
    if snakemake.input.synthetic:
        folder = Path(snakemake.input.synthetic[0]).parent.parent
        stores = {side: ImageStore(folder / side) for side in ("train", "valid")}
        train, valid = ((store, store.all_rows) for store in stores.values())
    else:
        train, valid = ((real, rows[side]) for side in ("train", "valid"))
    network = train_classifier(
        train,
        valid,
        Classifier.model_validate(params.classifier),
        # The source is left out: real and synthetic classifiers of a replicate start from the same weights.
        derive_seed(params.seed, "classifier", wildcards.cohort, wildcards.experiment, replicate=wildcards.replicate),
        Path(snakemake.output.weights).parent,
        device,
        params.horizontal_flip,
        f"threads {params.threads}",
    )
    scores = predict(network, real, rows["test"])
    write_parquet(snakemake.output.predictions, predictions_table(network, real, rows["test"], scores))


run_job(snakemake, main)
