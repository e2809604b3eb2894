"""From readers' answers to metrics, and simulated readers over HTTP."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthcohort.audit.utility import METRIC_COLUMNS
from synthcohort.core.atomic import write_json
from synthcohort.core.config import Statistics
from synthcohort.measures.auroc import auroc
from synthcohort.readers.analysis import reader_metrics
from synthcohort.readers.answers import ANSWERS, Answer, AnswerBook, answers_given
from synthcohort.readers.key import AnswerKey
from synthcohort.readers.results import people_or_simulated, read_results
from synthcohort.readers.simulate import simulate_readers
from synthcohort.readers.study import ServedStudy
from synthcohort.readers.vocabulary import ALL

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))
STATISTICS = Statistics(bootstrap=100)
answered = made_up.answered


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return answered()


@pytest.fixture(scope="module")
def metrics(results: pd.DataFrame) -> pd.DataFrame:
    return reader_metrics("toy", results, 0.1, "r0", STATISTICS, 3)


def pick(metrics: pd.DataFrame, metric: str, parameter: str = "", **keys: str) -> pd.Series:
    keys = {"cohort": ALL, "source": ALL, "level": ALL} | keys
    rows = metrics[(metrics["metric"] == metric) & (metrics["parameter"] == parameter)]
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    (row,) = rows.to_dict("records")
    return pd.Series(row)


def test_rows_are_those_of_the_metrics_table(metrics: pd.DataFrame) -> None:
    assert list(metrics.columns) == list(METRIC_COLUMNS)
    assert metrics["simulated"].all()
    assert set(metrics["experiment"]) == {"resolution", "resolution-016", "resolution-032", "resolution-064"}
    pooled = metrics[(metrics["metric"] == "reader_accuracy") & (metrics["parameter"] == "")]
    assert len(pooled) == 1 + 2 + 2 + 3 + 12  # all, cohorts, families, resolutions, and every one of their meetings
    assert (metrics.groupby(["metric", "parameter"]).size()["reader_accuracy"] == 20).all()


def test_accuracies_are_counted_from_first_exposures(results: pd.DataFrame, metrics: pd.DataFrame) -> None:
    first = results[results["exposure"] == 1]
    for keys, own in (
        ({}, first),
        ({"cohort": "head"}, first[first["cohort"] == "head"]),
        ({"source": "r3-gan"}, first[first["family"] == "r3-gan"]),
        ({"level": "032"}, first[first["resolution"] == 32]),
        ({"cohort": "head", "source": "r3-gan", "level": "064"}, first.query("cell == 11")),
    ):
        row = pick(metrics, "reader_accuracy", **keys)
        assert row["value"] == pytest.approx(own["correct"].mean())
        assert row["n"] == len(own)
        assert row["ci_low"] < row["value"] < row["ci_high"]
        one = own[own["reader"] == "reader-02"]
        row = pick(metrics, "reader_accuracy", "reader-02", **keys)
        exact = stats.binomtest(int(one["correct"].sum()), len(one)).proportion_ci(0.95, "exact")
        assert (row["value"], row["ci_low"], row["ci_high"]) == pytest.approx((one["correct"].mean(), *exact))


def test_second_exposures_change_nothing_but_repeats(results: pd.DataFrame, metrics: pd.DataFrame) -> None:
    second = results["exposure"] == 2
    spoilt = results.assign(
        correct=results["correct"].where(~second, False),
        synthetic=results["synthetic"].where(~second, 1 - results["synthetic"]),
    )
    other = reader_metrics("toy", spoilt, 0.1, "r0", STATISTICS, 3)
    repeats = metrics["metric"].str.startswith("reader_repeat")
    assert repeats.sum() == 6 + 2
    assert pick(metrics, "reader_repeat_kappa")["n"] == 6 * 8
    pd.testing.assert_frame_equal(metrics[~repeats], other[~repeats])
    ours, theirs = (pick(table, "reader_repeat_agreement")["value"] for table in (metrics, other))
    assert ours == pytest.approx(1 - theirs)


def test_pooled_intervals_are_wider_than_those_of_independent_answers(metrics: pd.DataFrame) -> None:
    row = pick(metrics, "reader_accuracy")
    exact = stats.binomtest(round(row["value"] * row["n"]), int(row["n"])).proportion_ci(0.95, "exact")
    assert row["ci_high"] - row["ci_low"] > 1.3 * (exact.high - exact.low)


def test_chance_is_told_from_ability(metrics: pd.DataFrame) -> None:
    assert pick(metrics, "reader_chance_p", level="064")["value"] < 0.001
    assert pick(metrics, "reader_equivalence_p", "0.1", level="064")["value"] > 0.9
    guessed = reader_metrics("toy", answered(accuracies=(0.5,), readers=12, images=40), 0.1, "r0", STATISTICS, 3)
    assert pick(guessed, "reader_chance_p")["value"] > 0.05
    assert pick(guessed, "reader_equivalence_p", "0.1")["value"] < 0.05
    # Not better than chance, and no evidence for it: 3 readers of 4 images.
    few = reader_metrics("toy", answered(accuracies=(0.5,), readers=3, images=2), 0.1, "r0", STATISTICS, 3)
    assert pick(few, "reader_chance_p")["value"] > 0.05
    assert pick(few, "reader_equivalence_p", "0.1")["value"] > 0.05


def test_trend_is_the_slope_over_doublings(results: pd.DataFrame, metrics: pd.DataFrame) -> None:
    first = results[results["exposure"] == 1]
    levels = first.groupby("resolution")["correct"].mean()
    row = pick(metrics, "reader_trend")
    assert row["value"] == pytest.approx(np.polyfit([4, 5, 6], levels, 1)[0])
    assert row["ci_low"] < 0.15 < row["ci_high"]  # 0.5, 0.6, 0.8
    assert pick(metrics, "reader_trend_p")["value"] < 0.001
    assert len(metrics[metrics["metric"] == "reader_trend"]) == 1 + 2 + 2
    flat = reader_metrics("toy", answered(accuracies=(0.7,)), 0.1, "r0", STATISTICS, 3)
    assert not flat["metric"].str.startswith("reader_trend").any()


def test_trend_compares_each_cohort_with_itself(results: pd.DataFrame) -> None:
    # The head cohort lacks its lowest level and is easier: between cohorts accuracy rises, within none does.
    chosen = results[(results["cohort"] == "chest") & (results["resolution"] < 64) | (results["resolution"] == 64)]
    chosen = chosen[(chosen["cohort"] == "head") | (chosen["resolution"] < 64)]
    metrics = reader_metrics("toy", chosen.assign(correct=chosen["cohort"] == "head"), 0.1, "r0", STATISTICS, 3)
    assert pick(metrics, "reader_trend")["value"] == pytest.approx(0)


def test_areas_under_the_curve_and_its_points(results: pd.DataFrame, metrics: pd.DataFrame) -> None:
    first = results[results["exposure"] == 1]
    own = {name: auroc(part["truth"] == "synthetic", part["score"]) for name, part in first.groupby("reader")}
    assert pick(metrics, "reader_auroc")["value"] == pytest.approx(np.mean(list(own.values())))
    row = pick(metrics, "reader_auroc", "reader-03")
    assert row["value"] == pytest.approx(own["reader-03"])
    assert row["ci_low"] < row["value"] < row["ci_high"]
    made = first[first["truth"] == "synthetic"]
    for threshold in (-4, 1, 5):
        rate = pick(metrics, "reader_true_positive_rate", f"{threshold:+d}")["value"]
        assert rate == pytest.approx((made["score"] >= threshold).mean())
    assert pick(metrics, "reader_true_positive_rate", "+1")["value"] == pytest.approx(made["correct"].mean())


def test_learning_is_found_where_it_is_planted(results: pd.DataFrame, metrics: pd.DataFrame) -> None:
    row = pick(metrics, "reader_learning")
    assert row["ci_low"] < 0 < row["ci_high"]
    later = results["position"] > results["position"].max() / 2
    learnt = reader_metrics("toy", results.assign(correct=results["correct"] | later), 0.1, "r0", STATISTICS, 3)
    assert pick(learnt, "reader_learning")["ci_low"] > 0.2
    assert pick(metrics, "reader_seconds")["value"] == 7.5
    assert pick(metrics, "reader_seconds", "reader-02")["value"] == 6


def test_agreement_within_and_between_readers(results: pd.DataFrame) -> None:
    alike = results.assign(synthetic=(results["picture"] % 2), score=np.where(results["picture"] % 2, 3, -3))
    metrics = reader_metrics("toy", alike, 0.1, "r0", STATISTICS, 3)
    assert pick(metrics, "reader_fleiss_kappa")["value"] == pytest.approx(1)
    assert pick(metrics, "reader_repeat_agreement")["value"] == 1
    assert pick(metrics, "reader_repeat_kappa")["value"] == 1
    assert pick(metrics, "reader_repeat_agreement")["ci_low"] < 0.95
    none = reader_metrics("toy", results[results["exposure"] == 1], 0.1, "r0", STATISTICS, 3)
    assert not none["metric"].str.startswith("reader_repeat").any()


def test_unfinished_studies_are_analysed(results: pd.DataFrame) -> None:
    begun = results[results["position"] <= 30 * results["reader"].str[-1].astype(int)]
    metrics = reader_metrics("toy", begun, 0.1, "r0", STATISTICS, 3)
    row = pick(metrics, "reader_accuracy")
    assert row["ci_low"] < row["value"] < row["ci_high"]
    one = reader_metrics("toy", results[results["reader"] == "reader-01"], 0.1, "r0", STATISTICS, 3)
    assert np.isnan(pick(one, "reader_accuracy")["ci_low"])
    assert not np.isnan(pick(one, "reader_accuracy", "reader-01")["ci_low"])
    five = reader_metrics("toy", results[results["position"] <= 5], 0.1, "r0", STATISTICS, 3)
    assert pick(five, "reader_accuracy", "reader-01")["n"] == 5
    assert reader_metrics("toy", pd.DataFrame(), 0.1, "r0", STATISTICS, 3).empty


def test_the_same_answers_give_the_same_bytes(results: pd.DataFrame, metrics: pd.DataFrame) -> None:
    shuffled = results.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(reader_metrics("toy", shuffled, 0.1, "r0", STATISTICS, 3), metrics)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = made_up.built(tmp_path_factory.mktemp("simulated"), count=3, images=4, training=2)
    return folder, simulate_readers("toy", 5, folder.parent, folder.parents[1] / "private")


def test_simulated_readers_answer_everything_and_leave_the_study_alone(studied: tuple[Path, pd.DataFrame]) -> None:
    folder, results = studied
    assert results["simulated"].all()
    assert results.groupby("reader").size().to_dict() == {f"simulated-0{number}": 34 for number in (1, 2, 3)}
    assert results.groupby(["reader", "picture"]).size().value_counts().to_dict() == {1: 3 * 30, 2: 3 * 2}
    assert (results.groupby("picture")["truth"].nunique() == 1).all()
    assert not (folder / ANSWERS).exists()
    assert "seconds" not in results
    metrics = reader_metrics("toy", results, 0.1, "r0", STATISTICS, 3)
    assert pick(metrics, "reader_accuracy")["value"] == pytest.approx(0.55, abs=0.15)
    assert not metrics["metric"].eq("reader_seconds").any()


def test_simulated_readers_are_the_same_again(studied: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    """Also for another build, whose pictures have other numbers as its secret is another."""
    folder, results = studied
    again = simulate_readers("toy", 5, folder.parent, folder.parents[1] / "private")
    pd.testing.assert_frame_equal(again, results)
    other = made_up.built(tmp_path, count=3, images=4, training=2)
    assert ServedStudy.read(other).packs != ServedStudy.read(folder).packs
    again = simulate_readers("toy", 5, other.parent, tmp_path / "private")
    pd.testing.assert_frame_equal(again, results)


def test_answers_of_simulated_readers_are_no_answer_key(studied: tuple[Path, pd.DataFrame]) -> None:
    """Neither a picture's number nor a place in a person's order says what a served image is."""
    folder, results = studied
    key = AnswerKey(folder.parents[1] / "private", "toy", ServedStudy.read(folder).digest).open()
    truths = key[key["block"] == "reading"].set_index("picture")["truth"]
    guesses = results.drop_duplicates("picture").set_index("picture")["truth"]
    assert 0.1 < (truths == guesses.reindex(truths.index)).mean() < 0.9
    by_place = results.pivot(index="position", columns="reader", values="truth")
    for reader in ServedStudy.read(folder).readers:
        own = truths.loc[reader.reading].to_numpy()
        assert all(0.1 < (by_place[name] == own).mean() < 0.9 for name in by_place)
    assert "image_id" not in results


def test_people_replace_simulated_readers(tmp_path: Path, studied: tuple[Path, pd.DataFrame]) -> None:
    simulated = studied[1]
    folder = made_up.built(tmp_path)
    home, private, told = folder.parent, tmp_path / "private", tmp_path / "study.json"
    assert answers_given(told, home) == 0
    write_json(told, {"id": "toy"})
    assert answers_given(told, home) == 0
    assert people_or_simulated("toy", simulated, home, private) is simulated
    assert people_or_simulated("toy", None, home, private).empty
    book = AnswerBook(folder / ANSWERS)
    study = ServedStudy.read(folder)
    for number, (name, profession) in enumerate([("reader-01", "simulated"), ("reader-02", "radiologist")], start=1):
        book.save_profile(name, profession, 3)
        book.save_answer(_answer(study, name))
        assert answers_given(told, home) == number
        if number == 1:  # a program that used a reader's link is not a person
            assert people_or_simulated("toy", simulated, home, private) is simulated
    book.close()
    people = people_or_simulated("toy", simulated, home, private)
    assert people["reader"].tolist() == ["reader-02"]
    assert len(read_results("toy", home, private)) == 2
    assert not reader_metrics("toy", people, 0.1, "r0", STATISTICS, 3)["simulated"].any()


def _answer(study: Any, reader: str) -> Answer:
    return Answer(reader, "reading", 1, study.reader(reader).reading[0], True, 4, "0" * 32)
