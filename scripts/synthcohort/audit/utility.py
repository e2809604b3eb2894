"""Utility: what predictive performance is left when a classifier learns from a source instead of real patients."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.vocabulary import POOLED, UNFLIPPED
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger
from synthcohort.core.protocol import Protocol
from synthcohort.measures.bootstrap import (
    Bootstrap,
    basic_interval,
    bootstrap_measures,
    percentile_interval,
    pool_replicates,
    retention,
    retention_interval,
)
from synthcohort.measures.delong import delong, delong_difference, delong_interval

METRIC_KEYS = (
    "study", "cohort", "experiment", "axis", "level", "source", "replicate", "metric", "finding", "role", "features",
    "parameter",
)  # fmt: skip
METRIC_COLUMNS = (*METRIC_KEYS, "value", "ci_low", "ci_high", "n", "simulated")
METRIC_TYPES = dict.fromkeys(METRIC_KEYS, "str") | {
    "value": "float64", "ci_low": "float64", "ci_high": "float64", "n": "int64", "simulated": "bool",
}  # fmt: skip
REAL = "real"
DELONG = "delong"
"""Parameter of the rows whose interval is DeLong's; it is empty in those whose interval is the bootstrap's."""
CHANCE = 0.5

Row = dict[str, Any]
Interval = tuple[float, float]


def utility_metrics(
    keys: Mapping[str, str],
    predictions: Mapping[str, Mapping[str, pd.DataFrame]],
    findings: Sequence[str],
    common: Sequence[str],
    statistics: Statistics,
    seed: int,
    simulated: bool,
    protocol: Protocol = Protocol(),  # noqa: B008 - frozen
) -> pd.DataFrame:
    """Compare classifiers of one experiment on the same real test patients.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis`` and ``level`` (as in the path).
    predictions : mapping of replicate to mapping of source to pandas.DataFrame
        Tables as `classify.predict.predictions_table` makes them, the same sources in every replicate and ``real``
        among them; same images, same order.
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
    protocol : Protocol
        With `flip_auroc` every AUROC below 0.5 counts as 1 − AUROC, ``mean`` is over all findings that have both
        classes, whatever `findings` says, there are no DeLong rows, and ``auroc`` stands there a second time as it is
        (``parameter`` is `UNFLIPPED`); with `own_findings_only` there is no ``mean_common``.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet, for every finding, ``mean`` and ``mean_common``. Of every source: ``auroc``,
        ``average_precision``, ``brier`` and ``calibration_error``; of every source but real, paired over patients:
        ``utility_gap`` (AUROC, real − source), ``retention``, and real − source of the other three, as
        ``average_precision_gap`` and so on. Intervals are percentiles, those of ``calibration_error`` and its gap
        basic ones (see `basic_interval`). `n` counts the test patients with a known label.

        For every finding also: ``auroc`` and ``utility_gap`` with DeLong's intervals (``parameter`` is `DELONG`), and,
        under the source real, ``redrawn``: how many resamples had one class only and were drawn again.

        With several replicates, also rows of the replicate `POOLED`: the mean over them, its interval over patients and
        replicates (see `pool_replicates`); gap and retention follow from the mean AUROCs, as those of ``mean`` do.
        They have no DeLong rows, which would leave the replicates out.

    Raises
    ------
    UserError
        When the predictions are not of the same test images.
    """
    _check_same_images([table for tables in predictions.values() for table in tables.items()])
    sources = [REAL, *sorted(set(next(iter(predictions.values()))) - {REAL})]
    names, labels, scores, patients = _arrays(predictions, sources)
    rng = np.random.default_rng(seed)
    result = bootstrap_measures(labels, scores.reshape(-1, *labels.shape), patients, statistics.bootstrap, rng)
    for name, redrawn in zip(names, result.redrawn, strict=True):
        if redrawn:
            logger.info("%s: %d resamples had one class only and were drawn again", name, redrawn)
    if protocol.flip_auroc:
        result, findings = _flipped(result, names)
    targets = _targets(names, findings, common)
    if protocol.own_findings_only:
        del targets["mean_common"]
    for target, members in targets.items():
        if not members:
            where = keys["cohort"], keys["experiment"]
            logger.warning("%s %s: no finding has enough test patients for '%s'", *where, target)

    rows: list[Row] = []
    for replicate, value, sample in _by_replicate(result, list(predictions), rng):
        for target, members in targets.items():
            means = _mean(value, members), _mean(sample, members)
            compared = _compare(result.measures, *means, sources, statistics.confidence)
            rows += [{"replicate": replicate, "finding": target, "parameter": "", **row} for row in compared]
        for name, redrawn in zip(names, result.redrawn, strict=True):
            row = _row(REAL, "redrawn", float(redrawn))
            rows.append({"replicate": replicate, "finding": name, "parameter": "", **row})
    for replicate, score in zip([] if protocol.flip_auroc else predictions, scores, strict=False):
        for position, name in enumerate(names):
            compared = _compare_delong(
                labels[:, position], score[:, :, position], patients, sources, statistics.confidence
            )
            rows += [{"replicate": replicate, "finding": name, "parameter": DELONG, **row} for row in compared]
    counts = {target: _count_patients(labels[:, members], patients) for target, members in targets.items()}
    shared = {**keys, "role": "value", "features": "", "simulated": simulated}
    return combine_metrics([pd.DataFrame([{**shared, **row, "n": counts[row["finding"]]} for row in rows])])


def experiment_keys(study: str, cohort: str, experiment: str, **more: str) -> dict[str, str]:
    """Make the first keys of an experiment's metric rows; `more` adds the source, or the replicate."""
    axis, _, level = experiment.partition("-")
    return {"study": study, "cohort": cohort, "experiment": experiment, "axis": axis, "level": level, **more}


