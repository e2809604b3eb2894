"""The report's table of what synthetic cohorts give away: the strongest attack of each, beside its controls."""

from collections.abc import Sequence

import pandas as pd

from synthcohort.audit.privacy_vocabulary import VERIFICATION, attack_parameter, attack_title, guarantee_text
from synthcohort.figures.attacks import attack_table
from synthcohort.figures.report.generators import GeneratorRun
from synthcohort.figures.report.table import Table

PRIVACY_NOTE = (
    "Somebody holds a patient’s image and asks whether the generator was trained on it. Of all attacks, on images and "
    "on patients, the strongest is shown, so its AUROC lies a little above what it would be alone (0.5: chance; all of "
    "them are in tables/privacy.csv). True positives at 1 %: the share of members that is found by a threshold which "
    "takes one in a hundred others for a member (chance: 0.01); it takes 1000 others to tell. Replayed: the same "
    "attack where training images are replayed with noise and moved by a pixel; an attack that does not find those "
    "proves nothing by its silence. Nothing to find: the same attack where it can only guess. Authenticity: share of "
    "samples that are no copies, beside that of replayed images of other patients. What each figure says and does not "
    "say stands in docs/privacy.md."
)
COLUMNS = [
    "Cohort",
    "Experiment",
    "Family",
    "Strongest attack",
    "AUROC",
    "True positives at 1 %",
    "Replayed",
    "Nothing to find",
    "Authenticity",
    "of other patients",
]
UNRESOLVED = "not resolvable, n = {}"


def privacy_table(metrics: pd.DataFrame) -> Table | None:
    """Tabulate the strongest attack on each family's samples, and authenticity; None where nothing was attacked."""
    attacks = attack_table(metrics)
    if attacks.empty:
        return None
    runs = ["cohort", "experiment", "source", "replicate"]
    strongest = attacks.loc[attacks.groupby(runs, sort=True)["auroc"].idxmax()]
    several = strongest["replicate"].nunique() > 1
    shares = metrics[(metrics["metric"] == "authenticity") & (metrics["role"] != "positive_control")]
    share = {tuple(row[key] for key in runs): f"{row['value']:.2f}" for row in shares.to_dict("records")}
    body = []
    for row in strongest.to_dict("records"):
        run = tuple(row[key] for key in runs)
        rate = row["tpr_0.01"]
        body.append(
            [
                *run[:2],
                f"{run[2]}, {run[3]}" if several else run[2],
                attack_title(attack_parameter(row["attack"], row["unit"]), row["features"]),
                f"{row['auroc']:.2f} ({row['auroc_low']:.2f} to {row['auroc_high']:.2f})",
                UNRESOLVED.format(row["non_members"]) if pd.isna(rate) else f"{rate:.3f}",
                _number(row["replayed"]),
                _number(row["nothing_to_find"]),
                share.get(run, "–"),
                share.get((*run[:2], "real", run[3]), "–"),
            ]
        )
    return Table("What do the synthetic images give away?", COLUMNS, body, words=4)


def verifier_sentence(metrics: pd.DataFrame) -> str:
    """Say how well the verifiers know patients again whom they never saw; empty where none could be trained."""
    found = metrics[metrics["metric"] == VERIFICATION]
    if found.empty:
        return ""
    areas = [
        f"{cohort} {part['value'].min():.2f} to {part['value'].max():.2f} ({part['n'].min()} patients or more)"
        for cohort, part in found.groupby("cohort", sort=True)
    ]
    return (
        "The verifier is a network that learnt from other patients which radiographs show the same person; AUROC of "
        f"telling two studies of one test patient from those of two: {', '.join(areas)}."
    )


def guarantee_sentence(generators: Sequence[GeneratorRun]) -> str:
    """Say which generators were trained with differential privacy, and how much; empty where none was."""
    told = [
        f"{run.family} on {run.cohort} {run.experiment}, {run.replicate}: {guarantee_text(run.card['privacy'])}"
        for run in generators
        if "privacy" in run.card
    ]
    if not told:
        return ""
    return (
        f"Trained with differential privacy, one image per patient: {'; '.join(told)}. This covers the generator and "
        "what is drawn from it, not this report, whose figures are computed from patients."
    )


def _number(value: float | None) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"
