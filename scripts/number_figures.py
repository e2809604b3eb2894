"""Draw every figure of numbers and write the tables, from the metrics alone."""

from pathlib import Path

import pandas as pd

from synthcohort.core.atomic import write_csv
from synthcohort.core.job import run_job
from synthcohort.core.store import StoreInfo
from synthcohort.figures.attacks import written_attack_table
from synthcohort.figures.axes import draw_axis_figure
from synthcohort.figures.bars import averaged_findings, draw_finding_figure
from synthcohort.figures.claims import claims
from synthcohort.figures.fidelity import draw_fidelity_figure
from synthcohort.figures.paper import draw_paper_figure
from synthcohort.figures.privacy import draw_privacy_figure
from synthcohort.figures.readers import READER_FIGURES
from synthcohort.figures.tables import write_tables


def main(snakemake):
    """Write figures and tables; a figure's name says what it shows after the first hyphen."""
    metrics, output = pd.read_parquet(snakemake.input.metrics), snakemake.output
    for stem in map(stem_of, output.axes):
        draw_axis_figure(metrics, subject(stem), stem)
    for stem in map(stem_of, output.fidelity):
        draw_fidelity_figure(metrics, subject(stem), stem)
    for stem in map(stem_of, output.privacy):
        draw_privacy_figure(metrics, subject(stem), stem)
    experiments = {Path(path).parent.name: pd.read_csv(path) for path in snakemake.input.experiments}
    display = {
        finding.name: finding.display for path in snakemake.input.stores for finding in StoreInfo.read(path).findings
    }
    for stem in map(stem_of, output.findings):
        averaged = averaged_findings(experiments, subject(stem))
        draw_finding_figure(metrics, subject(stem), stem, averaged, display)
    for stem in map(stem_of, output.paper):
        axis, _, width = subject(stem).partition("-")
        draw_paper_figure(metrics, axis, stem, width.replace("-", "_"), snakemake.params.published)
    for stem in map(stem_of, output.readers):
        READER_FIGURES[subject(stem)].draw(metrics, stem)
    write_tables(metrics, Path(output.claims).parent)
    write_csv(output.claims, claims(metrics))
    write_csv(output.attacks, written_attack_table(metrics))


def stem_of(path):
    """Path without suffix."""
    return Path(path).with_suffix("")


def subject(stem):
    """Say what a figure is of: ``resolution`` of auroc-resolution."""
    return stem.name.split("-", 1)[1]


run_job(snakemake, main)
