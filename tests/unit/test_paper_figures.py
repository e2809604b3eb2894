"""Figures in the way of the paper: what they show is what was measured; published values are marked as such."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from synthcohort.core.atomic import write_arrays
from synthcohort.figures import style
from synthcohort.figures.axes import draw_axis_figure
from synthcohort.figures.paper import (
    CREDIT,
    PUBLISHED,
    draw_paper_figure,
    draw_paper_panel,
    hatch_of,
    legend_handles,
    paper_table,
    paper_words,
)
from synthcohort.figures.paper_pictures import Run, draw_paper_attribution, draw_paper_neighbours
from synthcohort.figures.style import SUFFIXES, look

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_study.py")))
BOTH = {"head-phantom": "head", "chest-phantom": "chest"}
MILLIMETRES = {"one_column": 88, "two_columns": 180}


def values(table: pd.DataFrame, cohort: str, level: str, **columns: object) -> dict[str, float]:
    rows = table[(table["cohort"] == cohort) & (table["level"] == level)]
    for column, wanted in columns.items():
        rows = rows[rows[column] == wanted]
    return dict(zip(rows["source"], rows["value"], strict=True))


def test_published_values_are_those_of_the_digitised_figure() -> None:
    assert len(PUBLISHED) == 3 * (6 + 5 + 8 + 8)
    read = PUBLISHED.set_index(["cohort_kind", "axis", "level", "source"])["value"]
    assert read["chest", "classes", 20, "real"] == 0.790
    assert read["chest", "classes", 2, "prog-gan"] == 0.954
    assert read["chest", "classes", 10, "cpd-gan"] == 0.785
    assert read["head", "classes", 4, "prog-gan"] == 0.664
    assert read["head", "classes", 10, "cpd-gan"] == 0.800
    assert read["chest", "samples", 5950, "real"] == 0.926
    assert read["chest", "samples", 200, "prog-gan"] == 0.833
    assert read["head", "samples", 5400, "prog-gan"] == 0.761
    assert read["head", "samples", 300, "cpd-gan"] == 0.747
    assert read["head", "samples", 100, "real"] == 0.720
    wide = PUBLISHED.pivot_table(index=["cohort_kind", "axis", "level"], columns="source", values="value")
    assert (wide["real"] > wide["cpd-gan"]).all()
    assert (wide["cpd-gan"] > wide["prog-gan"]).all()


def test_bars_are_the_measured_values(tmp_path: Path) -> None:
    metrics = made_up.metrics()
    table = draw_paper_figure(metrics, "resolution", tmp_path / "bars", "two_columns", {})
    here = metrics.query("cohort == 'head-phantom' and level == '032' and axis == 'resolution'")
    here = here.query("metric == 'auroc' and finding == 'mean'").set_index("source")
    assert values(table, "head-phantom", "032") == here["value"].to_dict()
    assert not table["published"].any()
    kept = pd.read_csv(tmp_path / "bars.csv", dtype={"level": str})
    np.testing.assert_allclose(kept["value"], table["value"])
    assert set(kept.loc[kept["source"] == "prog-gan", "verdict"]) == {"not trained long enough"}
    assert kept.loc[kept["source"] == "r3-gan", "verdict"].isna().all()


def test_each_replicate_is_shown_beside_the_pooled_bar() -> None:
    table = paper_table(made_up.metrics(replicates=3), "samples", {})
    rows = table.query("cohort == 'head-phantom' and level == '00050' and source == 'r3-gan'").set_index("replicate")
    assert set(rows.index) == {"all", "r0", "r1", "r2"}
    assert rows.loc["all", "value"] == pytest.approx(rows["value"].drop("all").mean())
    assert rows["ci_low"].drop("all").isna().all()


def test_published_values_lie_over_common_levels_of_named_cohorts_and_are_marked() -> None:
    metrics = made_up.metrics()
    table = paper_table(metrics, "classes", {"head-phantom": "head"})
    laid = table[table["published"]]
    assert set(laid["cohort"]) == {"head-phantom"}
    # The fabricated study has 2, 4 and 6 combinations; r3-gan was not published.
    assert values(laid, "head-phantom", "006") == {"real": 0.908, "cpd-gan": 0.837, "prog-gan": 0.753}
    assert set(laid["level"]) == {"002", "004", "006"}
    assert laid["ci_low"].isna().all()
    samples = paper_table(metrics, "samples", BOTH)
    assert set(samples.loc[samples["published"], "level"]) == {"00200"}  # 50 and 800 were not published
    assert not paper_table(metrics, "resolution", BOTH)["published"].any()
    assert CREDIT in paper_words(metrics, "classes", 0.95, BOTH).caption
    assert CREDIT not in paper_words(metrics, "resolution", 0.95, BOTH).caption


def test_published_values_change_no_measured_one() -> None:
    metrics = made_up.metrics()
    without, with_them = (paper_table(metrics, "classes", chosen) for chosen in ({}, BOTH))
    measured = with_them[~with_them["published"].astype(bool)].reset_index(drop=True)
    columns = ["cohort", "level", "source", "value", "ci_low", "ci_high", "n"]
    pd.testing.assert_frame_equal(measured[columns], without[columns], check_dtype=False)


def test_the_legend_names_what_is_there() -> None:
    names = [handle.get_label() for handle in legend_handles(paper_table(made_up.metrics(), "resolution", {}))]
    assert names == ["trained on real images", "r3-gan", "cpd-gan", "prog-gan", "not trained long enough"]


def test_no_two_sources_look_alike() -> None:
    sources = ["r3-gan", "cpd-gan", "prog-gan", "dp-gan"]
    sources += [f"{prefix}-{family}" for prefix in ("mix", "pre") for family in sources]
    looks = {(look(source).color, hatch_of(source)) for source in sources}
    assert len(looks) == len(sources)


def drawn(metrics: pd.DataFrame, axis: str, cohort: str) -> Axes:
    panel = Figure().subplots()
    table = paper_table(metrics, axis, {})
    draw_paper_panel(panel, table[table["cohort"] == cohort], axis)
    return panel


def test_a_source_whose_interval_reaches_chance_is_hollow() -> None:
    bars = drawn(made_up.metrics(), "resolution", "head-phantom").patches
    assert len(bars) == 2 * 3  # levels, families
    hollow = [bar for bar in bars if bar.get_facecolor() == (1, 1, 1, 1)]
    assert [to_hex(bar.get_edgecolor()).upper() for bar in hollow] == [look("prog-gan").color] * 2
    assert {bar.get_y() for bar in bars} == {0.5}


def test_a_missing_value_is_written_in_its_place() -> None:
    metrics, numbers = made_up.metrics(), ["value", "ci_low", "ci_high"]
    lost = (metrics["level"] == "004") & (metrics["cohort"] == "head-phantom")
    metrics.loc[lost & (metrics["source"] == "cpd-gan"), numbers] = np.nan
    for cohort, written in (("head-phantom", 1), ("chest-phantom", 0)):
        panel = drawn(metrics, "classes", cohort)
        assert [text.get_text() for text in panel.texts] == ["too few test patients"] * written
        assert len(panel.patches) == 3 * 3 - written
    metrics.loc[lost, numbers] = np.nan  # nothing has a mean there: said once
    assert len(drawn(metrics, "classes", "head-phantom").texts) == 1


@pytest.mark.parametrize("width", ["one_column", "two_columns"])
def test_widths_and_bytes(width: str, tmp_path: Path) -> None:
    metrics = made_up.metrics()
    for name in ("first", "second"):
        draw_paper_figure(metrics, "classes", tmp_path / name, width, BOTH)
    for suffix in SUFFIXES:
        assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()
    (points,) = re.findall(r'<svg [^>]*width="([0-9.]+)pt"', (tmp_path / "first.svg").read_text()[:2000])
    assert float(points) / 72 * 25.4 == pytest.approx(MILLIMETRES[width], abs=0.1)


def test_no_mean_is_said_not_drawn(tmp_path: Path) -> None:
    empty = made_up.metrics().assign(value=np.nan, ci_low=np.nan, ci_high=np.nan)
    table = draw_paper_figure(empty, "classes", tmp_path / "none", "one_column", {})
    assert set(table["verdict"]) == {"too few test patients"}


# Pictures


@pytest.fixture
def neighbours(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {"synthetic": rng.integers(0, 255, (5, 1, 16, 16), dtype=np.uint8)}
    arrays["searched"] = np.array([90, 80, 451])  # training, held out, all training
    for place, group in enumerate(("training", "held_out", "all_training")):
        arrays[f"judge_{group}"] = rng.integers(0, 255, (5, 4, 1, 16, 16), dtype=np.uint8)
        arrays[f"judge_{group}_distances"] = np.arange(20, dtype=float).reshape(5, 4) / 100 + place
    write_arrays(tmp_path / "neighbours.npz", arrays)
    return tmp_path / "neighbours.npz"


@pytest.mark.parametrize(("width", "rows", "columns"), [("one_column", 2, 2), ("two_columns", 3, 4)])
def test_neighbours_are_the_first_in_their_stored_order(
    neighbours: Path, tmp_path: Path, width: str, rows: int, columns: int
) -> None:
    runs = {cohort: Run(neighbours, True, "r3-gan") for cohort in BOTH}
    table = draw_paper_neighbours(runs, tmp_path / "picture", width)
    one = table[(table["cohort"] == "head-phantom") & (table["group"] == "held_out")]
    expected = (np.arange(20).reshape(5, 4) / 100 + 1)[:rows, :columns]
    np.testing.assert_allclose(one.pivot_table(index="row", columns="rank", values="distance"), expected)
    assert set(table["cohort"]) == set(BOTH)
    searched = table.drop_duplicates("group").set_index("group")["searched"].to_dict()
    assert searched == {"all_training": 451, "training": 90, "held_out": 80}
    assert table[table["group"] == "all_training"].groupby(["cohort", "row"]).size().eq(1).all()


@pytest.mark.parametrize("masks", [True, False])
def test_attribution_shows_the_pair_of_the_run_by_occlusion(masks: bool, tmp_path: Path) -> None:
    maps = np.zeros((3, 2, 7, 8, 8), np.float32)  # sources, methods, images
    ramp = np.arange(64, dtype=np.float32).reshape(8, 8)
    maps[0, 1], maps[1, 1], maps[2, 1] = ramp, ramp[::-1, ::-1], ramp**3  # real, cpd-gan, r3-gan
    arrays = {
        "images": np.zeros((7, 1, 8, 8), np.uint8),
        "findings": np.array([f"Finding {number}" for number in range(7)]),
        "sources": np.array(["real", "cpd-gan", "r3-gan"]),
        "methods": np.array(["grad_cam", "occlusion"]),
        "maps": maps,
    }
    if masks:
        arrays["masks"] = np.full((7, 8, 8), 255, np.uint8)
    write_arrays(tmp_path / "maps.npz", arrays)
    for source, agreement in (("r3-gan", 1.0), ("cpd-gan", -1.0)):
        runs = {"head-phantom": Run(tmp_path / "maps.npz", True, source)}
        table = draw_paper_attribution(runs, tmp_path / source, "two_columns")
        assert table["finding"].tolist() == [f"Finding {number}" for number in range(6)]
        assert table["agreement"].tolist() == pytest.approx([agreement] * 6)


# From the CSV alone


def as_metrics(csv: Path) -> pd.DataFrame:
    """Take a figure's CSV for metrics.parquet: what it does not hold, the figure does not need."""
    table = pd.read_csv(csv, dtype={"level": str}, keep_default_na=False, na_values=[""])
    if "published" in table:
        table = table[~table["published"].astype(bool)]
    given = {"finding": "mean", "metric": "auroc", "role": "value", "parameter": "", "features": ""}
    table = table.assign(**{name: table.get(name, value) for name, value in given.items()})
    return table.assign(experiment=table["axis"] + "-" + table["level"])


def test_a_number_figure_is_drawn_again_from_its_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "UNDATED", {"svg": style.UNDATED["svg"]})
    metrics = made_up.metrics(replicates=2)
    draw_axis_figure(metrics, "classes", tmp_path / "axis")
    draw_axis_figure(as_metrics(tmp_path / "axis.csv"), "classes", tmp_path / "axis-again")
    draw_paper_figure(metrics, "classes", tmp_path / "paper", "two_columns", BOTH)
    draw_paper_figure(as_metrics(tmp_path / "paper.csv"), "classes", tmp_path / "paper-again", "two_columns", BOTH)
    for name in ("axis", "paper"):
        assert (tmp_path / f"{name}.svg").read_bytes() == (tmp_path / f"{name}-again.svg").read_bytes()
