"""The dataset card's tables, as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from synthcohort.audit.privacy_vocabulary import CANARIES, HALVES, THIRD_GROUP
from synthcohort.core.experiment import REAL
from synthcohort.release.gate import (
    AUROC,
    NEGATIVE,
    POSITIVE,
    RATE_METRIC,
    VALUE,
    attack_rows,
    attacks,
    find,
    run_rows,
    verification_rows,
)
from synthcohort.release.subject import SIDES, Subject

SIDE_NAMES = {"train": "Training", "valid": "Validation", "test": "Test"}
FIDELITY = {
    "frechet_distance": "Fréchet distance (lower is better)",
    "kid": "Kernel distance (lower is better)",
    "precision": "Precision (higher is better)",
    "recall": "Recall (higher is better)",
    "density": "Density (higher is better)",
    "coverage": "Coverage (higher is better)",
    "diversity": "Similarity of pairs with the same labels (lower is more diverse)",
    "sliced_wasserstein": "Sliced Wasserstein distance (lower is better)",
    "label_fidelity": "Label fidelity, AUROC of the judge (higher is better)",
}
DESCRIBED = {
    "authenticity": "Authenticity: share of images that are no near copies, by pixels (Alaa et al. 2022)",
    "alpha_precision": "α-precision, by the judge's features (Alaa et al. 2022)",
    "beta_recall": "β-recall, by the judge's features (Alaa et al. 2022)",
    CANARIES: "Images that show a planted canary",
}
OTHERS, TEST = "replayed images of other patients", "real test images"
RATES = ("0.001", "0.01", "0.1")
NONE = "–"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lay out a table; a cell may hold anything but a line break."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def estimate(rows: pd.DataFrame, form: str = ".3f") -> str:
    """Write the first row's value, interval and n: ``0.812 (0.790 to 0.834), n = 512``; a dash where there is none."""
    if rows.empty:
        return NONE
    row = rows.iloc[0]
    if pd.isna(row["value"]):
        return f"not resolvable with n = {row['n']}"
    interval = "" if pd.isna(row["ci_low"]) else f" ({row['ci_low']:{form}} to {row['ci_high']:{form}})"
    return f"{row['value']:{form}}{interval}, n = {row['n']}"


def source_table(subject: Subject) -> str:
    """Images and patients of the source cohort, per side of the experiment."""
    sizes = subject.source.sizes
    return markdown_table(["Side", "Images", "Patients"], [(SIDE_NAMES[side], *sizes[side]) for side in SIDES])


def policy_table(subject: Subject) -> str:
    """How pixels and labels of the source cohort were treated."""
    pixels = {key.replace("_", " "): _text(value) for key, value in subject.source.info.policy.items()}
    pixels.pop("version", None)
    rarest = {"rarest label combination": f"that of {subject.source.combination_patients} training patients"}
    return markdown_table(["What", "How"], [*pixels.items(), *subject.source.label_policy.items(), *rarest.items()])


def findings_table(subject: Subject) -> str:
    """How often each finding is present in the synthetic images."""
    rows = [
        [finding.display, *[int((store.records[finding.name] == 1).sum()) for store in subject.parts.values()]]
        for finding in subject.info.findings
    ]
    total = ["All images", *[len(store) for store in subject.parts.values()]]
    return markdown_table(["Finding", *[SIDE_NAMES[part] for part in subject.parts]], [*rows, total])


def utility_table(subject: Subject) -> str:
    """AUROC on real test patients after training on real and on synthetic images, and their difference."""
    own, real = (run_rows(subject.metrics, subject.release, source) for source in (None, REAL))
    names = {finding.name: finding.display for finding in subject.info.findings}
    rows = [
        [
            display,
            estimate(_choose(real, "auroc", finding)),
            estimate(_choose(own, "auroc", finding)),
            estimate(_choose(own, "utility_gap", finding)),
            estimate(_choose(own, "retention", finding), ".0%"),
        ]
        for finding, display in {"mean": "Mean", **names}.items()
    ]
    heading = ["Finding", "Trained on real images", "Trained on synthetic images", "Utility gap", "Retention"]
    return markdown_table(heading, rows)


def fidelity_table(subject: Subject) -> str:
    """How near the images come to real ones, beside what other real images reach."""
    own, real = (run_rows(subject.metrics, subject.release, source) for source in (None, REAL))
    rows = []
    for metric, name in FIDELITY.items():
        finding = "mean" if metric == "label_fidelity" else ""
        value, floor = (
            rows_of[(rows_of["metric"] == metric) & (rows_of["role"] == role) & (rows_of["finding"] == finding)]
            for rows_of, role in ((own, VALUE), (real, "floor"))
        )
        rows.append([name, estimate(value), estimate(floor)])
    return markdown_table(["Measure", "These images", "Real images of other patients"], rows)


def privacy_table(subject: Subject) -> str:
    """Every membership attack with its controls; empty where none was measured."""
    rows = attack_rows(subject.metrics, subject.release)
    table = [
        [
            title,
            estimate(find(figures, AUROC)),
            *[estimate(find(figures, RATE_METRIC, rate=rate)) for rate in RATES],
            estimate(find(figures, AUROC, POSITIVE)),
            *[estimate(find(figures, AUROC, NEGATIVE, control)) for control in (THIRD_GROUP, HALVES)],
        ]
        for title, figures in attacks(rows)
        if (figures["role"] == VALUE).any()
    ]
    rates = [f"True positive rate at {100 * float(rate):g}%" for rate in RATES]
    heading = ["Attack", "AUROC", *rates, "Replayed members", "Replayed others", "Halves"]
    return markdown_table(heading, table) if table else ""


def described_table(subject: Subject) -> str:
    """Other privacy figures, which describe and do not decide; empty where there are none."""
    own, real = (run_rows(subject.metrics, subject.release, source) for source in (None, REAL))
    values, controls = own[own["role"] == VALUE], real[real["role"] == NEGATIVE]
    rows = []
    for metric, name in DESCRIBED.items():
        form, control = ("g", TEST) if metric == CANARIES else (".3f", OTHERS)
        made, beside = (part[part["metric"] == metric] for part in (values, controls))
        if len(made):
            rows.append([name, estimate(made, form), estimate(beside, form), control])
    return markdown_table(["Measure", "These images", "Control", "which is"], rows) if rows else ""


def verification_text(subject: Subject) -> str:
    """How well the verifier knows patients; empty where they have one study each."""
    rows = verification_rows(subject.metrics, subject.release)
    return "" if rows.empty else estimate(rows)


def _choose(rows: pd.DataFrame, metric: str, finding: str) -> pd.DataFrame:
    """Take the row whose interval is the bootstrap's."""
    chosen = (rows["metric"] == metric) & (rows["finding"] == finding) & (rows["role"] == VALUE)
    return rows[chosen & (rows["parameter"] == "")]


def _text(value: Any) -> str:
    """Write a value of a policy: two numbers as a range, other lists with commas."""
    match value:
        case bool():
            return "yes" if value else "no"
        case [int() | float() as low, int() | float() as high]:
            return f"{low:g} to {high:g}"
        case list():
            return ", ".join(_text(item) for item in value)
    return str(value)
