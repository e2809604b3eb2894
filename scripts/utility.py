"""Compare the classifiers of one experiment."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.utility import experiment_keys, utility_metrics
from synthcohort.cohort.findings import finding_list
from synthcohort.core.atomic import write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.job import run_job
from synthcohort.core.protocol import Protocol
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import StoreInfo


def main(snakemake):
    """Write the experiment's rows of the metrics: of every replicate, and of all together."""
    params = snakemake.params
    cohort, experiment = snakemake.wildcards
    row = pd.read_csv(snakemake.input.experiments, keep_default_na=False).set_index("experiment").loc[experiment]
    paths = {tuple(Path(path).parts[-3:-1]): path for path in snakemake.input.predictions}
    predictions = {
        replicate: {source: pd.read_parquet(paths[source, replicate]) for source in params.sources}
        for replicate in params.replicates
    }
    metrics = utility_metrics(
        experiment_keys(params.study, cohort, experiment),
        predictions,
        finding_list(row["averaged"]),
        finding_list(row["common"]),
        Statistics.model_validate(params.statistics),
        derive_seed(params.seed, "bootstrap", cohort, experiment),
        StoreInfo.read(snakemake.input.store[0]).simulated,
        Protocol.model_validate(params.protocol),
    )
    write_parquet(snakemake.output[0], metrics)


run_job(snakemake, main)
