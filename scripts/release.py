"""Build the bundle of a synthetic cohort that may leave."""

from pathlib import Path

import pandas as pd

from synthcohort.core.atomic import read_json
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.config import Statistics
from synthcohort.core.job import run_job
from synthcohort.core.release_config import Release
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.release.bundle import build_bundle
from synthcohort.release.subject import SourceCohort, Subject


def main(snakemake):
    """Write the bundle's folder, or say which figures keep it from leaving."""
    params, given = snakemake.params, snakemake.input
    generator = Path(given.generator[0])
    subject = Subject(
        Release.model_validate(params.release),
        SourceCohort.read(
            Ingest.model_validate(params.ingest), params.label_policy, given.store[0], given.selection[0]
        ),
        {part: ImageStore(Path(given[part][0]).parent) for part in ("train", "valid")},
        read_json(generator),
        pd.read_parquet(given.metrics),
        Statistics.model_validate(params.statistics),
        params.copy_labels,
        params.shadows,
    )
    folder = Path(snakemake.output.manifest).parent
    build_bundle(folder, subject, generator.parent, derive_seed(params.seed, "release"))


run_job(snakemake, main)
