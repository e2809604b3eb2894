"""Figures, words and table of the reader study, from metrics alone."""

import re
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from synthcohort.audit.utility import METRIC_COLUMNS, combine_metrics
from synthcohort.core.config import Statistics
from synthcohort.figures.claims import claims
from synthcohort.figures.readers import (
    MACHINE,
    READER_FIGURES,
    READERS,
    SIMULATED_NOTE,
    draw_reader_figure,
    draw_roc_figure,
    reader_table,
    reader_words,
    roc_words,
)
from synthcohort.figures.report.builder import build_report
from synthcohort.figures.report.inputs import CohortInputs, ReportInputs
from synthcohort.figures.report.readers import (
    APART,
    AS_CHANCE,
    COLUMNS,
    EACH_COLUMNS,
    OPEN,
    REVERSED,
    WITHIN,
    outcome,
    reader_section,
)
from synthcohort.readers.analysis import reader_metrics, study_metrics
from synthcohort.readers.vocabulary import ALL, THRESHOLDS

study = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_study.py")))
made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    return made_up.reader_rows()


def with_values(metrics: pd.DataFrame, **values: float) -> pd.DataFrame:
    """The row of all answers, of some metrics, with other values."""
    changed = metrics.copy()
    whole = (changed[["cohort", "source", "level"]] == ALL).all(axis=1)
    for metric, value in values.items():
        rows = whole & (changed["metric"] == metric)
        if metric == "reader_accuracy":
            rows &= changed["parameter"] == ""
        assert rows.sum() == 1
        changed.loc[rows, "value"] = value
    return changed


def test_figure_shows_every_reader_all_together_and_the_machine(metrics: pd.DataFrame, tmp_path: Path) -> None:
    table = draw_reader_figure(metrics, tmp_path / "accuracy")
    cells = 2 * 2 * 2
    assert table.groupby("reader").size().to_dict() == {
        READERS: cells, MACHINE: cells, **{f"reader-0{number}": cells for number in range(1, 5)},
    }  # fmt: skip
    assert ALL not in set(table["cohort"]) | set(table["family"]) | set(table["level"])
    one = table.query("cohort == 'head' and family == 'r3-gan' and level == '032' and reader == 'all readers'").iloc[0]
    row = metrics.query("cohort == 'head' and source == 'r3-gan' and level == '032' and metric == 'reader_accuracy'")
    assert one["value"] == row.loc[row["parameter"] == "", "value"].iloc[0]
    assert (table["margin"] == 0.1).all()
    for kind in ("pdf", "svg", "png"):
        assert (tmp_path / f"accuracy.{kind}").stat().st_size > 1000
    again = pd.read_csv(tmp_path / "accuracy.csv", dtype={"level": str})
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    picture = (tmp_path / "accuracy.svg").read_text()
    draw_reader_figure(metrics, tmp_path / "again")
    assert (tmp_path / "again.svg").read_text() == picture


def test_figure_needs_no_machine(metrics: pd.DataFrame, tmp_path: Path) -> None:
    without = metrics[metrics["metric"] != "machine_accuracy"]
    assert MACHINE not in set(draw_reader_figure(without, tmp_path / "accuracy")["reader"])
    assert "Hollow" not in reader_words(without, 0.95).caption
    assert "Hollow" in reader_words(metrics, 0.95).caption


def test_curve_has_a_point_per_threshold(metrics: pd.DataFrame, tmp_path: Path) -> None:
    table = draw_roc_figure(metrics, tmp_path / "roc")
    assert table["threshold"].tolist() == list(THRESHOLDS)
    for name in ("false_positive_rate", "true_positive_rate"):
        assert (np.diff(table[name]) <= 0).all()
    assert (table["true_positive_rate"] > table["false_positive_rate"]).mean() > 0.7
    assert table["n"].unique().tolist() == [metrics.query("metric == 'reader_accuracy'")["n"].max()]


def test_nobody_is_said_to_have_answered(tmp_path: Path) -> None:
    nothing = pd.DataFrame(columns=list(METRIC_COLUMNS))
    for draw in (draw_reader_figure, draw_roc_figure):
        assert draw(nothing, tmp_path / "none").empty
        assert (tmp_path / "none.svg").is_file()
    assert reader_section(nothing, 0.95) is None
    assert "Nobody has answered" in reader_words(nothing, 0.95).caption
    assert "Nobody has answered" in roc_words(nothing, 0.95).caption


