"""The gate: which figures of the privacy audit keep a synthetic cohort from leaving."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger
from synthcohort.core.release_config import Gate, Release

AUROC, RATE_METRIC, CANARIES = "attack_auroc", "attack_tpr", "canaries_found"
RATE = 0.01
"""False positive rate at which the true positive rate is judged (Carlini et al. 2022, arXiv 2112.03570)."""
UNITS = ("image", "patient")
VALUE, POSITIVE, NEGATIVE = "value", "positive_control", "negative_control"
FIGURE = ["attack", "unit", "features"]
"""What names an attack: what it does, whom it decides about, what it looks at."""


def run_rows(metrics: pd.DataFrame, release: Release, source: str | None = None) -> pd.DataFrame:
    """Rows of metrics.parquet of the run that is released; with `source`, of another source of the same replicate."""
    wanted = {**release.model_dump(include={"cohort", "experiment", "replicate"}), "source": source or release.source}
    chosen = np.logical_and.reduce([metrics[column] == name for column, name in wanted.items()])
    return metrics[chosen].reset_index(drop=True)


def attack_rows(metrics: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of membership attacks, and take their column ``parameter`` apart.

    Parameters
    ----------
    metrics : pandas.DataFrame
        Rows of metrics.parquet. ``parameter`` is ``ATTACK[/UNIT][/CONTROL][/RATE]``, for example
        ``closest_record/patient/halves/0.01``: the unit is one of `UNITS`, the control names which negative control,
        and the rate is a true positive rate's false positive rate (`RATE` where it is left out).

    Returns
    -------
    pandas.DataFrame
        Those rows with the columns ``attack``, ``unit``, ``control`` (empty where there is none) and ``rate`` (NaN for
        AUROCs).
    """
    rows = metrics[metrics["metric"].isin([AUROC, RATE_METRIC])].reset_index(drop=True)
    parts = pd.DataFrame([_parts(name) for name in rows["parameter"]], columns=["attack", "unit", "control", "rate"])
    rates = parts["rate"].astype(float).fillna(RATE).where(rows["metric"] == RATE_METRIC)
    return rows.assign(attack=parts["attack"], unit=parts["unit"], control=parts["control"], rate=rates)


def _parts(parameter: str) -> tuple[str, str, str, float]:
    attack, *rest = parameter.split("/")
    unit = next((part for part in rest if part in UNITS), "")
    rate = next((float(part) for part in rest if part.replace(".", "", 1).isdigit()), np.nan)
    control = next((part for part in rest if part != unit and not part[:1].isdigit()), "")
    return attack, unit, control, rate


def check_gate(metrics: pd.DataFrame, gate: Gate) -> list[str]:
    """Say in plain sentences what keeps a synthetic cohort from leaving.

    Every attack counts, whomever it decides about. A figure that is missing, or has no interval, fails. Controls fail
    where they are out of order: replayed training images must be caught, or an attack's silence proves nothing; where
    nothing is to be found, the interval must come near 0.5, or an alarm means nothing. Each kind of control must have
    been run with one attack at least (some attacks, such as those on a discriminator, have no replaying counterpart).

    Parameters
    ----------
    metrics : pandas.DataFrame
        Rows of metrics.parquet of one run (`run_rows`): ``attack_auroc``, ``attack_tpr`` and, where canaries were
        planted, ``canaries_found``.
    gate : Gate
        Thresholds.

    Returns
    -------
    list of str
        Empty where the cohort may leave.
    """
    rows = attack_rows(metrics)
    return [*_attacks(rows, gate), *_controls(rows, gate), *_canaries(metrics)]


def pass_gate(metrics: pd.DataFrame, release: Release) -> list[str]:
    """Stop where the gate fails and the config gives no reason to go on all the same.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    release : Release
        What is to leave, and the thresholds.

    Returns
    -------
    list of str
        What `check_gate` found and the config overrides, to be printed in the bundle.

    Raises
    ------
    UserError
        Naming every figure that fails.
    """
    failures = check_gate(run_rows(metrics, release), release.gate)
    run = f"{release.cohort} {release.experiment} {release.source} {release.replicate}"
    if failures and not release.override:
        raise UserError(
            f"release: {run} may not leave, and no bundle was built: {'; '.join(failures)}. Choose another run, or "
            "measure what is missing."
        )
    if failures:
        logger.warning("release: the gate fails for %s: %s", run, "; ".join(failures))
        logger.warning("release: overridden by the config: %s", release.override)
    return failures


