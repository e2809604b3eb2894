"""Draw a sheet of one cohort's images, each finding alone beside normal."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.gallery import make_cohort_sheet
from synthcohort.core.atomic import write_arrays
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.figures.gallery import draw_cohort_figure


def main(snakemake):
    """Write the figure and its table."""
    store = ImageStore(Path(snakemake.input.real[0]).parent)
    rows = pd.read_parquet(snakemake.input.selection)["row"].to_numpy()
    sheet = make_cohort_sheet(store, rows, derive_seed(snakemake.params.seed, "sheet", snakemake.wildcards.cohort))
    write_arrays(snakemake.output.sheet, sheet)
    draw_cohort_figure(snakemake.output.sheet, Path(snakemake.output.sheet).with_suffix(""), store.info.simulated)


run_job(snakemake, main)
