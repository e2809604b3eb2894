"""Draw AUROC per finding at one experiment."""

from pathlib import Path

import pandas as pd

from synthcohort.core.atomic import read_json
from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.bars import draw_finding_figure


def main(snakemake):
    """Write the figure and its table."""
    experiment = snakemake.wildcards.experiment
    averaged, display = {}, {}
    for path in snakemake.input.experiments:
        table = pd.read_csv(path, keep_default_na=False).set_index("experiment")
        if experiment in table.index:
            averaged[Path(path).parent.name] = table.loc[experiment, "averaged"].split(";")
    for path in snakemake.input.stores:
        info = StoreInfo.model_validate(read_json(path))
        display |= {finding.name: finding.display for finding in info.findings}
    metrics = pd.read_parquet(snakemake.input.metrics)
    draw_finding_figure(metrics, experiment, Path(snakemake.output[0]).with_suffix(""), averaged, display)


run_job(snakemake, main)
