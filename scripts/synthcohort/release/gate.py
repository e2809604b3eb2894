"""The gate: which figures of the privacy audit keep a synthetic cohort from leaving."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from synthcohort.audit.privacy_vocabulary import (
    CANARIES,
    CAUGHT,
    CHANCE_MARGIN,
    DENSITY_RATIO,
    DISCRIMINATOR,
    FIND_COPIES,
    HALVES,
    IMAGE,
    PATIENT,
    SHADOWS,
    THIRD_GROUP,
    VERIFICATION,
    VERIFIER,
    attack_parameter,
    attack_title,
    split_attack_parameter,
)
from synthcohort.audit.vocabulary import SPACES
from synthcohort.core.errors import UserError
from synthcohort.core.experiment import REAL
from synthcohort.core.progress import logger
from synthcohort.core.release_config import Gate, Release
from synthcohort.release.subject import Subject

AUROC, RATE_METRIC = "attack_auroc", "attack_tpr"
RATE = "0.01"
"""False positive rate at which the true positive rate is judged (Carlini et al. 2022, arXiv 2112.03570)."""
VALUE, POSITIVE, NEGATIVE = "value", "positive_control", "negative_control"
FIGURE = ["attack", "unit", "features"]
"""What names an attack: what it does, whom it decides about, what it looks at."""
ON_SAMPLES = (*FIND_COPIES, DENSITY_RATIO)
"""Attacks that look at images alone, so that they can be tried on replayed ones, too."""
PIXELS = SPACES[1]
CHANCE = 0.5
CONFIDENCE, RESAMPLES = 0.95, 1000
"""Of intervals that can open the gate: with another confidence, or few resamples, their ends can be moved at will."""


def run_rows(metrics: pd.DataFrame, release: Release, source: str | None = None) -> pd.DataFrame:
    """Rows of metrics.parquet of the run that is released; with `source`, of another source of the same replicate."""
    wanted = {**release.model_dump(include={"cohort", "experiment", "replicate"}), "source": source or release.source}
    chosen = np.logical_and.reduce([metrics[column] == name for column, name in wanted.items()])
    return metrics[chosen].reset_index(drop=True)


def attack_rows(metrics: pd.DataFrame, release: Release) -> pd.DataFrame:
    """Choose the rows of membership attacks on a run, and take their column ``parameter`` apart.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    release : Release
        Says which run.

    Returns
    -------
    pandas.DataFrame
        Those rows, and those of the controls that replay real images, which all families share; with the text columns
        ``attack``, ``unit``, ``control`` (empty where there is none) and ``rate`` (the false positive rate of a true
        positive rate; empty for AUROCs).
    """
    shared = run_rows(metrics, release, REAL)
    rows = pd.concat([run_rows(metrics, release), shared[shared["role"].isin([POSITIVE, NEGATIVE])]])
    rows = rows[rows["metric"].isin([AUROC, RATE_METRIC])].reset_index(drop=True)
    parts = [split_attack_parameter(parameter) for parameter in rows["parameter"]]
    return rows.join(pd.DataFrame(parts, columns=["attack", "unit", "control", "rate"], dtype="str"))


def attacks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give each attack of `attack_rows` with its title: what was measured, and its controls."""
    for (attack, unit, features), figures in rows.groupby(FIGURE, sort=True):
        yield attack_title(attack_parameter(str(attack), str(unit)), str(features)), figures


def find(figures: pd.DataFrame, metric: str, role: str = VALUE, control: str = "", rate: str = "") -> pd.DataFrame:
    """Choose the row of one figure of an attack; none where it was not measured."""
    wanted = {"metric": metric, "role": role, "control": control, "rate": rate}
    return figures[np.logical_and.reduce([figures[column] == value for column, value in wanted.items()])]


def check_gate(subject: Subject) -> list[str]:
    """Say in plain sentences what keeps a synthetic cohort from leaving: its study, or what was measured of it.

    Parameters
    ----------
    subject : Subject
        What is to leave.

    Returns
    -------
    list of str
        Empty where the cohort may leave.
    """
    return [*_study(subject), *check_figures(subject.metrics, subject.release, subject.shadows)]


