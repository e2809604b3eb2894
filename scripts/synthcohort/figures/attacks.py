"""Every attack on every synthetic cohort, each beside its controls, as a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.audit.privacy_vocabulary import (
    HALVES,
    THIRD_GROUP,
    attack_parameter,
    describe_controls,
    split_attack_parameter,
)

RATES = (0.001, 0.01, 0.1)
"""False positive rates."""
UNRESOLVED = "not resolvable with n = {}"
Figure = tuple[float, float, float, int]
"""Value, ends of its interval, n."""
UNKNOWN: Figure = (np.nan, np.nan, np.nan, 0)


def attack_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """Put every attack on every synthetic cohort beside its controls.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.

    Returns
    -------
    pandas.DataFrame
        One row per cohort, experiment, source, replicate and attack: ``attack``, ``unit`` (image or patient),
        ``features``; ``auroc`` and, for each of `RATES`, ``tpr_0.001`` and so on (true positive rates, NaN where they
        cannot be resolved), each with the interval's ends in ``…_low`` and ``…_high``; AUROCs of the controls:
        ``replayed`` (training images), ``third_group`` (other patients replayed) and ``halves`` (of the non-members);
        ``controls`` (see `describe_controls`), ``non_members`` and ``simulated``.
    """
    keys = ["cohort", "experiment", "replicate", "features"]
    rows = metrics[metrics["metric"].isin(["attack_auroc", "attack_tpr"])]
    columns = [*keys, "parameter", "role", "source", "value", "ci_low", "ci_high", "n"]
    figures: dict[tuple[str, ...], Figure] = {
        row[:7]: row[7:] for row in rows[columns].itertuples(index=False, name=None)
    }
    found: list[dict[str, Any]] = []
    for row in rows[(rows["metric"] == "attack_auroc") & (rows["role"] == "value")].to_dict("records"):
        attack, unit, *_ = split_attack_parameter(row["parameter"])
        place, source = tuple(row[name] for name in keys), row["source"]
        rates = {rate: (*place, attack_parameter(attack, unit, rate=rate), "value", source) for rate in RATES}
        replayed = figures.get((*place, row["parameter"], "positive_control", "real"), UNKNOWN)
        silent = {
            control: figures.get((*place, attack_parameter(attack, unit, control), "negative_control", made_of))
            for control, made_of in ((THIRD_GROUP, "real"), (HALVES, source))
        }
        tried = {control: (figure[0], figure[3]) for control, figure in silent.items() if figure}
        found.append(
            {
                **{name: row[name] for name in ("cohort", "experiment", "source", "replicate")},
                "attack": attack,
                "unit": unit,
                "features": row["features"],
                **_with_interval("auroc", (row["value"], row["ci_low"], row["ci_high"], row["n"])),
                **{
                    name: value
                    for rate, key in rates.items()
                    for name, value in _with_interval(f"tpr_{rate:g}", figures.get(key, UNKNOWN)).items()
                },
                "replayed": replayed[0],
                **{control: (figure or UNKNOWN)[0] for control, figure in silent.items()},
                "controls": describe_controls(attack, replayed[0], tried),
                "non_members": row["n"],
                "simulated": row["simulated"],
            }
        )
    return pd.DataFrame(found)


def written_attack_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """Give `attack_table` for tables/privacy.csv: a rate that cannot be resolved says so, and with how many."""
    table = attack_table(metrics)
    for column in (f"tpr_{rate:g}" for rate in RATES if len(table)):
        unresolved = table["non_members"].map(UNRESOLVED.format)
        table[column] = table[column].astype(object).where(table[column].notna(), unresolved)
    return table


def _with_interval(name: str, figure: Figure) -> Mapping[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), figure[:3], strict=True))
