"""What readers' answers say: rows of metrics.parquet."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from synthcohort.audit.utility import combine_metrics, no_metrics
from synthcohort.core.config import Statistics
from synthcohort.measures.agreement import Agreement, fleiss, repeat_kappa
from synthcohort.measures.crossed import (
    FEWEST_READERS,
    CrossedMean,
    accuracy_interval,
    chance_test,
    crossed_auroc,
    crossed_mean,
    difference_interval,
    difference_test,
    equivalence_test,
)
from synthcohort.measures.delong import delong, delong_interval
from synthcohort.readers.select import SYNTHETIC
from synthcohort.readers.vocabulary import ALL, AXIS, THRESHOLDS

Row = dict[str, Any]
NOWHERE = (float("nan"), float("nan"))


class Part(NamedTuple):
    """A part of the answers."""

    cohort: str
    family: str
    level: str
    rows: pd.DataFrame

    @property
    def is_whole(self) -> bool:
        """Whether it is all answers together."""
        return self[:3] == (ALL, ALL, ALL)


def reader_metrics(
    study: str, results: pd.DataFrame, margin: float, replicate: str, statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Measure how well readers tell synthetic images from real ones.

    Parameters
    ----------
    study : str
        Name of the study.
    results : pandas.DataFrame
        What `results.read_results` gives: answers of readers who are all people, or all simulated.
    margin : float
        Largest distance of the accuracy from 0.5 that counts as chance.
    replicate : str
        Replicate that the synthetic images are of.
    statistics : Statistics
        Resamples and level of the intervals.
    seed : int
        Of the resamples.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet, from first exposures alone but for the two about repeats; ``parameter`` is a reader's
        name, or empty for all readers together; ``cohort``, ``source`` and ``level`` are `ALL` where a row is about
        several; ``simulated`` says that the readers are.

        Of every cohort, family and resolution, of each of the three alone, and of all answers: ``reader_accuracy``,
        of one reader with the exact binomial interval (Clopper and Pearson), of all with one over readers and images
        (see `crossed_mean`); for all readers also ``reader_chance_p`` and ``reader_equivalence_p`` (parameter: the
        margin), tests against and for chance; ``reader_auroc`` from confidence (see `crossed_auroc`);
        ``reader_fleiss_kappa``. Over resolutions: ``reader_trend``, change of the accuracy with every doubling of the
        side, and ``reader_trend_p``. Of all answers: ``reader_auroc`` of each reader (DeLong),
        ``reader_true_positive_rate`` and ``reader_false_positive_rate`` (parameter: threshold), points of the ROC
        curve, synthetic images being the positive ones; ``reader_learning``, change of the accuracy from the first to
        the last image; ``reader_repeat_agreement``, share of repeated images that got the same answer again, and
        ``reader_repeat_kappa``; ``reader_seconds``, median time of an answer; ``reader_years`` of experience of each
        reader, ``features`` being the profession. Both kappas have bootstrap intervals over patients. `n` counts
        answers, and pairs of them for kappa of repeats.
    """
    if results.empty:
        return no_metrics()
    first = results[results["exposure"] == 1]
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for part in _parts(first):
        keys = {"cohort": part.cohort, "source": part.family, "level": part.level}
        found = [*_accuracy_rows(part.rows, margin, statistics), *_confidence_rows(part.rows, statistics, rng)]
        if part.level == ALL:
            found += _trend_rows(part.rows, statistics.confidence)
        if part.is_whole:
            found += _each_auroc_rows(part.rows, statistics.confidence)
            found += [*_curve_rows(part.rows), *_time_rows(part.rows), *_profile_rows(part.rows)]
            found += _learning_rows(part.rows, statistics.confidence)
            found += _repeat_rows(results, statistics, rng)
        rows += [{**keys, **row} for row in found]
    table = pd.DataFrame(rows)
    experiments = AXIS + ("-" + table["level"]).where(table["level"] != ALL, "")
    same = {"study": study, "axis": AXIS, "replicate": replicate, "finding": "", "role": "value"}
    table = table.assign(experiment=experiments, simulated=bool(results["simulated"].all()), **same)
    return combine_metrics([table.fillna({"features": ""})])