def check_figures(metrics: pd.DataFrame, release: Release, shadows: int = 0) -> list[str]:
    """Say in plain sentences which figures of the audit keep a synthetic cohort from leaving.

    Every attack counts, whomever it decides about, and the end of its interval decides, not its value. A figure that is
    missing, or has no interval, fails. So do controls that are out of order, as the audit itself defines it: attacks
    that look for copies must catch replayed training images in one space at least (`CAUGHT`), or their silence proves
    nothing; where nothing is to be found, every AUROC must be near 0.5 (`CHANCE_MARGIN`), or an alarm means nothing.

    An interval that ends below 0.5 shows that an attack works upside down; whoever learns of it turns it round, so then
    1 less its lower end is what must not exceed the limit. Below 0.5 by chance is no attack: nobody knows beforehand.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet: ``attack_auroc``, ``attack_tpr`` and, where canaries were planted, ``canaries_found``.
    release : Release
        Which run, and the thresholds.
    shadows : int
        How many shadow generators the study asks for; with some, their attack must be there.

    Returns
    -------
    list of str
        Empty where none does.
    """
    rows, canaries = attack_rows(metrics, release), _canaries(run_rows(metrics, release))
    verification = verification_rows(metrics, release)
    if not ((rows["role"] == VALUE) & (rows["metric"] == AUROC)).any():
        return ["no membership attack was measured", *canaries]
    expected = list(_expected(bool(shadows), bool(verification["value"].notna().any())))
    return [
        *_untrained(verification),
        *_missing(rows, expected),
        *_attacks(rows, release.gate),
        *_blind(rows),
        *canaries,
    ]


def verification_rows(metrics: pd.DataFrame, release: Release) -> pd.DataFrame:
    """Choose the row that says how well the run's verifier knows patients; none where they have one study each."""
    shared = run_rows(metrics, release, REAL)
    return shared[shared["metric"] == VERIFICATION]


def loosened(gate: Gate) -> list[str]:
    """Say which thresholds are looser than the default ones, so that the config cannot open the gate unseen."""
    default = Gate().model_dump()
    return [
        f"{key} is {value:g}, by default {default[key]:g}"
        for key, value in gate.model_dump().items()
        if (value < default[key] if key == "combination_patients" else value > default[key])
    ]


def pass_gate(subject: Subject) -> list[str]:
    """Stop where the gate fails and the config gives no reason to go on all the same.

    Parameters
    ----------
    subject : Subject
        What is to leave.

    Returns
    -------
    list of str
        What `check_gate` found and the config overrides, to be printed in the bundle.

    Raises
    ------
    UserError
        Naming every figure that fails.
    """
    release, failures = subject.release, check_gate(subject)
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


def _study(subject: Subject) -> Iterator[str]:
    """Name what no figure can make good."""
    statistics, fewest = subject.statistics, subject.source.combination_patients
    if statistics.confidence != CONFIDENCE:
        yield f"the audit's intervals have a confidence of {statistics.confidence:g}, not of {CONFIDENCE:g}"
    if statistics.bootstrap < RESAMPLES:
        yield f"the audit's intervals are of {statistics.bootstrap} resamples, fewer than {RESAMPLES}"
    if subject.copied_labels:
        yield "the synthetic images have the labels of patients, one for one (protocol.copy_labels)"
    if fewest < subject.release.gate.combination_patients:
        yield (
            f"a label combination is that of {fewest} training patients, fewer than "
            f"{subject.release.gate.combination_patients}"
        )


def _expected(shadows: bool, verified: bool) -> Iterator[tuple[str, str]]:
    """Give the attacks that no audit leaves out, each with the kind of features that it looks at."""
    for space in [*SPACES, *([VERIFIER] if verified else [])]:
        yield from ((attack, space) for attack in FIND_COPIES if shadows or attack != SHADOWS)
        if space != PIXELS:
            yield DENSITY_RATIO, space
    yield DISCRIMINATOR, DISCRIMINATOR