def told(metrics: pd.DataFrame) -> list[str]:
    """Whatever names the readers."""
    section = reader_section(metrics, 0.95)
    assert section is not None
    captions = [figure.words(metrics, 0.95).caption for figure in READER_FIGURES.values()]
    return [section.sentences[0], section.table.caption, *captions]


def with_people(metrics: pd.DataFrame) -> pd.DataFrame:
    """The same answers, by people."""
    return metrics.assign(simulated=metrics["simulated"] & ~metrics["metric"].str.startswith("reader_"))


def test_simulated_readers_are_called_so_everywhere(metrics: pd.DataFrame, tmp_path: Path) -> None:
    assert all("imulated readers" in text for text in told(metrics))
    assert reader_section(metrics, 0.95).simulated == SIMULATED_NOTE
    draw_reader_figure(metrics, tmp_path / "simulated")
    people = with_people(metrics)
    draw_reader_figure(people, tmp_path / "people")
    assert (tmp_path / "people.svg").read_text() != (tmp_path / "simulated.svg").read_text()  # the legend
    assert not any("imulated readers" in text for text in told(people))
    assert reader_section(people, 0.95).simulated == ""
    assert reader_table(people).groupby("reader")["simulated"].all().to_dict()[MACHINE]  # the patients still are


def test_claim_about_readers_is_decided_by_people_alone(metrics: pd.DataFrame) -> None:
    def outcomes(metrics: pd.DataFrame) -> list[str]:
        found = claims(metrics)
        return found.loc[found["claim"] == "readers get better with resolution", "outcome"].tolist()

    assert outcomes(metrics) == ["not testable: the readers are simulated"] * 4
    people = with_people(metrics)
    people.loc[people["metric"] == "reader_accuracy", ["ci_low", "ci_high"]] = 0.45, 0.55
    assert outcomes(people) == ["does not show"] * 4
    high = (people["metric"] == "reader_accuracy") & (people["level"] == "032") & (people["parameter"] == "")
    people.loc[high, ["ci_low", "ci_high"]] = 0.7, 0.9
    assert outcomes(people) == ["shows"] * 4


def test_report_has_a_section_and_is_else_the_same(metrics: pd.DataFrame, tmp_path: Path) -> None:
    real = study.store(tmp_path / "store")
    parts = (study.index(), real.records, study.split(real.records), study.experiments("head-phantom"))
    inputs = ReportInputs(study.study(), study.metrics(), [CohortInputs(real.info, *parts)], {})
    without = build_report(inputs)
    assert 'id="readers"' not in without
    figures = {name: tmp_path / f"readers-{name}" for name in READER_FIGURES}
    for name, stem in figures.items():
        READER_FIGURES[name].draw(metrics, stem)
    own = metrics[metrics["metric"].str.startswith("reader_")]
    told = replace(inputs, metrics=pd.concat([inputs.metrics, own]), reader_figures=figures)
    for page in (build_report(told), build_report(replace(told, internal=False))):
        section = re.search(r'<section id="readers".*?</section>\n', page, re.DOTALL)[0]
        assert section.count("<figure>") == 2
        assert "<strong>Simulated readers.</strong>" in section
        assert "4 simulated readers told real from synthetic images" in section
    page = build_report(told).replace('<li><a href="#readers">Readers</a></li>\n', "")
    page = re.sub(r'<section id="readers".*?</section>\n\n', "", page, flags=re.DOTALL)
    differing = [line for line in page.splitlines() if line not in without.splitlines()]
    assert all("readers get better with resolution" in line for line in differing)


@pytest.mark.parametrize(
    ("accuracy", "chance", "equivalence", "said"),
    [
        (0.8, 0.001, 0.9, APART),
        (0.2, 0.001, 0.9, REVERSED),
        (0.5, 0.8, 0.01, AS_CHANCE),
        (0.55, 0.3, 0.2, OPEN),
        (0.54, 0.01, 0.01, APART + WITHIN),
        (0.7, np.nan, np.nan, OPEN),
    ],
)
def test_not_better_than_chance_needs_evidence(
    metrics: pd.DataFrame, accuracy: float, chance: float, equivalence: float, said: str
) -> None:
    values = {"reader_accuracy": accuracy, "reader_chance_p": chance, "reader_equivalence_p": equivalence}
    changed = with_values(metrics, **values)
    assert outcome(changed, 0.05) == said
    section = reader_section(changed, 0.95)
    assert section is not None
    assert section.sentences[0].endswith(f": {said}.")