def no_metrics() -> pd.DataFrame:
    """Make a table of metrics without rows, where nothing can be measured."""
    return pd.DataFrame(columns=list(METRIC_COLUMNS)).astype(METRIC_TYPES)


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


def _check_same_images(predictions: list[tuple[str, pd.DataFrame]]) -> None:
    columns = ["image_id", "patient_id", "finding", "label"]
    for (_, before), (source, after) in pairwise(predictions):
        if not before[columns].equals(after[columns]):
            raise UserError(
                f"the predictions of source {source} are of other test images than those beside it; delete them and "
                "run again."
            )


def _arrays(
    predictions: Mapping[str, Mapping[str, pd.DataFrame]], sources: list[str]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], NDArray]:
    """Take findings, labels ``[n, findings]``, scores ``[replicates, sources, n, findings]`` and patients ``[n]``."""
    table = next(iter(predictions.values()))[REAL]
    names = list(dict.fromkeys(table["finding"]))
    scores = [[tables[source]["score"].to_numpy(np.float64) for source in sources] for tables in predictions.values()]
    labels = table["label"].to_numpy(np.float64).reshape(-1, len(names))
    patients = table["patient_id"].to_numpy()[:: len(names)]
    return names, labels, np.array(scores).reshape(len(predictions), len(sources), *labels.shape), patients