def _missing(rows: pd.DataFrame, expected: list[tuple[str, str]]) -> Iterator[str]:
    """Name the expected attacks that are not there."""
    values = rows[rows["role"] == VALUE]
    spaces = [features.partition(" ")[0] for features in values["features"]]
    known = set(zip(values["attack"], spaces, values["unit"], strict=True))
    for attack, space in expected:
        for unit in (IMAGE, PATIENT):
            if (attack, space, unit) not in known:
                yield f"{attack_title(attack_parameter(attack, unit), space)}: not measured"


def _untrained(verification: pd.DataFrame) -> Iterator[str]:
    """Say where patients could be known again from several studies, and it was not tried."""
    for count in verification.loc[verification["value"].isna(), "n"]:
        yield f"re-identification: not resolvable with n = {count} patients with several studies"


def _attacks(rows: pd.DataFrame, gate: Gate) -> Iterator[str]:
    for title, figures in attacks(rows):
        area, rate = find(figures, AUROC), find(figures, RATE_METRIC, rate=RATE)
        least, high, low = _only(area, "ci_low"), _only(area, "ci_high"), _only(rate, "ci_low")
        at_rate = f"true positive rate at {float(RATE):.0%} false positives"
        if np.isnan(high) or np.isnan(least):
            yield f"{title}: the AUROC is not resolvable{_count(area)}"
        if high > gate.attack_auroc:
            yield f"{title}: the AUROC's interval ends at {high:.3f}, above {gate.attack_auroc:g}"
        if high < CHANCE and 1 - least > gate.attack_auroc:
            yield (
                f"{title}: the AUROC's interval ends below {CHANCE:g} and begins at {least:.3f}: turned round, the "
                f"attack reaches {1 - least:.3f}, above {gate.attack_auroc:g}"
            )
        if np.isnan(low):
            yield f"{title}: the {at_rate} is not resolvable{_count(rate)}"
        if low > gate.attack_tpr:
            yield f"{title}: the interval of the {at_rate} begins at {low:.3f}, above {gate.attack_tpr:g}"
        for control in (THIRD_GROUP, HALVES) if figures["attack"].iloc[0] in ON_SAMPLES else (HALVES,):
            silent = _only(find(figures, AUROC, NEGATIVE, control))
            if not abs(silent - CHANCE) <= CHANCE_MARGIN:
                yield (
                    f"{title}: where nothing is to be found ({control.replace('_', ' ')}) the AUROC is "
                    f"{_number(silent)}, not within {CHANCE_MARGIN:g} of {CHANCE:g}"
                )


def _blind(rows: pd.DataFrame) -> Iterator[str]:
    """Name the attacks that look for copies and do not find them where there is nothing else."""
    replayed = rows[(rows["role"] == POSITIVE) & (rows["metric"] == AUROC)]
    made = set(rows["attack"])
    for attack in (attack for attack in FIND_COPIES if attack != SHADOWS or SHADOWS in made):
        for unit in (IMAGE, PATIENT):
            title = attack_title(attack_parameter(attack, unit), attack)  # whatever it looks at
            best = replayed.loc[(replayed["attack"] == attack) & (replayed["unit"] == unit), "value"].max()
            if not best >= CAUGHT:
                yield (
                    f"{title}: replayed training images are caught with an AUROC of {_number(best)}, below {CAUGHT:g}"
                )


def _canaries(metrics: pd.DataFrame) -> Iterator[str]:
    for found in metrics.loc[(metrics["metric"] == CANARIES) & (metrics["role"] == VALUE), "value"]:
        known = "it is not known how many" if np.isnan(found) else f"{found:g}"
        yield f"canaries were planted, to test the audit, and {known} of the synthetic images show one"


def _only(figures: pd.DataFrame, column: str = "value") -> float:
    """Give one column of the one row; NaN where the figure, or its value, is missing."""
    if figures.empty or np.isnan(figures["value"].iloc[0]):
        return np.nan
    return float(figures[column].iloc[0])


def _number(value: float) -> str:
    return "an unknown number" if np.isnan(value) else f"{value:.3f}"


def _count(figures: pd.DataFrame) -> str:
    return "" if figures.empty else f" with n = {figures['n'].iloc[0]}"
