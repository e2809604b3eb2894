"""Deal the patients who are attacked to shadow generators."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.privacy import attacked_groups, privacy_seed
from synthcohort.audit.shadows import shadow_selections
from synthcohort.core.atomic import write_parquet
from synthcohort.core.job import run_job
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write what each shadow of a replicate is trained on."""
    seed = privacy_seed(snakemake.params.seed, *snakemake.wildcards)
    selection = pd.read_parquet(snakemake.input.selection)
    groups = attacked_groups(ImageStore(Path(snakemake.input.real[0]).parent), selection, seed)
    dealt = shadow_selections(selection, groups, len(snakemake.output), seed)
    for path, table in zip(snakemake.output, dealt, strict=True):
        write_parquet(path, table)


run_job(snakemake, main)
