"""Every attack on every synthetic cohort, each beside its controls, as a table."""

from typing import Any

import pandas as pd

from synthcohort.audit.privacy_vocabulary import HALVES, THIRD_GROUP, attack_parameter, split_attack_parameter

RATES = (0.001, 0.01, 0.1)
"""False positive rates."""


def attack_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """Put every attack on every synthetic cohort beside its controls, for tables/privacy.csv.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.

    Returns
    -------
    pandas.DataFrame
        One row per cohort, experiment, source, replicate and attack: ``attack``, ``unit`` (image or patient),
        ``features``, ``auroc`` with ``auroc_low`` and ``auroc_high``, ``tpr_0.001``, ``tpr_0.01`` and ``tpr_0.1`` (true
        positive rates, NaN where they cannot be resolved), ``replayed`` (AUROC of the positive control),
        ``nothing_to_find`` (of the negative control), ``non_members`` and ``simulated``.
    """
    keys = ["cohort", "experiment", "replicate", "features"]
    rows = metrics[metrics["metric"].isin(["attack_auroc", "attack_tpr"])]
    values = {
        (*key, parameter, role, source): value
        for *key, parameter, role, source, value in rows[[*keys, "parameter", "role", "source", "value"]].itertuples(
            index=False, name=None
        )
    }
    found: list[dict[str, Any]] = []
    for row in rows[(rows["metric"] == "attack_auroc") & (rows["role"] == "value")].to_dict("records"):
        attack, unit, *_ = split_attack_parameter(row["parameter"])
        key = tuple(row[name] for name in keys)
        third, halves = (attack_parameter(attack, unit, control) for control in (THIRD_GROUP, HALVES))
        own = values.get((*key, halves, "negative_control", row["source"]))
        found.append(
            {
                **{name: row[name] for name in ("cohort", "experiment", "source", "replicate")},
                "attack": attack,
                "unit": unit,
                "features": row["features"],
                "auroc": row["value"],
                "auroc_low": row["ci_low"],
                "auroc_high": row["ci_high"],
                **{
                    f"tpr_{rate:g}": values.get(
                        (*key, attack_parameter(attack, unit, rate=rate), "value", row["source"])
                    )
                    for rate in RATES
                },
                "replayed": values.get((*key, row["parameter"], "positive_control", "real")),
                "nothing_to_find": values.get((*key, third, "negative_control", "real"), own),
                "non_members": row["n"],
                "simulated": row["simulated"],
            }
        )
    return pd.DataFrame(found)
