"""Utility: what predictive performance is left when a classifier learns from a source instead of real patients."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger
from synthcohort.measures.bootstrap import bootstrap_auroc, percentile_interval, retention, retention_interval

METRIC_KEYS = (
    "study", "cohort", "experiment", "axis", "level", "source", "replicate", "metric", "finding", "role", "features",
    "parameter",
)  # fmt: skip
METRIC_COLUMNS = (*METRIC_KEYS, "value", "ci_low", "ci_high", "n", "simulated")
METRIC_TYPES = dict.fromkeys(METRIC_KEYS, "str") | {
    "value": "float64", "ci_low": "float64", "ci_high": "float64", "n": "int64", "simulated": "bool",
}  # fmt: skip
REAL = "real"


def utility_metrics(
    keys: Mapping[str, str],
    predictions: Mapping[str, pd.DataFrame],
    findings: Sequence[str],
    common: Sequence[str],
    statistics: Statistics,
    seed: int,
    simulated: bool,
) -> pd.DataFrame:
    """Compare classifiers of one experiment and replicate on the same real test patients.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis``, ``level`` (as in the path) and ``replicate``.
    predictions : mapping of source to pandas.DataFrame
        Tables as `classify.predict.predictions_table` makes them, with ``real`` among them; same images, same order.
    findings : sequence of str
        Findings that are averaged as ``mean`` (see `cohort.experiments`); the others get rows of their own only.
    common : sequence of str
        Findings that are averaged at every level of the axis, averaged as ``mean_common``.
    statistics : Statistics
        Resamples and level of the intervals.
    seed : int
        Seed of the resamples.
    simulated : bool
        Whether the test patients are simulated.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet: ``auroc`` of every source; ``utility_gap`` (real − source) and ``retention`` of every
        source but real, paired over patients. `n` counts the test patients with a known label.

    Raises
    ------
    UserError
        When the predictions are not of the same test images.
    """
    _check_same_images(predictions)
    table = predictions[REAL]
    names = list(dict.fromkeys(table["finding"]))
    shape = (len(table) // len(names), len(names))
    labels = table["label"].to_numpy(np.float64).reshape(shape)
    patients = table["patient_id"].to_numpy()[:: len(names)]
    sources = [REAL, *sorted(set(predictions) - {REAL})]
    scores = np.stack([predictions[source]["score"].to_numpy(np.float64).reshape(shape) for source in sources])
    result = bootstrap_auroc(labels, scores, patients, statistics.bootstrap, np.random.default_rng(seed))
    for name, redrawn in zip(names, result.redrawn, strict=True):
        if redrawn:
            logger.info("%s: %d resamples had one class only and were drawn again", name, redrawn)

    rows = []
    for target, members in _targets(names, findings, common).items():
        if not members:
            logger.warning("%s %s: no finding has enough test patients for '%s'", *_where(keys), target)
        values = _mean(result.values[:, members])
        samples = _mean(result.samples[:, members])
        known = ~np.isnan(labels[:, members]).all(axis=1)
        n = len(set(patients[known]))
        for number, source in enumerate(sources):
            for metric, value, (low, high) in _measures(values, samples, number, statistics.confidence):
                rows.append(
                    {
                        **keys, "source": source, "metric": metric, "finding": target, "role": "value", "features": "",
                        "parameter": "", "value": value, "ci_low": low, "ci_high": high, "n": n, "simulated": simulated,
                    }
                )  # fmt: skip
    return combine_metrics([pd.DataFrame(rows)])


def combine_metrics(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put metric tables together: sorted by all keys, fixed columns and types, so that equal numbers are equal bytes.

    Raises
    ------
    ValueError
        When two rows have the same keys.
    """
    table = pd.concat(list(tables), ignore_index=True)[list(METRIC_COLUMNS)].astype(METRIC_TYPES)
    table = table.sort_values(list(METRIC_KEYS), ignore_index=True)
    if table.duplicated(list(METRIC_KEYS)).any():
        raise ValueError("two metric rows have the same keys")
    return table


def _check_same_images(predictions: Mapping[str, pd.DataFrame]) -> None:
    columns = ["image_id", "patient_id", "finding", "label"]
    for (_, before), (source, after) in pairwise(predictions.items()):
        if not before[columns].equals(after[columns]):
            raise UserError(
                f"the predictions of source {source} are of other test images than those beside it; delete them and "
                "run again."
            )


def _where(keys: Mapping[str, str]) -> tuple[str, str]:
    return keys["cohort"], keys["experiment"]


def _targets(names: list[str], findings: Sequence[str], common: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the findings behind each value of the column ``finding``."""
    alone = {name: [position] for position, name in enumerate(names)}
    return alone | {
        "mean": [names.index(name) for name in findings],
        "mean_common": [names.index(name) for name in common],
    }


def _mean(aurocs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over findings (axis 1); NaN where there is none, or one is undefined."""
    return aurocs.sum(axis=1) / (aurocs.shape[1] or np.nan)


def _measures(
    values: NDArray[np.float64], samples: NDArray[np.float64], number: int, confidence: float
) -> list[tuple[str, float, tuple[float, float]]]:
    """Metric, value and interval of source `number`; number 0 is real."""
    measures = [("auroc", float(values[number]), percentile_interval(samples[number], confidence))]
    if number:
        gap = float(values[0] - values[number])
        kept = float(retention(values[number], values[0]))
        measures += [
            ("utility_gap", gap, percentile_interval(samples[0] - samples[number], confidence)),
            ("retention", kept, retention_interval(samples[number], samples[0], confidence)),
        ]
    return measures