def study_metrics(study: str, study_id: str, answered: Mapping[str, int], replicate: str) -> pd.DataFrame:
    """Name the reader study that was analysed, and others of the same study that people have answered.

    Parameters
    ----------
    study : str
        Name of the study.
    study_id : str
        Of the reader study that was analysed.
    answered : mapping of str to int
        Answers by reader study, as `results.answered_studies` gives them.
    replicate : str
        As in `reader_metrics`.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet: ``reader_study`` and ``reader_study_unused``, ``parameter`` being the id and the value
        its number of answers (of people). Without any, programs have answered, and the row is simulated.
    """
    people = answered.get(study_id, 0)
    found = [_row("reader_study", people, people, parameter=study_id)]
    found += [
        _row("reader_study_unused", count, count, parameter=other)
        for other, count in answered.items()
        if other != study_id
    ]
    keys = dict.fromkeys(("cohort", "source", "level"), ALL) | dict.fromkeys(("experiment", "axis"), AXIS)
    keys |= {"study": study, "replicate": replicate, "finding": "", "role": "value", "features": ""}
    rows = pd.DataFrame(found).assign(simulated=False, **keys)
    rows.loc[0, "simulated"] = people == 0
    return combine_metrics([rows])


def _parts(first: pd.DataFrame) -> Iterator[Part]:
    """Cut answers up: all of them, by each property, and by all three."""
    levels = first["experiment"].str.partition("-")[2]
    yield Part(ALL, ALL, ALL, first)
    for cohort, rows in first.groupby("cohort"):
        yield Part(str(cohort), ALL, ALL, rows)
    for family, rows in first.groupby("family"):
        yield Part(ALL, str(family), ALL, rows)
    for level, rows in first.groupby(levels):
        yield Part(ALL, ALL, str(level), rows)
    for keys, rows in first.groupby(["cohort", "family", levels]):
        cohort, family, level = map(str, keys)
        yield Part(cohort, family, level, rows)


def _row(metric: str, value: float, n: int, interval: tuple[float, float] = NOWHERE, parameter: str = "") -> Row:
    low, high = interval
    return {"metric": metric, "parameter": parameter, "value": value, "ci_low": low, "ci_high": high, "n": n}


def _crossed(rows: pd.DataFrame, column: str) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Values ``[readers, images]``, NaN where there is no answer, and what is known of the images."""
    wide = rows.pivot(index="reader", columns="picture", values=column).astype(float)
    known = rows.drop_duplicates("picture").set_index("picture").loc[wide.columns]
    return wide.to_numpy(), known


def _strata(images: pd.DataFrame) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Give the number of each image's cell and kind, and a row per stratum."""
    number = images.groupby(["cell", "truth"], sort=True).ngroup()
    strata = images.assign(stratum=number).drop_duplicates("stratum").sort_values("stratum")
    return number.to_numpy().astype(np.int64), strata


def _accuracy(rows: pd.DataFrame) -> CrossedMean:
    answers, images = _crossed(rows, "correct")
    return crossed_mean(answers, _strata(images)[0], groups=images["group"])


def _accuracy_rows(rows: pd.DataFrame, margin: float, statistics: Statistics) -> Iterator[Row]:
    mean = _accuracy(rows)
    yield _row("reader_accuracy", mean.value, mean.answers, accuracy_interval(mean, statistics.confidence))
    yield _row("reader_chance_p", chance_test(mean), mean.answers)
    yield _row("reader_equivalence_p", equivalence_test(mean, margin), mean.answers, parameter=f"{margin:g}")
    for reader, own in rows.groupby("reader"):
        yield _exact_row("reader_accuracy", own["correct"], str(reader), statistics.confidence)


def _exact_row(metric: str, outcomes: pd.Series, reader: str, confidence: float) -> Row:
    """Give the share of outcomes with the exact binomial interval (Clopper and Pearson 1934)."""
    low, high = proportion_confint(outcomes.sum(), len(outcomes), 1 - confidence, method="beta")
    return _row(metric, float(outcomes.mean()), len(outcomes), (float(low), float(high)), reader)


def _confidence_rows(rows: pd.DataFrame, statistics: Statistics, rng: np.random.Generator) -> Iterator[Row]:
    """ROC area from confidence, and agreement of readers."""
    scores, images = _crossed(rows, "score")
    kinds = (images["truth"] == SYNTHETIC).to_numpy(float)
    area = crossed_auroc(kinds, scores, images["group"])
    yield _row("reader_auroc", area.value, area.answers, accuracy_interval(area, statistics.confidence))
    said = np.where(np.isnan(scores), np.nan, scores > 0)
    yield _kappa_row(
        "reader_fleiss_kappa", fleiss(said, images["group"], statistics.confidence, statistics.bootstrap, rng)
    )


def _kappa_row(metric: str, found: Agreement) -> Row:
    return _row(metric, found.value, found.answers, (found.low, found.high))