def _by_replicate(
    result: Bootstrap, replicates: list[str], rng: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Values ``[measures, sources, findings]`` and samples ``[…, resamples]`` of each replicate, then of all."""
    measures, classifiers, findings = result.values.shape
    split = (measures, len(replicates), classifiers // len(replicates), findings)
    values = np.moveaxis(result.values.reshape(split), 1, 0)
    samples = np.moveaxis(result.samples.reshape(*split, -1), 1, 0)
    yield from zip(replicates, values, samples, strict=True)
    if len(replicates) > 1:
        yield POOLED, values.mean(axis=0), pool_replicates(samples, rng)


def _flipped(result: Bootstrap, names: list[str]) -> tuple[Bootstrap, list[str]]:
    """Treat AUROCs as the paper did, with a measure `UNFLIPPED` beside them.

    Also name the findings that the paper averages, those that have both classes.
    """
    place = list(result.measures).index("auroc")
    values, samples = (np.concatenate([part, part[[place]]]) for part in (result.values, result.samples))
    for part in (values, samples):
        part[place] = np.maximum(part[place], 1 - part[place])
    defined = ~np.isnan(values[place]).any(axis=0)
    return replace(result, measures=(*result.measures, UNFLIPPED), values=values, samples=samples), [
        name for name, known in zip(names, defined, strict=True) if known
    ]


def _targets(names: list[str], findings: Sequence[str], common: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the findings behind each value of the column ``finding``."""
    alone = {name: [position] for position, name in enumerate(names)}
    return alone | {
        "mean": [names.index(name) for name in findings],
        "mean_common": [names.index(name) for name in common],
    }


def _count_patients(labels: NDArray[np.float64], patients: NDArray) -> int:
    """Patients with a known label of any of the findings."""
    return len(set(patients[~np.isnan(labels).all(axis=1)]))


def _mean(measured: NDArray[np.float64], members: list[int]) -> NDArray[np.float64]:
    """Mean over some findings (axis 2); NaN where there is none, or one is undefined."""
    return measured[:, :, members].sum(axis=2) / (len(members) or np.nan)


def _row(source: str, metric: str, value: float, interval: Interval = (np.nan, np.nan)) -> Row:
    return {"source": source, "metric": metric, "value": value, "ci_low": interval[0], "ci_high": interval[1]}


def _compare(
    measures: Sequence[str],
    values: NDArray[np.float64],
    samples: NDArray[np.float64],
    sources: list[str],
    confidence: float,
) -> Iterator[Row]:
    """Rows of one replicate and finding from values ``[measures, sources]`` and samples ``[…, resamples]``."""
    for number, source in enumerate(sources):
        for measure, value, sample in zip(measures, values[:, number], samples[:, number], strict=True):
            row = _row(source, measure, float(value), _interval(measure, value, sample, confidence, (0, 1)))
            yield row | ({"metric": "auroc", "parameter": UNFLIPPED} if measure == UNFLIPPED else {})
    aurocs, drawn = (measured[list(measures).index("auroc")] for measured in (values, samples))
    unflipped = samples[list(measures).index(UNFLIPPED if UNFLIPPED in measures else "auroc"), 0]
    beats_chance = percentile_interval(unflipped, confidence)[0] > CHANCE
    for number, source in enumerate(sources[1:], start=1):
        gap = percentile_interval(drawn[0] - drawn[number], confidence)
        yield _row(source, "utility_gap", float(aurocs[0] - aurocs[number]), gap)
        kept = retention_interval(drawn[number], drawn[0], confidence) if beats_chance else (np.nan, np.nan)
        yield _row(source, "retention", float(retention(aurocs[number], aurocs[0])), kept)
        for measure, value, sample in zip(measures, values, samples, strict=True):
            if measure not in ("auroc", UNFLIPPED):
                lost, drawn_lost = value[0] - value[number], sample[0] - sample[number]
                interval = _interval(measure, lost, drawn_lost, confidence, (-1, 1))
                yield _row(source, f"{measure}_gap", float(lost), interval)


def _interval(measure: str, value: float, samples: NDArray, confidence: float, bounds: Interval) -> Interval:
    """Interval of a measure, or of its difference between two classifiers."""
    if measure == "calibration_error":
        return basic_interval(value, samples, confidence, bounds)
    return percentile_interval(samples, confidence)


def _compare_delong(
    labels: NDArray[np.float64], scores: NDArray[np.float64], patients: NDArray, sources: list[str], confidence: float
) -> Iterator[Row]:
    """Rows of one replicate and finding from labels ``[n]`` and scores ``[sources, n]``."""
    result = delong(labels, scores, patients)
    for number, source in enumerate(sources):
        yield _row(source, "auroc", float(result.aurocs[number]), delong_interval(result, number, confidence))
        if number:
            yield _row(source, "utility_gap", *delong_difference(result, 0, number, confidence))
