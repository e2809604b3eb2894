"""Build a reader study."""

from pathlib import Path

import pandas as pd

from synthcohort.core.atomic import write_json
from synthcohort.core.errors import UserError
from synthcohort.core.job import run_job
from synthcohort.core.reader_config import ReaderStudy
from synthcohort.core.store import ImageStore
from synthcohort.readers.build import build_reader_study
from synthcohort.readers.select import Cell


def main(snakemake):
    """Write the study into reader-studies/, and what it told about itself."""
    params, given = snakemake.params, snakemake.input
    if not params.readers:
        raise UserError("config key readers: a reader study needs it; see docs/reader-study.md.")
    cells = [
        Cell(
            run["cohort"],
            run["experiment"],
            run["source"],
            ImageStore(Path(real).parent),
            pd.read_parquet(selection),
            ImageStore(Path(synthetic).parent),
        )
        for run, real, selection, synthetic in zip(
            params.shown, given.real, given.selections, given.synthetic, strict=True
        )
    ]
    told = build_reader_study(params.study, cells, ReaderStudy.model_validate(params.readers), params.seed)
    write_json(snakemake.output[0], told)


run_job(snakemake, main)
