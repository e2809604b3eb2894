"""The gate: which figures of the privacy audit keep a synthetic cohort from leaving."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from synthcohort.audit.privacy_vocabulary import (
    CALIBRATED,
    CANARIES,
    CAUGHT,
    CHANCE_MARGIN,
    CLOSEST_RECORD,
    DENSITY_RATIO,
    DISCRIMINATOR,
    HALVES,
    IMAGE,
    PATIENT,
    THIRD_GROUP,
    split_attack_parameter,
)
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger
from synthcohort.core.release_config import Gate, Release

AUROC, RATE_METRIC = "attack_auroc", "attack_tpr"
RATE = "0.01"
"""False positive rate at which the true positive rate is judged (Carlini et al. 2022, arXiv 2112.03570)."""
VALUE, POSITIVE, NEGATIVE = "value", "positive_control", "negative_control"
FIGURE = ["attack", "unit", "features"]
"""What names an attack: what it does, whom it decides about, what it looks at."""
ON_SAMPLES = (CLOSEST_RECORD, CALIBRATED, DENSITY_RATIO)
"""Attacks that need nothing but images, so that they can be tried on replayed ones, too."""
EXPECTED = (*ON_SAMPLES, DISCRIMINATOR)
"""Attacks that every audit makes; others count where they were made."""


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
        Rows of metrics.parquet.

    Returns
    -------
    pandas.DataFrame
        Those rows with the text columns ``attack``, ``unit``, ``control`` (empty where there is none) and ``rate`` (a
        true positive rate's false positive rate; empty for AUROCs).
    """
    rows = metrics[metrics["metric"].isin([AUROC, RATE_METRIC])].reset_index(drop=True)
    parts = [split_attack_parameter(parameter) for parameter in rows["parameter"]]
    return rows.join(pd.DataFrame(parts, columns=["attack", "unit", "control", "rate"], dtype="str"))


def attacks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give each attack of `attack_rows` with its title: what was measured, and its controls."""
    for (attack, unit, features), figures in rows.groupby(FIGURE, sort=True):
        yield attack_title(str(attack), str(unit), str(features)), figures


def attack_title(attack: str, unit: str, features: str) -> str:
    """Name an attack for people: ``closest record of patients (judge features)``."""
    return f"{attack.replace('_', ' ')} of {unit}s" + (f" ({features})" if features not in ("", attack) else "")


def find(figures: pd.DataFrame, metric: str, role: str = VALUE, control: str = "", rate: str = "") -> pd.DataFrame:
    """Choose the row of one figure of an attack; none where it was not measured."""
    wanted = {"metric": metric, "role": role, "control": control, "rate": rate}
    return figures[np.logical_and.reduce([figures[column] == value for column, value in wanted.items()])]


def check_gate(metrics: pd.DataFrame, gate: Gate) -> list[str]:
    """Say in plain sentences what keeps a synthetic cohort from leaving.

    Every attack counts, whomever it decides about, and the end of its interval decides, not its value. A figure that is
    missing, or has no interval, fails. So do controls that are out of order, as the audit itself defines it: replayed
    training images must be caught (`CAUGHT`), or an attack's silence proves nothing; where nothing is to be found, the
    AUROC must be near 0.5 (`CHANCE_MARGIN`), or an alarm means nothing.

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
    return [*_missing(rows), *_attacks(rows, gate), *_canaries(metrics)]


def loosened(gate: Gate) -> list[str]:
    """Say which thresholds are looser than the default ones, so that the config cannot open the gate unseen."""
    default = Gate().model_dump()
    return [
        f"{key} is {value:g}, by default {default[key]:g}"
        for key, value in gate.model_dump().items()
        if value > default[key]
    ]


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
    for sentence in loosened(release.gate):
        logger.warning("release: the gate is looser than its default: %s", sentence)
    if failures and not release.override:
        raise UserError(
            f"release: {run} may not leave, and no bundle was built: {'; '.join(failures)}. Release another run, or "
            "measure what is missing; docs/release.md says what the gate asks for."
        )
    if failures:
        logger.warning("release: the gate fails for %s: %s", run, "; ".join(failures))
        logger.warning("release: overridden by the config: %s", release.override)
    return failures


def _missing(rows: pd.DataFrame) -> Iterator[str]:
    """Name the attacks that no audit leaves out, and that are not there."""
    values = rows[(rows["role"] == VALUE) & (rows["metric"] == AUROC)]
    if values.empty:
        yield "no membership attack was measured"
        return
    known = set(zip(values["attack"], values["unit"], strict=True))
    for attack in EXPECTED:
        for unit in (IMAGE, PATIENT):
            if (attack, unit) not in known:
                yield f"{attack_title(attack, unit, '')}: not measured"


def _attacks(rows: pd.DataFrame, gate: Gate) -> Iterator[str]:
    for title, figures in attacks(rows):
        area, rate = find(figures, AUROC), find(figures, RATE_METRIC, rate=RATE)
        high, low = (_only(found, end) for found, end in ((area, "ci_high"), (rate, "ci_low")))
        at_rate = f"true positive rate at {float(RATE):.0%} false positives"
        if np.isnan(high):
            yield f"{title}: the AUROC is not resolvable{_count(area)}"
        if high > gate.attack_auroc:
            yield f"{title}: the AUROC's interval ends at {high:.3f}, above {gate.attack_auroc:g}"
        if np.isnan(low):
            yield f"{title}: the {at_rate} is not resolvable{_count(rate)}"
        if low > gate.attack_tpr:
            yield f"{title}: the interval of the {at_rate} begins at {low:.3f}, above {gate.attack_tpr:g}"
        yield from _controls(title, figures)


def _controls(title: str, figures: pd.DataFrame) -> Iterator[str]:
    """Check an attack's controls; one that needs more than images cannot be tried on replayed ones."""
    replayable = figures["attack"].iloc[0] in ON_SAMPLES
    caught = _only(find(figures, AUROC, POSITIVE))
    if replayable and not caught >= CAUGHT:
        yield f"{title}: replayed training images are caught with an AUROC of {_number(caught)}, not {CAUGHT:g}"
    for control in (THIRD_GROUP, HALVES) if replayable else (HALVES,):
        silent = _only(find(figures, AUROC, NEGATIVE, control))
        if not abs(silent - 0.5) <= CHANCE_MARGIN:
            yield (
                f"{title}: where nothing is to be found ({control.replace('_', ' ')}) the AUROC is {_number(silent)}, "
                f"not within {CHANCE_MARGIN:g} of 0.5"
            )


def _canaries(metrics: pd.DataFrame) -> Iterator[str]:
    for found in metrics.loc[(metrics["metric"] == CANARIES) & (metrics["role"] == VALUE), "value"]:
        if np.isnan(found):
            yield "canaries were planted, and it is not known how many the synthetic images show"
        elif found > 0:
            yield f"{found:g} of the synthetic images show a planted canary"


def _only(figures: pd.DataFrame, column: str = "value") -> float:
    """Give one column of the one row; NaN where the figure, or its value, is missing."""
    if figures.empty or np.isnan(figures["value"].iloc[0]):
        return np.nan
    return float(figures[column].iloc[0])


def _number(value: float) -> str:
    return "an unknown number" if np.isnan(value) else f"{value:.3f}"


def _count(figures: pd.DataFrame) -> str:
    return "" if figures.empty else f" with n = {figures['n'].iloc[0]}"
