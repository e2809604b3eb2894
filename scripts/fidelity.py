"""Measure how real the samples of one experiment look."""

from pathlib import Path

import pandas as pd

from synthcohort.audit.fidelity import axis_size, fidelity_metrics
from synthcohort.audit.judge import judge_controls, judge_rows, thin_rows
from synthcohort.audit.utility import experiment_keys
from synthcohort.classify.networks import load_classifier
from synthcohort.cohort.findings import finding_list
from synthcohort.core.atomic import write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.device import prepare_device
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore


def main(snakemake):
    """Write the experiment's rows of the metrics: of every family's sample, and of its controls."""
    params = snakemake.params
    cohort, experiment, replicate = snakemake.wildcards
    judge = load_classifier(Path(snakemake.input.judge[0]).parent, prepare_device(params.device, params.threads))
    real = ImageStore(Path(snakemake.input.real[0]).parent)
    selection = pd.read_parquet(snakemake.input.selection)
    experiments = pd.read_csv(snakemake.input.experiments, keep_default_na=False)
    seed = derive_seed(params.seed, "fidelity", cohort, experiment, replicate=replicate)
    train = selection["side"] == "train"
    training, held_out = (
        judge_rows(judge, real, thin_rows(selection.loc[chosen, "row"].to_numpy(), seed)) for chosen in (train, ~train)
    )
    samples = {}
    for folder in dict.fromkeys(Path(path).parent for path in snakemake.input.synthetic):
        store = ImageStore(folder)
        samples[folder.parts[-4]] = judge_rows(judge, store, thin_rows(store.all_rows, seed))
    metrics = fidelity_metrics(
        experiment_keys(params.study, cohort, experiment, replicate=replicate),
        held_out,
        training,
        judge_controls(judge, training, seed),
        samples,
        real.info.finding_names,
        finding_list(experiments.set_index("experiment").loc[experiment, "averaged"]),
        Statistics.model_validate(params.statistics).confidence,
        seed,
        real.info.simulated,
        axis_size(experiments, experiment),
    )
    write_parquet(snakemake.output[0], metrics)


run_job(snakemake, main)
