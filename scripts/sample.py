"""Sample a synthetic cohort as large as the real one."""

from pathlib import Path

import pandas as pd

from synthcohort.classify.networks import load_classifier
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.gan.sampler import draw_labels, sample_to_store


def main(snakemake):
    """Write the synthetic training and validation stores; their labels follow the real training distribution."""
    params = snakemake.params
    device = prepare_device(params.device, params.threads)
    real = ImageStore(Path(snakemake.input.real[0]).parent)
    selection = pd.read_parquet(snakemake.input.selection)
    labels = real.labels[selection.loc[selection["side"] == "train", "row"]]
    first = 1
    for side in ("train", "valid"):
        count = int((selection["side"] == side).sum())
        label_seed, noise_seed = (
            derive_seed(params.seed, f"{purpose}-{side}", *snakemake.wildcards) for purpose in ("labels", "noise")
        )
        sample_to_store(
            Path(snakemake.input.weights).parent,
            draw_labels(labels, count, label_seed),
            Path(snakemake.output[side][0]).parent,
            real.info,
            noise_seed,
            device,
            first,
            load_classifier(Path(snakemake.input.guide[0]).parent, device) if snakemake.input.guide else None,
            params.candidates,
        )
        first += count


run_job(snakemake, main)
