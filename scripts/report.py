"""Write the report: one self-contained page, and one without any image of the cohorts."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from synthcohort.audit.vocabulary import SPACES
from synthcohort.core.atomic import write_csv, write_text
from synthcohort.core.job import run_job
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.figures.report.builder import build_report
from synthcohort.figures.report.facts import read_benchmarks
from synthcohort.figures.report.generators import GeneratorRun, copying
from synthcohort.figures.report.inputs import CohortInputs, ReportInputs
from synthcohort.figures.verdict import verdict_table, verdicts


def main(snakemake):
    """Write both pages and the table of verdicts."""
    metrics = pd.read_parquet(snakemake.input.metrics)
    folder = Path(snakemake.output.page).parent
    cohorts = [CohortInputs.read(Path(path).parent, snakemake.params.size) for path in snakemake.input.experiments]
    given = {
        kind: {name: Path(stem) for name, stem in stems.items()} for kind, stems in snakemake.params.figures.items()
    }
    study, benchmarks = load_study(snakemake.config), read_benchmarks(folder / "benchmarks")
    plan = Plan(study)
    subjects = {name: (run["cohort"], run["experiment"], run["source"]) for name, run in plan.pictured.items()}
    pictures = {
        kind: {subject: given[kind][name] for name, subject in subjects.items()}
        for kind in ("samples", "gallery", "attribution", "copies")
    }
    inputs = ReportInputs(
        study=study,
        metrics=metrics,
        cohorts=cohorts,
        axis_figures=given["axes"],
        finding_figures=given["findings"],
        paper_figures=given["paper"],
        published=plan.published,
        fidelity_figures=given["fidelity"],
        privacy_figures=given["privacy"],
        reader_figures=given["readers"],
        copies_figures=pictures["copies"],
        neighbours_figures={
            (space, *subject): given[f"neighbours_{space}"][name]
            for name, subject in subjects.items()
            for space in SPACES
        },
        attribution_figures=pictures["attribution"],
        training_figures={key: given["training"][name] for name, key in plan.trainings.items()},
        samples_figures=pictures["samples"],
        gallery_figures=pictures["gallery"],
        cohort_figures=given["cohorts"],
        generators=[GeneratorRun.read(Path(path).parent, plan, benchmarks) for path in snakemake.input.generators],
        benchmarks=benchmarks,
        digests={
            **{f"{cohort.info.cohort}: images and labels": cohort.info.data_version for cohort in cohorts},
            **snakemake.params.digests,
        },
    )
    write_text(snakemake.output.page, build_report(inputs))
    write_text(snakemake.output.shareable, build_report(replace(inputs, internal=False)))
    write_csv(
        snakemake.output.verdict, verdict_table(verdicts(metrics, snakemake.params.margin, copying(inputs.generators)))
    )


run_job(snakemake, main)
