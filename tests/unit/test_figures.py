"""Figures, tables, galleries and the report's content, on a fabricated study."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthcohort.audit.gallery import make_cohort_sheet, make_gallery
from synthcohort.core.atomic import write_arrays
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.figures import captions
from synthcohort.figures.axes import draw_axis_figure
from synthcohort.figures.bars import averaged_findings, draw_finding_figure, finding_table
from synthcohort.figures.gallery import contact_sheet, draw_gallery_figure
from synthcohort.figures.numbers import select, summarise
from synthcohort.figures.report import CohortInputs, ReportInputs, build_report, read_benchmarks
from synthcohort.figures.report.answer import answers, lead_sentence
from synthcohort.figures.report.facts import cost_table
from synthcohort.figures.report.sections import cohort_table, config_text, duration, limits, rejection_table
from synthcohort.figures.style import SUFFIXES
from synthcohort.figures.tables import write_tables

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_study.py")))
HEAD_32 = ("head-phantom", "resolution-032")


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    return made_up.metrics()


def set_auroc(metrics: pd.DataFrame, source: str, value: float, low: float, high: float) -> pd.DataFrame:
    """The same metrics with one mean AUROC of the head at 32² replaced."""
    changed = metrics.copy()
    keys = (changed["cohort"] == HEAD_32[0]) & (changed["experiment"] == HEAD_32[1]) & (changed["source"] == source)
    here = keys & (changed["metric"] == "auroc") & (changed["finding"] == "mean")
    assert here.sum() == 1
    changed.loc[here, ["value", "ci_low", "ci_high"]] = [value, low, high]
    return changed


# Numbers


def test_one_replicate_is_taken_as_it_is(metrics: pd.DataFrame) -> None:
    rows = select(metrics, "auroc", ["mean"])
    assert len(rows) == 2 * 8 * 4
    assert set(rows["replicates"]) == {1}
    first = rows.iloc[0]
    keys = ["cohort", "experiment", "source", "metric", "finding"]
    original = metrics.loc[(metrics[keys] == first[keys]).all(axis=1)].iloc[0]
    assert (first["value"], first["ci_low"], first["ci_high"]) == tuple(original[["value", "ci_low", "ci_high"]])


def test_several_replicates_give_mean_and_widest_interval() -> None:
    table = made_up.metrics(("real",), replicates=2)
    two = table[(table["metric"] == "auroc") & (table["finding"] == "mean") & (table["cohort"] == "head-phantom")].head(
        2
    )
    table.loc[two.index, ["value", "ci_low", "ci_high"]] = [[0.8, 0.7, 0.85], [0.9, 0.75, 0.95]]
    row = select(table, "auroc", ["mean"]).query("cohort == 'head-phantom' and experiment == 'resolution-016'")
    assert row[["value", "ci_low", "ci_high", "replicates"]].to_numpy().tolist() == [
        [pytest.approx(0.85), 0.7, 0.95, 2]
    ]


def test_a_pooled_row_goes_before_the_replicates() -> None:
    table = made_up.metrics(("real",), replicates=2)
    pooled = table[table["replicate"] == "r0"].assign(replicate="all", value=0.75, ci_low=0.7, ci_high=0.8)
    rows = select(pd.concat([table, pooled]), "auroc", ["mean"])
    assert set(rows["value"]) == {0.75}
    assert set(rows["replicates"]) == {2}


def test_figures_show_each_replicate_beside_the_pooled_mark(tmp_path: Path) -> None:
    several = made_up.metrics(replicates=3)
    rows = several.query("cohort == 'head-phantom' and experiment == 'resolution-032' and source == 'r3-gan'")
    measured = rows.query("metric == 'auroc' and finding == 'mean'").set_index("replicate")["value"]
    drawn = draw_axis_figure(several, "resolution", tmp_path / "axis")
    here = drawn.query("cohort == 'head-phantom' and level == '032' and source == 'r3-gan' and finding == 'mean'")
    by_replicate = here.set_index("replicate")
    assert by_replicate["value"].drop("all").to_dict() == measured.to_dict()
    assert by_replicate.loc["all", "value"] == pytest.approx(measured.mean())
    assert by_replicate["ci_low"].notna().to_dict() == {"all": True, "r0": False, "r1": False, "r2": False}
    bars = draw_finding_figure(several, "resolution-032", tmp_path / "bars", {}, {})
    mean = bars.query("cohort == 'head-phantom' and source == 'r3-gan' and finding == 'mean'").set_index("replicate")
    assert mean["value"].to_dict() == pytest.approx(by_replicate["value"].to_dict())
    one = draw_axis_figure(made_up.metrics(replicates=1), "resolution", tmp_path / "one")
    assert set(one["replicate"]) == {"all"}


def test_controls_are_not_values(metrics: pd.DataFrame) -> None:
    control = metrics.assign(role="negative_control", value=0.0)
    pd.testing.assert_frame_equal(select(pd.concat([metrics, control]), "auroc"), select(metrics, "auroc"))


def test_summary_puts_real_first_and_levels_ascending(metrics: pd.DataFrame) -> None:
    rows = summarise(metrics).query("cohort == 'head-phantom' and axis == 'samples'")
    assert rows["position"].is_monotonic_increasing
    assert rows["source"].tolist()[:4] == ["real", "r3-gan", "cpd-gan", "prog-gan"]
    assert rows.query("source == 'real'")["utility_gap"].isna().all()
    assert set(rows.query("source == 'prog-gan'")["verdict"]) == {"not trained long enough"}


# Figures


def test_axis_figure_has_four_files_that_hold_what_is_drawn(metrics: pd.DataFrame, tmp_path: Path) -> None:
    draw_axis_figure(metrics, "classes", tmp_path / "classes")
    assert {path.name for path in tmp_path.iterdir()} == {f"classes{suffix}" for suffix in SUFFIXES}
    drawn = pd.read_csv(tmp_path / "classes.csv", dtype={"level": str})
    expected = metrics.query("axis == 'classes' and metric == 'auroc' and finding in ['mean', 'mean_common']")
    keys = ["cohort", "level", "source", "finding"]
    joined = drawn.merge(expected, on=keys, suffixes=("", "_metrics"))
    assert len(drawn) == len(expected) == len(joined)
    for column in ("value", "ci_low", "ci_high", "n"):
        assert joined[column].equals(joined[f"{column}_metrics"])
    with Image.open(tmp_path / "classes.png") as picture:
        assert picture.width == pytest.approx(180 / 25.4 * 300, abs=1)  # two columns: 180 mm
        assert np.asarray(picture.convert("L")).std() > 5


def test_one_cohort_takes_one_column_and_equal_means_one_row(metrics: pd.DataFrame, tmp_path: Path) -> None:
    head = metrics[(metrics["cohort"] == "head-phantom") & (metrics["finding"] != "mean_common")]
    common = head[head["finding"] == "mean"].assign(finding="mean_common")
    table = draw_axis_figure(pd.concat([head, common]), "resolution", tmp_path / "one")
    assert set(table["finding"]) == {"mean"}
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width == pytest.approx(88 / 25.4 * 300, abs=1)


def test_figures_are_the_same_bytes_again_and_carry_no_date(metrics: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_axis_figure(metrics, "resolution", tmp_path / name / "figure")
    for suffix in SUFFIXES:
        first, second = ((tmp_path / name / f"figure{suffix}").read_bytes() for name in ("a", "b"))
        assert first == second, suffix
        assert b"CreationDate" not in first
        assert b"dc:date" not in first


def test_level_that_is_not_there_is_named(metrics: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'amount'.*classes, resolution, samples"):
        draw_axis_figure(metrics, "amount", tmp_path / "figure")
    with pytest.raises(UserError, match=r"'resolution-064'.*resolution-032"):
        draw_finding_figure(metrics, "resolution-064", tmp_path / "figure")


def test_finding_figure_orders_by_real_and_marks_what_is_not_averaged(metrics: pd.DataFrame, tmp_path: Path) -> None:
    tables = {cohort: made_up.experiments(cohort) for cohort in made_up.COHORTS}
    averaged = averaged_findings(tables, "resolution-032")
    assert "fracture" not in averaged["chest-phantom"]
    table = draw_finding_figure(metrics, "resolution-032", tmp_path / "findings", averaged)
    assert table.loc[~table["averaged"], "finding"].unique().tolist() == ["fracture"]
    real = table.query("cohort == 'chest-phantom' and source == 'real'")
    assert real["finding"].iloc[0] == "mean"
    assert real["value"].iloc[1:].is_monotonic_decreasing
    drawn = pd.read_csv(tmp_path / "findings.csv")
    assert drawn["value"].tolist() == table["value"].tolist()


def test_rows_over_all_cohorts_have_no_panel(metrics: pd.DataFrame, tmp_path: Path) -> None:
    """Those of readers are of a level and of all cohorts together."""
    pooled = metrics[metrics["experiment"] == "resolution-032"].head(1).assign(cohort="all", metric="reader_accuracy")
    draw_finding_figure(pd.concat([metrics, pooled]), "resolution-032", tmp_path / "findings")
    titles = re.findall(r"<!-- (all|[a-z]+-phantom) -->", (tmp_path / "findings.svg").read_text())
    assert titles == ["chest-phantom", "head-phantom"]


def test_finding_without_auroc_is_left_out(metrics: pd.DataFrame, tmp_path: Path) -> None:
    single = metrics.copy()
    single.loc[single["finding"] == "edema", ["value", "ci_low", "ci_high"]] = np.nan
    table = finding_table(single, "resolution-032", {})
    assert "edema" not in set(table["finding"])
    assert "cardiomegaly" in set(table["finding"])


def test_figures_and_report_say_so_when_test_patients_are_too_few(metrics: pd.DataFrame, tmp_path: Path) -> None:
    empty = metrics.assign(value=np.nan, ci_low=np.nan, ci_high=np.nan)
    assert set(draw_axis_figure(empty, "resolution", tmp_path / "resolution")["verdict"]) == {"too few test patients"}
    assert draw_finding_figure(empty, "resolution-032", tmp_path / "findings").empty
    assert "too few test patients" in " ".join(path.read_text() for path in write_tables(empty, tmp_path))
    page = build_report(
        report_inputs(
            empty,
            tmp_path,
            axis_figures={"resolution": tmp_path / "resolution"},
            finding_figures={"resolution-032": tmp_path / "findings"},
        )
    )
    assert "There are too few test patients to say" in page
    assert not re.search(r"\bnan\b", re.sub('src="[^"]*"', "", page))


# Galleries


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = tmp_path_factory.mktemp("stores")
    return made_up.store(folder / "real", seed=0), made_up.store(folder / "synthetic", count=120, seed=5)


def test_gallery_shows_equal_labels_and_frequent_combinations_first(stores: tuple) -> None:
    real, synthetic = stores
    rows = np.arange(0, 300, 2)
    selection = pd.DataFrame({"row": rows, "patient_id": real.records["patient_id"].to_numpy()[rows]})
    gallery = make_gallery(real, selection, synthetic, seed=1, combinations=3, per_combination=4)
    assert gallery["real"].shape == gallery["synthetic"].shape == (12, 1, 32, 32)
    assert gallery["combinations"].tolist()[:4] == ["No finding"] * 4  # a third of the images
    own = {image.tobytes(): row for row, image in enumerate(real.images)}
    made = {image.tobytes(): row for row, image in enumerate(synthetic.images)}
    patients = []
    for place in range(12):
        row, other = own[gallery["real"][place].tobytes()], made[gallery["synthetic"][place].tobytes()]
        assert row in rows
        assert real.labels[row].tolist() == synthetic.labels[other].tolist() == gallery["labels"][place].tolist()
        patients.append(real.records["patient_id"][row])
    assert len(set(patients[:4])) == 4
    again = make_gallery(real, selection, synthetic, seed=1, combinations=3, per_combination=4)
    assert all(np.array_equal(gallery[name], again[name]) for name in gallery)


def test_gallery_file_is_reproducible_without_pickle_and_drawn_without_identifiers(
    stores: tuple, tmp_path: Path
) -> None:
    real, synthetic = stores
    selection = pd.DataFrame({"row": np.arange(300), "patient_id": real.records["patient_id"]})
    gallery = make_gallery(real, selection, synthetic, seed=1, combinations=2, per_combination=2)
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, gallery)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"real", "synthetic", "labels", "findings", "combinations"}
    table = draw_gallery_figure(tmp_path / "a.npz", tmp_path / "gallery", simulated=True)
    assert table.columns.tolist() == ["row", "column", "side", "combination", "simulated"]
    assert len(table) == 8
    svg = (tmp_path / "gallery.svg").read_text()
    assert "pseudonym" not in svg
    assert "image-0" not in svg


def test_gallery_refuses_other_findings(stores: tuple, tmp_path: Path) -> None:
    real, _ = stores
    chest = made_up.store(tmp_path / "chest", "chest-phantom", count=30)
    selection = pd.DataFrame({"row": [0], "patient_id": ["x"]})
    with pytest.raises(UserError, match="other findings"):
        make_gallery(real, selection, chest, seed=1)


def test_cohort_sheet_shows_normal_first_and_findings_as_pure_as_can_be(stores: tuple) -> None:
    real, _ = stores
    sheet = make_cohort_sheet(real, np.arange(300), seed=1, per_finding=2)
    names = ["Epidural", "Intraparenchymal haemorrhage", "Subarachnoid", "Subdural"]
    assert sheet["titles"].tolist() == [name for name in ["Normal", *names] for _ in range(2)]
    both = np.flatnonzero(real.records[["epidural", "subdural"]].all(axis=1))
    mixed = make_cohort_sheet(real, both, seed=1, per_finding=1)
    assert mixed["titles"].tolist() == ["Epidural\n+ Subdural", "Subdural\n+ Epidural"]


def test_contact_sheet_places_images_where_they_belong(tmp_path: Path) -> None:
    images = np.stack([np.full((8, 8), value, np.uint8) for value in (0, 100, 200)])
    contact_sheet(images, ["a", "b", "c"], columns=2, width=2.0).savefig(tmp_path / "sheet.png", dpi=100)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    middle = pixels.shape[0] // 4 + 5
    assert pixels[middle, 40] == 0
    assert pixels[middle, 160] == 100
    assert pixels[-40, 40] == 200
    assert pixels[-40, 160] == 255


def test_figures_need_no_torch() -> None:
    code = "import sys, synthcohort.figures.report, synthcohort.audit.gallery; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Captions and answers


def test_caption_says_what_the_interval_is_over(metrics: pd.DataFrame) -> None:
    one = captions.axis_words(metrics, "resolution", 0.95)
    assert "95% bootstrap intervals over test patients only: with a single replicate" in one.caption
    assert "n = 118 test patients." in one.caption
    assert "All patients are simulated." in one.caption
    assert "not trained long enough, the interval reaches chance (prog-gan)" in one.caption
    several = captions.axis_words(made_up.metrics(replicates=3), "resolution", 0.9)
    assert "means of 3 replicates" in several.caption
    assert "90% bootstrap intervals" in several.caption
    assert "simulated" not in captions.axis_words(made_up.metrics(simulated=False), "resolution", 0.95).caption


def test_answer_is_at_the_highest_resolution_and_in_words(metrics: pd.DataFrame) -> None:
    found = {(item.cohort, item.source): item for item in answers(metrics, Statistics())}
    assert len(found) == 6
    row = (
        summarise(metrics)
        .query("cohort == 'head-phantom' and experiment == 'resolution-032' and source == 'r3-gan'")
        .iloc[0]
    )
    answer = found["head-phantom", "r3-gan"]
    assert answer.level == "resolution 32²"
    assert answer.gap == f"{row['utility_gap']:.3f}"
    assert (answer.retention, answer.retention_interval) == ("78%", "73% to 83%")
    assert f"a loss of {answer.gap} (95% interval {answer.gap_interval}, over patients only)" in answer.sentence


@pytest.mark.parametrize(("low", "high"), [(0.49, 0.55), (0.3, 0.45), (0.5, 0.6)])
def test_family_that_does_not_beat_chance_is_not_called_worse(metrics: pd.DataFrame, low: float, high: float) -> None:
    changed = set_auroc(metrics, "r3-gan", (low + high) / 2, low, high)
    answer = next(
        item for item in answers(changed, Statistics()) if (item.cohort, item.source) == ("head-phantom", "r3-gan")
    )
    assert answer.verdict == "not trained long enough"
    assert "r3-gan was not trained long enough" in answer.sentence
    assert "loss" not in answer.sentence
    assert "head-phantom (cpd-gan" in lead_sentence(answers(changed, Statistics()))


def test_nothing_is_said_where_the_real_classifier_does_not_beat_chance(metrics: pd.DataFrame) -> None:
    found = answers(set_auroc(metrics, "real", 0.52, 0.48, 0.56), Statistics())
    head = [item for item in found if item.cohort == "head-phantom"]
    assert all("nothing can be said" in item.sentence and item.verdict == "nothing can be said" for item in head)
    assert "head-phantom" not in lead_sentence(found)


def test_lead_says_so_when_no_family_was_trained() -> None:
    assert lead_sentence(answers(made_up.metrics(("real", "prog-gan")), Statistics())).startswith(
        "No family was trained"
    )


# Tables


def test_tables_hold_every_number_and_valid_latex(metrics: pd.DataFrame, tmp_path: Path) -> None:
    written = write_tables(metrics, tmp_path)
    names = [f"{axis}.{kind}" for axis in ("classes", "resolution", "samples") for kind in ("csv", "tex")]
    assert [path.name for path in written] == names
    whole = pd.concat([pd.read_csv(tmp_path / f"{axis}.csv") for axis in ("classes", "resolution", "samples")])
    assert len(whole) == len(metrics)
    latex = (tmp_path / "resolution.tex").read_text()
    body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 * 2 * 4
    assert all(row.count("&") == 5 - row.count(r"\multicolumn{2}") for row in rows)
    assert latex.count("not trained long enough") == 4
    assert "32$^2$ & real" in latex
    row = summarise(metrics).query("cohort == 'head-phantom' and experiment == 'resolution-016' and source == 'real'")
    value, low, high = row[["auroc", "auroc_low", "auroc_high"]].to_numpy()[0]
    assert f"head-phantom (simulated) & 16$^2$ & real & {value:.3f} [{low:.3f}, {high:.3f}] & -- & --" in latex


# Report


def report_inputs(metrics: pd.DataFrame, folder: Path, **changes: object) -> ReportInputs:
    """Inputs without figures."""
    cohorts = []
    for cohort in made_up.COHORTS:
        real = made_up.store(folder / cohort, cohort, count=90)
        split = made_up.split(real.records)
        cohorts.append(CohortInputs(real.info, made_up.index(), real.records, split, made_up.experiments(cohort)))
    given = {"study": made_up.study(), "metrics": metrics, "cohorts": cohorts, "axis_figures": {}}
    return ReportInputs(**(given | changes))


def test_cohort_table_counts_by_side(metrics: pd.DataFrame, tmp_path: Path) -> None:
    cohort = report_inputs(metrics, tmp_path).cohorts[0]
    rows = {row[0]: row[1:] for row in cohort_table(cohort).rows}
    assert rows["Images"] == ["72", "9", "9", "90"]  # 30 patients of three images, 80/10/10
    assert rows["Patients"] == ["24", "3", "3", "30"]
    assert rows["No finding"][3] == "30 (33.3%)"


def test_cohort_is_read_from_its_folder_without_identifiers(tmp_path: Path) -> None:
    real = made_up.store(tmp_path / "store" / "032", count=30)
    made_up.index().to_parquet(tmp_path / "index.parquet")
    made_up.split(real.records).to_parquet(tmp_path / "split.parquet")
    made_up.experiments("head-phantom").to_csv(tmp_path / "experiments.csv", index=False)
    cohort = CohortInputs.read(tmp_path, "032")
    assert cohort.info == real.info
    assert cohort.index.columns.tolist() == ["status", "reason"]
    assert "image_id" not in cohort.records
    assert cohort_table(cohort).rows[0] == ["Images", "24", "3", "3", "30"]


def test_rejections_are_counted_by_reason(metrics: pd.DataFrame, tmp_path: Path) -> None:
    table = rejection_table(report_inputs(metrics, tmp_path).cohorts[0])
    assert table.caption == "309 files found, 300 used, 9 not used (2.9%)"
    assert table.rows[:2] == [["view not frontal", "5"], ["not a DICOM file", "3"]]


def test_costs_add_up(tmp_path: Path) -> None:
    jobs = {"train_generator/a": (300.5, "810.2"), "train_generator/b": (61.0, "790.0"), "split/a": (0.4, "-")}
    table = cost_table(read_benchmarks(made_up.benchmarks(tmp_path, jobs))).set_index("rule")
    assert table.loc["train_generator"].tolist() == [2, 361.5, 300.5, 810.2]
    assert table.loc["split", "jobs"] == 1
    assert np.isnan(table.loc["split", "memory_mb"])
    assert cost_table(read_benchmarks(tmp_path / "absent")).empty
    assert [duration(value) for value in (4.21, 185, 7800)] == ["4.2 s", "3 min 05 s", "2 h 10 min"]


def test_config_is_shown_without_paths() -> None:
    own = {"name": "own", "data": {"folder": "/data/Doe_John", "labels": "/data/Doe.csv"}}
    stop_rule = {"features": "/home/doe/inception.pt"}
    study = made_up.study(cohorts=[own], classifier={"weights": "/home/doe/weights.pt"}, stop_rule=stop_rule)
    text = config_text(study)
    assert "oe" not in text.replace("does", "")
    assert text.count("(path not shown)") == 4
    assert "study: fabricated" in text


def test_limits_follow_from_the_study(metrics: pd.DataFrame, tmp_path: Path) -> None:
    text = " ".join(limits(report_inputs(metrics, tmp_path)))
    assert "head-phantom and chest-phantom are simulated" in text
    assert "single replicate" in text
    assert (
        "Fewer than 20 positive or negative test patients in chest-phantom, so shown but not averaged: Fracture" in text
    )
    assert "prog-gan" in text
    assert "privacy" not in text
    assert "give away" in text
    with_attack = pd.concat([metrics, metrics.head(1).assign(metric="attack_auroc")])
    assert "give away" not in " ".join(limits(report_inputs(with_attack, tmp_path)))


def test_report_escapes_what_users_name_and_shows_no_identifier(metrics: pd.DataFrame, tmp_path: Path) -> None:
    inputs = report_inputs(metrics, tmp_path, digests={"<script>alert(1)</script>": "abc"})
    page = build_report(inputs)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "pseudonym-" not in page
    assert "fileid0" not in page
    assert "image-00" not in page


def test_shareable_report_holds_no_pictures_of_the_cohort(metrics: pd.DataFrame, tmp_path: Path) -> None:
    image = Image.new("L", (4, 4))
    image.save(tmp_path / "sheet.png")
    sheet = {"head-phantom": tmp_path / "sheet"}
    internal = build_report(report_inputs(metrics, tmp_path, cohort_figures=sheet))
    shareable = build_report(report_inputs(metrics, tmp_path, cohort_figures=sheet, internal=False))
    assert 'class="banner"' in internal
    assert "data:image/png" in internal
    assert 'class="banner"' not in shareable
    assert "data:image/png" not in shareable


def test_the_best_familys_images_at_the_highest_level_come_first(metrics: pd.DataFrame, tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "sheet.png")
    metrics = metrics.copy()
    gaps = (metrics["metric"] == "utility_gap") & (metrics["finding"] == "mean") & (metrics["cohort"] == "head-phantom")
    for source, gap in {"prog-gan": 0.3, "cpd-gan": 0.01, "r3-gan": 0.1}.items():
        metrics.loc[gaps & (metrics["source"] == source), "value"] = gap
    galleries = {
        (cohort, experiment, source): tmp_path / "sheet"
        for cohort in made_up.COHORTS
        for experiment in ("resolution-016", "resolution-032")
        for source in ("prog-gan", "cpd-gan", "r3-gan")
    }
    page = build_report(report_inputs(metrics, tmp_path, gallery_figures=galleries))
    images = page.split('id="pictures"')[1]
    unfolded, folded = images.split("<summary>10 more</summary>")
    assert unfolded.count("<figure>") == 2
    assert "head-phantom, resolution-032, cpd-gan" in unfolded
    assert folded.split("</details>")[0].count("<figure>") == 10


def test_missing_figure_is_named_without_its_folder(metrics: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs the figure resolution\.svg") as caught:
        build_report(report_inputs(metrics, tmp_path, axis_figures={"resolution": tmp_path / "resolution"}))
    assert str(tmp_path) not in str(caught.value)
