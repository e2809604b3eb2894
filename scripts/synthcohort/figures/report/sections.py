"""The report's tables and lists, ready to be laid out: everything is text."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml

from synthcohort.cohort.findings import finding_list
from synthcohort.core.config import Study
from synthcohort.core.shown import shown_config
from synthcohort.figures.bars import averaged_findings
from synthcohort.figures.claims import claims
from synthcohort.figures.numbers import NOT_TRAINED, summarise
from synthcohort.figures.report.answer import headline
from synthcohort.figures.report.facts import cost_table
from synthcohort.figures.report.generators import alarms
from synthcohort.figures.report.inputs import CohortInputs, ReportInputs
from synthcohort.figures.report.table import Table, duration, whole

SIDES = {"train": "Training", "valid": "Validation", "test": "Test"}
PRIVACY_METRICS = {"attack_auroc", "attack_tpr", "authenticity"}
FIDELITY_METRICS = {"frechet_distance", "kid", "precision", "recall", "density", "coverage"}


def cohort_table(cohort: CohortInputs) -> Table:
    """Images, patients and prevalence of each finding, per side."""
    sides = cohort.records["patient_id"].map(cohort.split.set_index("patient_id")["side"])
    groups = {name: cohort.records[sides == side] for side, name in SIDES.items()} | {"All": cohort.records}
    rows = [
        ["Images", *[whole(len(rows)) for rows in groups.values()]],
        ["Patients", *[whole(rows["patient_id"].nunique()) for rows in groups.values()]],
    ]
    rows += [
        [finding.display, *[_prevalence(rows[finding.name]) for rows in groups.values()]]
        for finding in cohort.info.findings
    ]
    return Table("Images, patients and findings per side (patients never change sides)", ["", *groups], rows)


def _prevalence(labels: pd.Series) -> str:
    known = labels.dropna()
    return f"{whole(known.sum())} ({known.mean():.1%})" if len(known) else "–"


def rejection_table(cohort: CohortInputs) -> Table:
    """Files that were not used, by reason."""
    rejected = cohort.index[cohort.index["status"] != "accepted"]
    counts = rejected["reason"].fillna("no reason recorded").value_counts()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    total, lost = len(cohort.index), len(rejected)
    share = lost / total if total else 0.0
    caption = f"{whole(total)} files found, {whole(total - lost)} used, {whole(lost)} not used ({share:.1%})"
    return Table(caption, ["Reason", "Files"], [[str(reason), whole(count)] for reason, count in ordered])


def experiments_table(cohorts: list[CohortInputs]) -> Table:
    """Images and patients of each experiment."""
    rows = []
    for cohort in cohorts:
        for row in cohort.experiments.to_dict("records"):
            sides = [f"{whole(row[f'{side}_images'])} ({whole(row[f'{side}_patients'])})" for side in SIDES]
            count = len(finding_list(row["averaged"]))
            numbers = [f"{row['resolution']}²", whole(row["combinations"]), *sides, whole(count)]
            rows.append([cohort.info.cohort, row["experiment"], *numbers])
    columns = ["Cohort", "Experiment", "Resolution", "Combinations", *SIDES.values(), "Averaged"]
    return Table("Images (patients) of each side, and how many findings enter the mean", columns, rows, words=2)


def results_table(metrics: pd.DataFrame) -> Table:
    """Every experiment and source: AUROC, gap and retention with intervals."""
    rows = []
    for row in summarise(metrics).to_dict("records"):
        cells = [row["cohort"], row["experiment"], row["source"], _interval(row, "auroc")]
        if row["source"] == "real":
            cells += ["–", "–"]
        elif row["verdict"]:
            cells += [row["verdict"], "–"]
        else:
            cells += [_interval(row, "utility_gap"), _interval(row, "retention")]
        rows.append([*cells, whole(row["n"])])
    columns = ["Cohort", "Experiment", "Trained on", "Mean AUROC", "Utility gap", "Retention", "n"]
    return Table("All results, means over findings", columns, rows, words=3)


def claims_table(metrics: pd.DataFrame) -> Table | None:
    """Say which of the paper's claims show; None where the study has no axis that one is about."""
    table = claims(metrics)
    if table.empty:
        return None
    rows = []
    for row in table.to_dict("records"):
        family = "both" if row["smaller"] == row["source"] else row["source"]
        sides = [_claimed(row, side) for side in ("smaller", "larger")]
        rows.append(
            [row["claim"], row["cohort"], family, *sides, "; ".join(filter(None, (row["outcome"], row["note"])))]
        )
    columns = ["Claim", "Cohort", "Family", "Claimed to be smaller", "Claimed to be larger", "Outcome"]
    return Table("Do the paper’s claims show?", columns, rows, words=len(columns))


