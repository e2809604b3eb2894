"""Write the report: one self-contained page."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.vocabulary import SPACES
from synthcohort.core.atomic import write_text
from synthcohort.core.job import run_job
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.figures.report.builder import build_report
from synthcohort.figures.report.facts import read_benchmarks
from synthcohort.figures.report.generators import GeneratorRun
from synthcohort.figures.report.inputs import CohortInputs, ReportInputs


def main(snakemake):
    """Write report.html."""
    metrics = pd.read_parquet(snakemake.input.metrics)
    folder = Path(snakemake.output[0]).parent
    cohorts = [CohortInputs.read(Path(path).parent, snakemake.params.size) for path in snakemake.input.experiments]
    kinds = ("axes", "findings", "fidelity", "training", "samples", "galleries", "neighbours", "attribution", "sheets")
    figures = {kind: figures_of(snakemake.input[kind]) for kind in kinds}
    study, benchmarks = load_study(snakemake.config), read_benchmarks(folder / "benchmarks")
    plan = Plan(study)
    inputs = ReportInputs(
        study=study,
        metrics=metrics,
        cohorts=cohorts,
        axis_figures=figures["axes"],
        finding_figures=figures["findings"],
        fidelity_figures=figures["fidelity"],
        neighbours_figures={
            (space, *key): figures["neighbours"][f"{space}-{name}"]
            for name, key in plan.galleries.items()
            for space in SPACES
        },
        attribution_figures={key: figures["attribution"][name] for name, key in plan.galleries.items()},
        training_figures={key: figures["training"][name] for name, key in plan.trainings.items()},
        samples_figures={key: figures["samples"][name] for name, key in plan.galleries.items()},
        gallery_figures={key: figures["galleries"][name] for name, key in plan.galleries.items()},
        cohort_figures=figures["sheets"],
        generators=[GeneratorRun.read(Path(path).parent, plan, benchmarks) for path in snakemake.input.generators],
        benchmarks=benchmarks,
        digests={
            **{f"{cohort.info.cohort}: images and labels": cohort.info.data_version for cohort in cohorts},
            **snakemake.params.digests,
        },
    )
    write_text(snakemake.output[0], build_report(inputs))


def figures_of(paths):
    """Find the stem of each figure, by what its name says after the first hyphen."""
    stems = dict.fromkeys(Path(path).with_suffix("") for path in paths)
    return {stem.name.split("-", 1)[1]: stem for stem in stems}


run_job(snakemake, main)
