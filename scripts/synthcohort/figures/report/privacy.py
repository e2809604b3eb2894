"""The report's tables of what synthetic cohorts give away: attacks beside their controls, copies, canaries."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from synthcohort.audit.privacy_vocabulary import (
    CANARIES,
    CAUGHT,
    CHANCE_MARGIN,
    OUT_OF_ORDER,
    VERIFICATION,
    attack_parameter,
    attack_title,
    guarantee_text,
)
from synthcohort.figures.attacks import UNRESOLVED, attack_table
from synthcohort.figures.report.generators import GeneratorRun
from synthcohort.figures.report.table import Table

PRIVACY_NOTE = (
    "Somebody holds a patient’s image and asks whether the generator was trained on it. Of all attacks, on images and "
    "on patients, the strongest is shown, so its AUROC lies a little above what it would be alone (0.5: chance; all of "
    "them below, and in tables/privacy.csv). True positives at 1 %: the share of members that is found by a threshold "
    "which takes one in a hundred others for a member (chance: 0.01); it takes 1000 others to tell. Controls: the same "
    "attack where training images are replayed with noise and moved by a pixel; where images of patients whom nobody "
    "attacks are; and where one half of the others stands for members. They are out of order where an attack by "
    f"distances finds replayed training images with an AUROC below {CAUGHT:g} (what it does not find then proves "
    f"nothing), or where it should only guess and is more than {CHANCE_MARGIN:g} from 0.5 though 100 are attacked. "
    "What each figure says and does not say stands in docs/privacy.md."
)
COPIES_NOTE = (
    "Authenticity: share of samples that are farther from the closest training image than that is from the next one; "
    "copies have nearly 0. α-precision and β-recall: whether samples keep to the region of the training images, and "
    "cover it (1: as training images would); copies score high. Others: replayed images of patients whom nobody "
    "attacks. Copies: training images replayed."
)
RUN = ["cohort", "experiment", "source", "replicate"]
HEADING = ["Cohort", "Experiment", "Family"]
RATES = {"10 %": "tpr_0.1", "1 %": "tpr_0.01", "0.1 %": "tpr_0.001"}
CONTROLS = {"Replayed": "replayed", "Others replayed": "third_group", "Halves": "halves"}
COPIES = {"Authenticity": "authenticity", "α-precision": "alpha_precision", "β-recall": "beta_recall"}
ROLES = {"": "value", ", others": "negative_control", ", copies": "positive_control"}


def privacy_table(metrics: pd.DataFrame) -> Table | None:
    """Tabulate the strongest attack on each family's samples; None where nothing was attacked."""
    attacks = attack_table(metrics)
    if attacks.empty:
        return None
    strongest = attacks.loc[attacks.groupby(RUN, sort=True)["auroc"].idxmax()]
    return _attacks(strongest, "What do the synthetic images give away?", "Strongest attack", ["1 %"])


def every_attack(metrics: pd.DataFrame) -> Table | None:
    """Tabulate all attacks on all families' samples; None where nothing was attacked."""
    attacks = attack_table(metrics)
    if attacks.empty:
        return None
    return _attacks(attacks, "Every attack, on images and on patients", "Attack", list(RATES))


def _attacks(attacks: pd.DataFrame, caption: str, name: str, rates: Sequence[str]) -> Table:
    several = attacks["replicate"].nunique() > 1
    body = [
        [
            *_names(row, several),
            attack_title(attack_parameter(row["attack"], row["unit"]), row["features"]),
            _estimate(row, "auroc", 2, row["non_members"]),
            *[_estimate(row, RATES[rate], 3, row["non_members"]) for rate in rates],
            *[_number(row[column]) for column in CONTROLS.values()],
            row["controls"],
        ]
        for row in attacks.to_dict("records")
    ]
    shown = [f"True positives at {rate}" for rate in rates]
    return Table(caption, [*HEADING, name, "AUROC", *shown, *CONTROLS, "Controls"], body, words=4)


def controls_sentence(metrics: pd.DataFrame) -> str:
    """Say how many attacks have controls that are out of order; empty where none has."""
    attacks = attack_table(metrics)
    if attacks.empty or not (wrong := int(attacks["controls"].str.startswith(OUT_OF_ORDER).sum())):
        return ""
    return f"Controls are out of order in {wrong} of {len(attacks)} attacks: there, their figures say little."


