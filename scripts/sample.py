"""Sample a synthetic cohort as large as the real one, or as the amount axis says."""

from pathlib import Path

import pandas as pd

from synthcohort.classify.networks import load_classifier
from synthcohort.core.atomic import read_json
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.gan.sampler import sample_to_store, wanted_labels


def main(snakemake):
    """Write the synthetic training and validation stores; labels follow those of training images, or are copies.

    A private generator brings its own distribution of labels.
    """
    params = snakemake.params
    device = prepare_device(params.device, params.threads)
    real = ImageStore(Path(snakemake.input.real[0]).parent)
    selection = pd.read_parquet(snakemake.input.selection)
    labels = {side: real.labels[group["row"]] for side, group in selection.groupby("side")}
    folder = Path(snakemake.input.generator[0]).parent
    histogram = read_json(folder / "generator.json").get("label_histogram")
    first = 1
    for side in ("train", "valid"):
        label_seed, noise_seed = (
            derive_seed(params.seed, f"{purpose}-{side}", *snakemake.wildcards) for purpose in ("labels", "noise")
        )
        wanted = wanted_labels(labels, side, label_seed, params.amount, params.copy_labels, histogram)
        sample_to_store(
            folder,
            wanted,
            Path(snakemake.output[side][0]).parent,
            real.info,
            noise_seed,
            device,
            first,
            load_classifier(Path(snakemake.input.guide[0]).parent, device) if snakemake.input.guide else None,
            params.candidates,
        )
        first += len(wanted)


run_job(snakemake, main)