def _attacks(rows: pd.DataFrame, gate: Gate) -> Iterator[str]:
    values = rows[rows["role"] == VALUE]
    if not (values["metric"] == AUROC).any():
        yield "no membership attack was measured"
    for name, figures in values.groupby(FIGURE, sort=True):
        title = attack_title(*name)
        yield from _auroc(title, figures[figures["metric"] == AUROC], gate.attack_auroc)
        yield from _rate(title, figures[np.isclose(figures["rate"], RATE)], gate.attack_tpr)


def _auroc(title: str, figures: pd.DataFrame, most: float) -> Iterator[str]:
    if figures.empty or figures["ci_high"].isna().any():
        yield f"{title}: the AUROC is not resolvable{_count(figures)}"
    for high in figures["ci_high"]:
        if high > most:
            yield f"{title}: the AUROC's interval ends at {high:.3f}, above {most:g}"


def _rate(title: str, figures: pd.DataFrame, most: float) -> Iterator[str]:
    if figures.empty or figures[["value", "ci_low"]].isna().any(axis=None):
        yield f"{title}: the true positive rate at {RATE:.0%} false positives is not resolvable{_count(figures)}"
    for low in figures["ci_low"]:
        if low > most:
            yield (
                f"{title}: the interval of the true positive rate at {RATE:.0%} false positives begins at {low:.3f}, "
                f"above {most:g}"
            )


def _controls(rows: pd.DataFrame, gate: Gate) -> Iterator[str]:
    areas = rows[rows["metric"] == AUROC]
    positive, negative = (areas[areas["role"] == role] for role in (POSITIVE, NEGATIVE))
    if positive.empty:
        yield "no attack was tried on replayed training images, so none is known to be able to alarm"
    if negative.empty:
        yield "no attack was tried where there is nothing to find, so none is known to be able to stay silent"
    for row in positive.to_dict("records"):
        if not row["value"] >= gate.positive_control:
            yield (
                f"{_row_title(row)}: replayed training images are caught with an AUROC of {_number(row['value'])} "
                f"only, below {gate.positive_control:g}"
            )
    for row in negative.to_dict("records"):
        distance = _distance_from_chance(row)
        if not distance <= gate.negative_control:
            yield (
                f"{_row_title(row)}: where there is nothing to find ({row['control'] or 'negative control'}) the AUROC "
                f"is {_number(row['value'])}, its interval further than {gate.negative_control:g} from 0.5"
            )


def _distance_from_chance(row: dict[str, Any]) -> float:
    """How far from 0.5 the nearest point of an interval is; NaN where there is none."""
    return max(row["ci_low"] - 0.5, 0.5 - row["ci_high"], 0.0) if row["ci_low"] <= row["ci_high"] else np.nan


def _canaries(metrics: pd.DataFrame) -> Iterator[str]:
    for found in metrics.loc[(metrics["metric"] == CANARIES) & (metrics["role"] == VALUE), "value"]:
        if np.isnan(found):
            yield "canaries were planted, and it is not known how many the synthetic images show"
        elif found > 0:
            yield f"{found:g} of the synthetic images show a planted canary"


def attack_title(attack: str, unit: str, features: str) -> str:
    """Name an attack for people: ``closest record of patients (judge)``."""
    return attack.replace("_", " ") + (f" of {unit}s" if unit else "") + (f" ({features})" if features else "")


def _number(value: float) -> str:
    return "an unknown number" if np.isnan(value) else f"{value:.3f}"


def _row_title(row: dict[str, Any]) -> str:
    return attack_title(row["attack"], row["unit"], row["features"])


def _count(figures: pd.DataFrame) -> str:
    return "" if figures.empty else f" with n = {figures['n'].min()}"
