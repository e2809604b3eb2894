"""Draw AUROC per finding at one experiment."""

from pathlib import Path

import pandas as pd

from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.bars import averaged_findings, draw_finding_figure


def main(snakemake):
    """Write the figure and its table."""
    experiment = snakemake.wildcards.experiment
    tables = {Path(path).parent.name: pd.read_csv(path) for path in snakemake.input.experiments}
    averaged, display = averaged_findings(tables, experiment), {}
    for path in snakemake.input.stores:
        info = StoreInfo.read(path)
        display |= {finding.name: finding.display for finding in info.findings}
    metrics = pd.read_parquet(snakemake.input.metrics)
    draw_finding_figure(metrics, experiment, Path(snakemake.output[0]).with_suffix(""), averaged, display)


run_job(snakemake, main)