def test_table_has_a_row_per_part(metrics: pd.DataFrame) -> None:
    section = reader_section(metrics, 0.95)
    assert section is not None
    assert section.table.columns == COLUMNS
    assert {len(row) for row in section.table.rows} == {len(COLUMNS)}
    names = [row[0] for row in section.table.rows]
    assert names[0] == "all"
    assert {"head", "r3-gan", "32²", "head, r3-gan, 32²"} <= set(names)
    assert len(names) == len(set(names)) == 1 + 2 + 2 + 2 + 8
    assert len(section.sentences) == 1 + 4


def test_one_reader_has_no_interval_but_a_value() -> None:
    section = reader_section(made_up.reader_rows(readers=1), 0.95)
    assert section is not None
    assert section.sentences[0].startswith("1 simulated reader told")
    assert section.table.rows[0][4:6] == ["–", "–"]
    assert section.table.rows[0][1] == OPEN
    assert " to " not in section.table.rows[0][2]


def test_machine_stands_beside_the_parts_that_it_was_measured_for(metrics: pd.DataFrame) -> None:
    section = reader_section(metrics, 0.95)
    assert section is not None
    shown = {row[0]: row[COLUMNS.index("Machine")] for row in section.table.rows}
    assert shown["head, r3-gan, 32²"] == "0.90 (0.85 to 0.95)"
    assert shown["all"] == shown["head"] == "–"


def test_table_has_a_row_per_reader(metrics: pd.DataFrame) -> None:
    section = reader_section(metrics, 0.95)
    assert section is not None
    assert section.each.columns == EACH_COLUMNS
    assert [row[0] for row in section.each.rows] == [f"reader-0{number}" for number in range(1, 5)]
    third = dict(zip(EACH_COLUMNS, section.each.rows[2], strict=True))
    whole = metrics[(metrics[["cohort", "source", "level"]] == ALL).all(axis=1) & (metrics["parameter"] == "reader-03")]
    values = whole.set_index("metric")
    for name, column in (("reader_accuracy", "Accuracy"), ("reader_auroc", "AUROC")):
        low, high = values.loc[name, ["ci_low", "ci_high"]]
        assert third[column] == f"{values.at[name, 'value']:.2f} ({low:.2f} to {high:.2f})"
    assert third["Repeated"].startswith(f"{values.at['reader_repeat_agreement', 'value']:.2f} (")
    assert [third[column] for column in ("Profession", "Years", "Seconds")] == ["Radiologist", "2", "7"]
    assert third["n"] == str(values.at["reader_accuracy", "n"])
    unknown = metrics.assign(features=metrics["features"].replace("radiologist", "simulated"))
    assert {tuple(row[1:3]) for row in reader_section(unknown, 0.95).each.rows} == {("simulated", "–")}


def test_report_names_the_reader_study_and_others_with_answers(metrics: pd.DataFrame) -> None:
    named = combine_metrics([metrics, study_metrics("toy", "toy-2", {"toy": 41, "toy-2": 96}, "r0")])
    section = reader_section(named, 0.95)
    assert section is not None
    assert section.sentences[0].startswith("Reader study toy-2: 4 simulated readers told")
    assert section.sentences[-1].startswith("Reader study toy holds 41 answers about another selection")
    for answers, simulated in ((96, [False, False]), (0, [True, False])):
        rows = study_metrics("toy", "toy-2", {"toy": 41, "toy-2": answers}, "r0")
        assert rows["simulated"].tolist() == simulated, "programs answer where nobody has"


@pytest.mark.parametrize("answers", [1, 3, 10])
def test_few_answers_of_one_person_are_shown_as_a_persons(answers: int, tmp_path: Path) -> None:
    given = made_up.answered(1, images=4, accuracies=(0.5, 0.8), repeated=4).query("position <= @answers")
    metrics = reader_metrics("toy", given.assign(simulated=False), 0.1, "r0", Statistics(bootstrap=20), 3)
    section = reader_section(metrics, 0.95)
    assert section is not None
    assert section.sentences[0].startswith("1 reader told real from synthetic images")
    assert section.simulated == ""
    assert section.each.rows[0][3] == str(answers)
    texts = [*told(metrics), *section.sentences, section.note, section.each.caption, section.each_note]
    assert not any("imulated reader" in text for text in texts)
    assert not reader_table(metrics)["simulated"].any()
    if answers == 1:  # of one kind alone
        for name, figure in READER_FIGURES.items():
            assert not figure.draw(metrics, tmp_path / name)["simulated"].any()