def copies_table(metrics: pd.DataFrame) -> Table | None:
    """Tabulate authenticity, α-precision and β-recall beside both controls; None where they were not measured."""
    rows = metrics[metrics["metric"].isin(COPIES.values())]
    values = rows[rows["role"] == "value"]
    if values.empty:
        return None
    figures = {(*(row[key] for key in RUN), row["metric"], row["role"]): row for row in rows.to_dict("records")}
    several = values["replicate"].nunique() > 1
    body = []
    for run in sorted(set(values[RUN].itertuples(index=False, name=None))):
        shared = (*run[:2], "real", run[3])
        cells = [
            figures.get((*(run if role == "value" else shared), metric, role))
            for metric in COPIES.values()
            for role in ROLES.values()
        ]
        written = ["–" if cell is None else _interval(cell["value"], cell["ci_low"], cell["ci_high"]) for cell in cells]
        body.append([*_names(dict(zip(RUN, run, strict=True)), several), *written])
    columns = [f"{name}{note}" for name in COPIES for note in ROLES]
    return Table("Are they copies?", [*HEADING, *columns], body, words=3)


def canary_table(metrics: pd.DataFrame) -> Table | None:
    """Tabulate how many samples show a canary's mark, beside both controls; None where no canary was planted."""
    rows = metrics[metrics["metric"] == CANARIES]
    values = rows[rows["role"] == "value"]
    if values.empty:
        return None
    figures = {
        (*(row[key] for key in RUN), row["role"]): f"{row['value']:g} of {row['n']}" for row in rows.to_dict("records")
    }
    several = values["replicate"].nunique() > 1
    body = []
    for row in values.sort_values(RUN).to_dict("records"):
        run = tuple(row[key] for key in RUN)
        controls = [(*run[:2], "real", run[3], role) for role in ("positive_control", "negative_control")]
        counts = [figures.get(key, "–") for key in ((*run, "value"), *controls)]
        body.append([*_names(row, several), row["parameter"], *counts])
    columns = [*HEADING, "Canaries’ images", "Samples with the mark", "Canaries replayed", "Real test images"]
    return Table("Do samples show a canary’s mark?", columns, body, words=3)


def canary_warning(metrics: pd.DataFrame) -> str:
    """Warn that canaries were planted; empty where none was."""
    if (metrics["metric"] != CANARIES).all():
        return ""
    return (
        "In the training of every generator, some patients’ images carried a mark on purpose (privacy.canaries). This "
        "study tests the audit; none of its synthetic images is to be used, and the release gate keeps them back."
    )


def verifier_sentence(metrics: pd.DataFrame) -> str:
    """Say how well the verifiers know patients again whom they never saw; empty where patients have one study each."""
    found = metrics[metrics["metric"] == VERIFICATION]
    if found.empty:
        return ""
    told = []
    for cohort, part in found.groupby("cohort", sort=True):
        if (known := part.dropna(subset="value")).size:
            least = known["n"].min()
            told.append(f"{cohort} {known['value'].min():.2f} to {known['value'].max():.2f} ({least} patients or more)")
        if len(known) < len(part):
            few = part.loc[part["value"].isna(), "n"].min()
            told.append(f"{cohort} {UNRESOLVED.format(few)} patients with several studies, so nobody was sought by it")
    return (
        "The verifier is a network that learnt from other patients which radiographs show the same person; AUROC of "
        f"telling two studies of one test patient from those of two: {', '.join(told)}."
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


def _names(row: Mapping[Any, Any], several: bool) -> list[str]:
    family = f"{row['source']}, {row['replicate']}" if several else row["source"]
    return [row["cohort"], row["experiment"], family]


def _estimate(row: Mapping[Any, Any], column: str, digits: int, count: int) -> str:
    if pd.isna(row[column]):
        return UNRESOLVED.format(count)
    return _interval(row[column], row[f"{column}_low"], row[f"{column}_high"], digits)


def _interval(value: float, low: float, high: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}" + ("" if pd.isna(low) else f" ({low:.{digits}f} to {high:.{digits}f})")


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"
