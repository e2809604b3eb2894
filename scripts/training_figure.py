"""Draw the training curves of one cohort's generators along an axis."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.figures.curves import draw_training_figure


def main(snakemake):
    """Write the figure and its table."""
    histories = {Path(path).parts[-4:-1]: path for path in snakemake.input}
    draw_training_figure(histories, snakemake.wildcards.axis, Path(snakemake.output[0]).with_suffix(""))


run_job(snakemake, main)