def _each_auroc_rows(rows: pd.DataFrame, confidence: float) -> Iterator[Row]:
    for reader, own in rows.groupby("reader"):
        result = delong(own["truth"] == SYNTHETIC, own[["score"]].to_numpy(float).T, own["group"])
        interval = delong_interval(result, 0, confidence)
        yield _row("reader_auroc", float(result.aurocs[0]), len(own), interval, str(reader))


def _curve_rows(rows: pd.DataFrame) -> Iterator[Row]:
    kinds = {
        "reader_true_positive_rate": rows["truth"] == SYNTHETIC,
        "reader_false_positive_rate": rows["truth"] != SYNTHETIC,
    }
    for metric, chosen in kinds.items():
        own = rows.loc[chosen, "score"]
        for threshold in THRESHOLDS:
            yield _row(metric, float((own >= threshold).mean()), len(own), parameter=f"{threshold:+d}")


def _trend_rows(rows: pd.DataFrame, confidence: float) -> Sequence[Row]:
    """Fit a line through the strata's accuracies against the binary logarithm of the side."""
    answers, images = _crossed(rows, "correct")
    number, strata = _strata(images)
    doublings = pd.Series(np.log2(strata["resolution"].to_numpy(float)), strata.index)
    # Families and cohorts need not have the same levels: each is compared with itself.
    centred = doublings - doublings.groupby([strata["cohort"], strata["family"]]).transform("mean")
    away = centred.to_numpy()
    if not away.any():
        return []
    mean = crossed_mean(answers, number, away / (away**2).sum(), images["group"])
    return [
        _row("reader_trend", mean.value, mean.answers, difference_interval(mean, confidence)),
        _row("reader_trend_p", difference_test(mean), mean.answers),
    ]


def _learning_rows(rows: pd.DataFrame, confidence: float) -> Iterator[Row]:
    """Fit lines through answers against their position; readers have orders of their own, so that images are noise."""
    last = max(2, int(rows["position"].max()))
    slopes = []
    for reader, own in rows.groupby("reader"):
        if own["position"].nunique() > 1:
            slopes.append(stats.linregress((own["position"] - 1) / (last - 1), own["correct"].astype(float)).slope)
            yield _row("reader_learning", slopes[-1], len(own), parameter=str(reader))
    if slopes:
        few = len(slopes) < FEWEST_READERS or np.ptp(slopes) == 0
        found = NOWHERE if few else stats.ttest_1samp(slopes, 0).confidence_interval(confidence)
        yield _row("reader_learning", float(np.mean(slopes)), len(rows), (found[0], found[1]))


def _time_rows(rows: pd.DataFrame) -> Iterator[Row]:
    """Median times of answers; those of simulated readers are not kept, as no two runs have the same."""
    if "seconds" not in rows:
        return
    for reader, own in rows.groupby("reader"):
        yield _row("reader_seconds", float(own["seconds"].median()), len(own), parameter=str(reader))
    yield _row("reader_seconds", float(rows["seconds"].median()), len(rows))


def _profile_rows(rows: pd.DataFrame) -> Iterator[Row]:
    """Give what readers said of themselves."""
    for reader, own in rows.groupby("reader"):
        told = own.iloc[0]
        yield _row("reader_years", float(told["years"]), len(own), parameter=str(reader)) | {
            "features": str(told["profession"])
        }


def _repeat_rows(results: pd.DataFrame, statistics: Statistics, rng: np.random.Generator) -> Iterator[Row]:
    """How far readers agree with themselves."""
    said = results.pivot(index=["reader", "picture"], columns="exposure", values="synthetic")
    if 2 not in said:
        return
    pairs = said.dropna().astype(int)
    if pairs.empty:
        return
    known = results.drop_duplicates("picture").set_index("picture")[["truth", "group"]]
    again = pairs.rename(columns={1: "first", 2: "second"}).reset_index().join(known, on="picture")
    again = again.assign(same=again["first"] == again["second"], cell=0)
    answers, images = _crossed(again, "same")
    mean = crossed_mean(answers, _strata(images)[0], groups=images["group"])
    yield _row("reader_repeat_agreement", mean.value, mean.answers, accuracy_interval(mean, statistics.confidence))
    for reader, own in again.groupby("reader"):
        yield _exact_row("reader_repeat_agreement", own["same"], str(reader), statistics.confidence)
    first, second = (_crossed(again, column)[0] for column in ("first", "second"))
    found = repeat_kappa(first, second, images["group"], statistics.confidence, statistics.bootstrap, rng)
    yield _kappa_row("reader_repeat_kappa", found)
