"""Draw the training curves of every cohort and axis."""

from pathlib import Path

from synthcohort.core.job import run_job
from synthcohort.figures.curves import draw_training_figure


def main(snakemake):
    """Write the figures and their tables."""
    for svg in snakemake.output.shown:
        stem = Path(svg).with_suffix("")
        cohort, axis = snakemake.params.trainings[stem.name.removeprefix("training-")]
        histories = {}
        for path in snakemake.input:
            of, *run = Path(path).parts[-5:-1]
            if of == cohort and run[0].startswith(f"{axis}-"):
                histories[tuple(run)] = path
        draw_training_figure(histories, axis, stem)


run_job(snakemake, main)
