"""Reading metrics.parquet for figures, tables and sentences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from synthcohort.audit.vocabulary import POOLED, UNFLIPPED
from synthcohort.core.errors import UserError
from synthcohort.figures.style import CHANCE, ordered_sources

KEYS = ["cohort", "experiment", "axis", "level", "source", "metric", "finding"]
NOT_TRAINED = "not trained long enough"
TOO_FEW = "too few test patients"


def select(
    metrics: pd.DataFrame, metric: str, findings: list[str] | None = None, keys: Sequence[str] = KEYS
) -> pd.DataFrame:
    """Values of one metric, one row per cohort, experiment, source and finding.

    Only rows without a parameter are taken: one with it is a variant, as DeLong's interval is of the bootstrap's. Of
    the unflipped AUROCs, which stand beside flipped ones, the lower end is taken along: it alone can reach chance.
    Several replicates become one row: the pooled row where the metrics hold one; else the mean of their values, with an
    interval from the lowest to the highest end of theirs (wider than any of them, never narrower).

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    metric : str
        For example ``"auroc"``.
    findings : list of str, optional
        Findings (or ``mean``, ``mean_common``) to keep; None keeps all.
    keys : sequence of str
        Columns by which rows are told apart.

    Returns
    -------
    pandas.DataFrame
        The columns `keys`, ``value``, ``ci_low``, ``ci_high``, ``n`` (smallest of the replicates), ``simulated``,
        ``replicates`` (count), ``position`` (the level as a number), and ``lowest``: ``ci_low``, or the unflipped one.
    """
    rows = metrics[(metrics["metric"] == metric) & (metrics["role"] == "value")]
    if findings is not None:
        rows = rows[rows["finding"].isin(findings)]
    pooled = pool(rows[rows["parameter"] == ""], keys)
    unflipped = rows[rows["parameter"] == UNFLIPPED]
    pooled["lowest"] = pooled["ci_low"]
    if len(unflipped):
        lowest = pool(unflipped, keys).set_index([*keys])["ci_low"]
        pooled["lowest"] = lowest.reindex(pd.MultiIndex.from_frame(pooled[[*keys]])).to_numpy()
        pooled["lowest"] = pooled["lowest"].fillna(pooled["ci_low"])
    return pooled


def pool(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Make one row of several replicates; `select` says how.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of metrics.parquet.
    keys : sequence of str
        Columns by which rows are told apart.
    """
    count = rows[rows["replicate"] != POOLED].groupby([*keys])["replicate"].nunique()
    is_pooled = rows["replicate"] == POOLED
    if is_pooled.any():
        has_pooled = is_pooled.groupby([rows[key] for key in keys]).transform("any").astype(bool)
        rows = rows[~has_pooled | is_pooled]
    pooled = rows.groupby([*keys], sort=True).agg(
        value=("value", "mean"),
        ci_low=("ci_low", "min"),
        ci_high=("ci_high", "max"),
        n=("n", "min"),
        simulated=("simulated", "any"),
    )
    pooled["replicates"] = count.reindex(pooled.index).fillna(1).astype(int)
    pooled = pooled.reset_index()
    pooled["position"] = pooled["level"].astype(int)
    return pooled


def with_replicates(metrics: pd.DataFrame, metric: str, findings: list[str] | None = None) -> pd.DataFrame:
    """Give what `select` gives and, where there are several replicates, each one's value.

    Returns
    -------
    pandas.DataFrame
        The columns of `select`, and ``replicate``: `POOLED`, or the name of one replicate. Rows of one replicate have
        no interval: it would be over patients only, and next to the pooled one it would mislead.
    """
    pooled = select(metrics, metric, findings).assign(replicate=POOLED)
    if (pooled["replicates"] <= 1).all():
        return pooled
    single = metrics[metrics["replicate"] != POOLED]
    each = select(single, metric, findings, [*KEYS, "replicate"]).sort_values("replicate", kind="stable")
    return pd.concat([pooled, each.assign(ci_low=np.nan, ci_high=np.nan)], ignore_index=True)


def one_axis(metrics: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Keep the metrics of one axis.

    Raises
    ------
    UserError
        When there are none.
    """
    rows = metrics[metrics["axis"] == axis]
    if rows.empty:
        known = ", ".join(sorted(set(metrics["axis"]))) or "none"
        raise UserError(f"metrics.parquet holds nothing for the axis '{axis}'; it holds: {known}.")
    return rows


def verdict(rows: pd.DataFrame) -> pd.Series:
    """Say what keeps each AUROC from being judged: ``""``, or one of two reasons.

    `NOT_TRAINED`: the interval does not lie wholly above chance, which is not the same as being worse than others.
    Where AUROCs are flipped, none lies below it, so that the unflipped ones decide.
    `TOO_FEW`: there is no value, because no finding has enough test patients for a mean.
    """
    verdicts = pd.Series("", rows.index).mask(~(rows["lowest"] > CHANCE), NOT_TRAINED)
    return verdicts.mask(rows["value"].isna(), TOO_FEW)


def spaced(text: str) -> str:
    """Write the commas between thousands as narrow spaces: ``5,950`` becomes ``5 950``."""
    return text.replace(",", "\u202f")


def level_text(axis: str, level: int) -> str:
    """Write a level for people: ``32²``, ``10``, ``5 950``."""
    return f"{level}²" if axis == "resolution" else spaced(f"{level:,}")


def kimg_text(kimg: float) -> str:
    """Write a number of thousand images: ``0.06``, ``1.2``, ``24``, ``12 000``."""
    text = f"{kimg:.2f}" if kimg < 1 else f"{kimg:.1f}" if kimg < 10 else f"{kimg:,.0f}"
    return spaced(text)


def summarise(metrics: pd.DataFrame, finding: str = "mean") -> pd.DataFrame:
    """Put AUROC, utility gap and retention of each source side by side.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.
    finding : str
        Which mean (or finding) to take.

    Returns
    -------
    pandas.DataFrame
        One row per cohort, experiment and source, levels ascending, real first: ``cohort``, ``experiment``, ``axis``,
        ``level``, ``source``, ``position``, ``n``, ``replicates``, ``simulated``, ``verdict`` and, for each
        metric, its value (``auroc``, …) and interval (``auroc_low``, ``auroc_high``, …), NaN where there is none.
    """
    auroc = select(metrics, "auroc", [finding])
    table = auroc.assign(verdict=verdict(auroc)).rename(columns=_interval_names("auroc"))
    keys = ["cohort", "experiment", "source"]
    for metric in ("utility_gap", "retention"):
        part = select(metrics, metric, [finding]).rename(columns=_interval_names(metric))
        table = table.merge(part[[*keys, *_interval_names(metric).values()]], on=keys, how="left")
    rank = {source: place for place, source in enumerate(ordered_sources(table["source"]))}
    table["rank"] = table["source"].map(rank)
    table = table.sort_values(["cohort", "axis", "position", "rank"], ignore_index=True)
    return table.drop(columns=["rank", "metric", "finding"])


def _interval_names(metric: str) -> dict[str, str]:
    return {"value": metric, "ci_low": f"{metric}_low", "ci_high": f"{metric}_high"}


AXIS_LABELS = {
    "resolution": "Resolution (pixels)",
    "classes": "Label combinations",
    "samples": "Training images per label combination",
    "amount": "Synthetic images per real image (%)",
}
