"""Split patients and check every experiment against the cohort."""

from pathlib import Path

import pandas as pd

from synthcohort.cohort.experiments import CohortImages, experiments_table
from synthcohort.cohort.split import SIDES, split_patients, split_table
from synthcohort.core.atomic import write_csv, write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.job import run_job
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.progress import logger
from synthcohort.core.store import read_records


def main(snakemake):
    """Write split.parquet and experiments.csv; the sides of patients also to private/, so that they keep them."""
    cohort = snakemake.wildcards.cohort
    plan = Plan(load_study(snakemake.config))
    private = Path(snakemake.params.private)
    files = pd.read_parquet(private / "files.parquet")
    index = pd.read_parquet(snakemake.input.index)
    index = index[index["status"] == "accepted"]
    kept = private / f"split-{plan.study.study}-{snakemake.params.seed}.parquet"
    known = pd.read_parquet(kept).set_index("patient_id")["side"].to_dict() if kept.is_file() else {}
    patients = files.loc[files["file_id"].isin(index["file_id"]), "patient_id"].unique().tolist()
    sides = split_patients(patients, snakemake.params.seed, cohort, known)
    write_parquet(kept, pd.DataFrame({"patient_id": list(sides), "side": list(sides.values())}), mode=0o600)
    split = split_table(index, files, sides)
    write_parquet(snakemake.output.split, split)
    for side in SIDES:
        chosen = split[split["side"] == side]
        logger.info("%s: %d patients, %d images", side, len(chosen), chosen["images"].sum())

    info, records = read_records(Path(snakemake.input.store).parent)
    params = snakemake.params
    images = CohortImages(plan.cohort(cohort), records, info.finding_names, split, params.seed, params.unequal_totals)
    logger.info("%d images left out: unknown labels, or a combination of labels that is too rare", images.left_out)
    statistics = Statistics(minimum_positive_patients=snakemake.params.minimum_positive_patients)
    write_csv(snakemake.output.experiments, experiments_table(images, plan.of_cohort(cohort), statistics))


run_job(snakemake, main)
