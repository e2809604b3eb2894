"""Draw fidelity against an axis."""

from pathlib import Path

import pandas as pd

from synthcohort.core.job import run_job
from synthcohort.figures.fidelity import draw_fidelity_figure


def main(snakemake):
    """Write the figure and its table."""
    stem = Path(snakemake.output[0]).with_suffix("")
    draw_fidelity_figure(pd.read_parquet(snakemake.input[0]), snakemake.wildcards.axis, stem)


run_job(snakemake, main)
