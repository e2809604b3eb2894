"""Choose real and synthetic images with the same labels to show side by side."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.gallery import make_gallery
from synthcohort.core.atomic import write_arrays
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write gallery.npz."""
    real, synthetic = (ImageStore(Path(paths[0]).parent) for paths in (snakemake.input.real, snakemake.input.synthetic))
    selection = pd.read_parquet(snakemake.input.selection)
    seed = derive_seed(snakemake.params.seed, "gallery", *snakemake.wildcards)
    write_arrays(snakemake.output[0], make_gallery(real, selection, synthetic, seed))


run_job(snakemake, main)