def _claimed(row: Mapping[Any, Any], side: str) -> str:
    value, low, high = (row[f"{side}{suffix}"] for suffix in ("_value", "_low", "_high"))
    return row[side] + ("" if pd.isna(value) else f": {value:.3f} ({low:.3f} to {high:.3f})")


def _interval(row: Mapping[Any, Any], metric: str) -> str:
    if pd.isna(row[metric]):
        return "–"
    form = ".0%" if metric == "retention" else ".3f"
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    return f"{row[metric]:{form}}" + ("" if pd.isna(low) else f" ({low:{form}} to {high:{form}})")


def costs(benchmarks: pd.DataFrame) -> Table | None:
    """Time and memory per rule; None where nothing was benchmarked."""
    table = cost_table(benchmarks)
    if table.empty:
        return None
    rows = [
        [row["rule"], whole(row["jobs"]), duration(row["seconds"]), duration(row["longest"]), _memory(row["memory_mb"])]
        for row in table.to_dict("records")
    ]
    total = [whole(table["jobs"].sum()), duration(table["seconds"].sum()), duration(table["longest"].max())]
    rows.append(["All", *total, _memory(table["memory_mb"].max())])
    return Table("Time and memory per rule", ["Rule", "Jobs", "Time, sum", "Longest job", "Peak memory"], rows)


def _memory(megabytes: float) -> str:
    return "–" if pd.isna(megabytes) else f"{whole(round(megabytes))} MB"


def config_text(study: Study) -> str:
    """Write the resolved config as YAML, without the paths of users' own data: they could name patients."""
    return yaml.safe_dump(shown_config(study), sort_keys=False, allow_unicode=True)


def limits(inputs: ReportInputs) -> list[str]:
    """List what a reader must know before believing the numbers."""
    found = []
    simulated = [cohort.info.cohort for cohort in inputs.cohorts if cohort.info.simulated]
    if simulated:
        found.append(
            f"The patients of {' and '.join(simulated)} are simulated: the numbers show how the pipeline behaves, not "
            "how it would do on patients."
        )
    if inputs.study.replicates == 1:
        found.append(
            "A single replicate: intervals are over test patients only, and another training of the same generator or "
            "classifier would give other numbers."
        )
    found.append("Intervals are not adjusted for the number of comparisons.")
    top = headline(inputs.metrics)
    untrained = sorted(set(top.loc[(top["verdict"] == NOT_TRAINED) & (top["source"] != "real"), "source"]))
    if untrained:
        found.append(f"Not trained long enough to be judged on every cohort: {', '.join(untrained)}.")
    found += _not_averaged(inputs, top)
    raised = alarms(inputs.generators)
    if raised:
        found.append(raised[1])
    measured = set(inputs.metrics["metric"])
    if not measured & FIDELITY_METRICS:
        found.append("How real the synthetic images look is shown at most as pictures, not measured in this report.")
    if not measured & PRIVACY_METRICS:
        found.append(
            "How much the synthetic images give away about the patients is not measured in this report: do not share "
            "them on its strength."
        )
    return found


def _not_averaged(inputs: ReportInputs, top: pd.DataFrame) -> list[str]:
    minimum = inputs.study.statistics.minimum_positive_patients
    experiments = {cohort.info.cohort: cohort.experiments for cohort in inputs.cohorts}
    sentences = []
    for cohort in inputs.cohorts:
        name = cohort.info.cohort
        experiment = next(iter(top.loc[top["cohort"] == name, "experiment"]), "")
        averaged = averaged_findings(experiments, experiment).get(name)
        left = [item.display for item in cohort.info.findings if averaged is not None and item.name not in averaged]
        if left:
            sentences.append(
                f"Fewer than {minimum} positive or negative test patients in {name}, so shown but not averaged: "
                f"{', '.join(left)}."
            )
    return sentences
