"""What figures and report say about generators: samples over training, curves, cost, copies. On fabricated runs."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthcohort.core.atomic import write_arrays
from synthcohort.core.errors import UserError
from synthcohort.core.files import Files
from synthcohort.core.plan import Plan
from synthcohort.figures import captions
from synthcohort.figures.curves import draw_training_figure, training_table
from synthcohort.figures.report import ReportInputs, build_report
from synthcohort.figures.report.generators import GeneratorRun, alarms, generator_tables, training_jobs
from synthcohort.figures.report.sections import limits
from synthcohort.figures.samples import chosen_states, draw_samples_figure, drawn_sides
from synthcohort.figures.style import SUFFIXES

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_study.py")))
RUN = ("head-phantom", "resolution-032", "r3-gan", "r0")


# Samples over training


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("samples")
    write_arrays(folder / "samples.npz", made_up.samples((8, 16, 32)))
    return folder, draw_samples_figure(folder / "samples.npz", folder / "samples", "prog-gan on x", simulated=True)


def test_samples_figure_shows_every_state_combination_and_walk(drawn: tuple[Path, pd.DataFrame]) -> None:
    folder, table = drawn
    assert all((folder / f"samples{suffix}").stat().st_size > 0 for suffix in SUFFIXES)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "samples.csv"), table)
    counts = table.groupby("part").size()
    assert counts.to_dict() == {"training": 9 * 4 * 2, "noise walk": 9, "label walk": 9}
    training = table[table["part"] == "training"]
    assert training.groupby("resolution")["kimg"].nunique().to_dict() == {8: 3, 16: 3, 32: 3}
    assert training["combination"].iloc[-1] == "Epidural + intraparenchymal + subarachnoid"
    assert table.loc[table["part"] == "label walk", "combination"].unique().tolist() == ["No finding to Epidural"]


def test_samples_figure_places_the_right_pixels(tmp_path: Path) -> None:
    arrays = made_up.samples()
    arrays["grids"][:] = 200
    arrays["grids"][1, 0, 1] = 40  # second state, first combination, second image
    write_arrays(tmp_path / "samples.npz", arrays)
    draw_samples_figure(tmp_path / "samples.npz", tmp_path / "a", "x", simulated=False)
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    rows, columns = (np.flatnonzero((pixels == 40).sum(axis) > 50) for axis in (1, 0))  # a letter has fewer
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    side = bottom - top + 1
    assert right - left + 1 == pytest.approx(side, abs=1)
    assert (pixels[top : bottom + 1, left : right + 1] == 40).all()
    assert (pixels[top : bottom + 1, left - side : left - 20] == 200).all()  # first image beside it
    assert (pixels[top - side : top - 20, left : right + 1] == 200).all()  # first state above it


def test_stages_are_told_from_the_pixels() -> None:
    grids = made_up.samples((8, 16, 32))["grids"]
    assert drawn_sides(grids) == [8] * 3 + [16] * 3 + [32] * 3
    assert drawn_sides(np.full_like(grids[:1], 7)) == [32]  # all of one grey: nothing says that it was enlarged


def test_last_state_of_each_stage_is_always_shown() -> None:
    assert chosen_states([32] * 6) == list(range(6))
    growth = [side for side in (8, 16, 32, 64, 128, 256, 512) for _ in range(6)]
    assert chosen_states(growth) == [5, 11, 17, 23, 29, 35, 41]
    assert chosen_states([8] * 6 + [16] * 6) == [1, 2, 3, 5, 7, 8, 9, 11]


def test_one_combination_has_no_walk_through_labels(tmp_path: Path) -> None:
    arrays = made_up.samples()
    one = {"grids": arrays["grids"][:, :1], "combinations": arrays["combinations"][:1]}
    write_arrays(tmp_path / "samples.npz", arrays | one)
    table = draw_samples_figure(tmp_path / "samples.npz", tmp_path / "a", "x", simulated=True)
    assert set(table["part"]) == {"training", "noise walk"}


def test_caption_of_samples_is_honest_about_noise_and_copies() -> None:
    plain = captions.samples_words("c", "resolution-032", "r3-gan", simulated=False, grows=False, copies=False).caption
    assert "come from the same noise throughout." in plain
    assert "All images are synthetic." in plain
    assert "alarm" not in plain
    grown = captions.samples_words("c", "resolution-032", "prog-gan", simulated=True, grows=True, copies=True).caption
    assert "a new one begins with other noise" in grown
    assert "patients behind them are simulated" in grown
    assert "alarm was raised" in grown


# Training curves


def write_histories(folder: Path) -> dict[tuple[str, str, str], Path]:
    histories = {}
    for family, side in [("prog-gan", 16), ("cpd-gan", 16), ("r3-gan", 16), ("r3-gan", 32)]:
        path = folder / f"{family}-{side}.csv"
        made_up.history(family, (8, side), ticks=16).to_csv(path, index=False)
        histories[f"resolution-0{side}", family, "r0"] = path
    return histories


def test_training_figure_draws_what_is_a_curve(tmp_path: Path) -> None:
    table = draw_training_figure(write_histories(tmp_path), "resolution", tmp_path / "training")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "training.csv"), table)
    every = {"loss_discriminator", "penalty", "augmentation", "copied", "kid"}
    quantities = table.groupby("family")["quantity"].agg(set).to_dict()
    assert quantities == {
        "r3-gan": every,
        "cpd-gan": every,
        "prog-gan": every | {"label_loss_real", "label_loss_fake"},
    }
    evaluated = table[(table["quantity"] == "kid") & (table["level"] == 32)]
    assert evaluated["kimg"].tolist() == [8.0, 16.0, 24.0, 32.0]  # every fourth tick, drawn through
    assert set(table.loc[table["family"] == "prog-gan", "stage"]) == {8, 16}
    assert table.loc[table["family"] != "prog-gan", "stage"].isna().all()


def test_only_what_is_blank_on_some_ticks_is_sparse(tmp_path: Path) -> None:
    table = training_table(write_histories(tmp_path))
    assert set(table.loc[table["sparse"], "quantity"]) == {"kid", "copied"}


def test_panels_hold_one_quantity_of_one_family_or_a_comparable_one(tmp_path: Path) -> None:
    draw_training_figure(write_histories(tmp_path), "resolution", tmp_path / "training")
    svg = (tmp_path / "training.svg").read_text()
    drawn = re.findall("<!-- (.*?) -->", svg)
    assert drawn.count("Discriminator loss") == drawn.count("Penalty") == 3
    assert drawn.count("KID") == drawn.count("memorisation alarm") == 1
    assert {"All families", "prog-gan", "cpd-gan", "r3-gan", "Label loss, synthetic", "resolution 32²"} <= set(drawn)


def test_training_figure_refuses_what_is_no_history(tmp_path: Path) -> None:
    key = ("resolution-016", "r3-gan", "r0")
    pd.DataFrame({"epoch": [1], "loss": [0.5]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError, match="resolution-016 r3-gan r0 lacks the column 'kimg'"):
        draw_training_figure({key: tmp_path / "a.csv"}, "resolution", tmp_path / "training")
    pd.DataFrame({"kimg": [1.0], "seconds": [0.5]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError, match="holds a quantity"):
        draw_training_figure({key: tmp_path / "a.csv"}, "resolution", tmp_path / "training")


# Which files belong to whom


def test_plan_names_every_generator_but_no_classifier_of_real_images() -> None:
    plan = Plan(made_up.study())
    runs = Files(plan).expand_generators("{cohort}/{experiment}/{source}/{replicate}")
    assert len(runs) == len(set(runs)) == 2 * (2 * 3 + 3 + 3)
    assert not any("/real/" in run for run in runs)
    assert Files(plan).expand_generators("{experiment} {source}", "head-phantom", "classes") == [
        f"classes-{level} r3-gan" for level in ("002", "004", "006")
    ]
    assert plan.trainings["chest-phantom-samples"] == ("chest-phantom", "samples")
    assert len(plan.trainings) == 2 * 3


# Cost


def test_cost_of_a_growth_includes_stages_trained_for_lower_levels(tmp_path: Path) -> None:
    plan = Plan(made_up.study())
    jobs = training_jobs(plan, "head-phantom", "resolution-032", "prog-gan", "r0")
    assert jobs == [
        ("train_stage", "head-phantom-resolution-016-prog-gan-r0-008"),
        ("train_stage", "head-phantom-resolution-016-prog-gan-r0-016"),
        ("train_stage", "head-phantom-resolution-032-prog-gan-r0-032"),
    ]
    times = {f"{rule}/{job}": (10.0**place, "-") for place, (rule, job) in enumerate(jobs)}
    folder = made_up.generator(tmp_path / "head-phantom/resolution-032/prog-gan/r0")
    measured = made_up.read_benchmarks(made_up.benchmarks(tmp_path / "benchmarks", times))
    run = GeneratorRun.read(folder, plan, measured)
    assert (run.seconds, run.guide_seconds) == (111.0, 0.0)
    assert np.isnan(GeneratorRun.read(folder, plan, measured.iloc[1:]).seconds)  # a stage that was not measured


@pytest.mark.parametrize(("guided", "candidates", "expected"), [(True, 1, 350.0), (False, 2, 350.0), (False, 1, 300.0)])
def test_cost_includes_the_guide_where_it_steers(
    tmp_path: Path, guided: bool, candidates: int, expected: float
) -> None:
    study = made_up.study(generators=[{"family": "r3-gan", "candidates": candidates}])
    name = "head-phantom-resolution-032"
    times = {f"train_generator/{name}-r3-gan-r0": (300.0, "-"), f"train_classifier/{name}-real-r0": (50.0, "-")}
    folder = made_up.generator(tmp_path / "head-phantom/resolution-032/r3-gan/r0")
    made_up.write_json(folder / "generator.json", made_up.card(guided=guided))
    measured = made_up.read_benchmarks(made_up.benchmarks(tmp_path / "benchmarks", times))
    run = GeneratorRun.read(folder, Plan(study), measured)
    assert (run.seconds, run.guide_seconds) == (expected, expected - 300.0)


# Copies


def made_up_run(history: dict[str, list[float]] | None = None, **card: object) -> GeneratorRun:
    table = made_up.history() if history is None else pd.DataFrame(history)
    return GeneratorRun(*RUN, made_up.card(**card), table, 340.0, 20.0)


def test_table_says_what_was_spent_and_kept() -> None:
    runs = [made_up_run(), made_up_run(stopped_early=True, stop_metric="frechet_distance", kimg=0.5)]
    (table,) = generator_tables(runs, stops=True)
    assert table.caption == "What each generator of head-phantom cost and kept"
    assert table.rows[0] == [
        *RUN[1:3],
        "0.0%",
        "full length; KID, guide (small)",
        "72 of 80",
        "5 min 40 s",
        "20.0 s",
    ]
    assert table.rows[1][3:5] == ["early; Fréchet distance, guide (small)", "0.50 of 80"]
    assert generator_tables(runs, stops=False)[0].rows[0][3] == "full length; last"
    unmeasured = GeneratorRun(*RUN, made_up.card(copied=None), pd.DataFrame({"kimg": [80.0]}))
    assert generator_tables([unmeasured], stops=True)[0].rows[0][2:] == [
        "not looked for",
        "full length; KID, guide (small)",
        "72 of 80",
        "–",
        "–",
    ]


def test_alarm_stands_from_its_beginning_and_only_for_what_was_kept() -> None:
    history = {"kimg": [10.0, 20.0, 30.0, 40.0], "copied": [0.02, np.nan, 0.12, 0.3]}
    (kept, early) = made_up_run(history, kimg=40.0), made_up_run(history, kimg=20.0)
    assert (kept.copied, kept.began, kept.alarm) == (0.3, 30.0, True)
    assert (early.copied, early.began, early.alarm) == (0.02, 30.0, False)
    cells = [row[2] for row in generator_tables([kept, early], stops=True)[0].rows]
    assert cells == ["ALARM: 30.0%, since 30 kimg", "2.0% (alarm later, at 30 kimg)"]
    assert alarms([early]) is None
    answer, limit = alarms([kept, early]) or ("", "")
    assert answer.startswith("Samples of r3-gan on head-phantom, resolution-032 (about 30%) copy training images")
    assert "raised for r3-gan on head-phantom, resolution-032:" in limit
    assert answer.count(". ") == limit.count(". ") == 0  # one sentence each


def test_alarm_of_a_growth_is_that_of_its_last_stage() -> None:
    history = {"kimg": [10.0, 20.0], "copied": [0.5, 0.0], "stage": [8, 16]}
    run = made_up_run(history, kimg=20.0, family="prog-gan")
    assert (run.copied, run.began, run.alarm) == (0.0, None, False)
    assert run.ever_copied, "the figure of samples over training shows the earlier stage, too"
    assert not made_up_run({**history, "copied": [0.05, 0.0]}, kimg=20.0, family="prog-gan").ever_copied


def test_report_shows_the_alarm_on_top_in_the_table_and_in_the_limits(tmp_path: Path) -> None:
    write_arrays(tmp_path / "samples.npz", made_up.samples())
    draw_samples_figure(tmp_path / "samples.npz", tmp_path / "samples", "x", simulated=True)
    real = made_up.store(tmp_path / "store", count=60)
    cohort = made_up.CohortInputs(
        real.info, made_up.index(), real.records, made_up.split(real.records), made_up.experiments("head-phantom")
    )

    def inputs(copied: float, internal: bool = True, earlier: float = 0.0) -> ReportInputs:
        history = made_up.history(copied=copied)
        first = history.iloc[:1].assign(stage=8, copied=earlier)
        run = made_up_run(pd.concat([first, history.assign(stage=16)]).to_dict("list"))
        metrics = made_up.metrics()
        return ReportInputs(
            study=made_up.study(),
            metrics=metrics[metrics["cohort"] == "head-phantom"],
            cohorts=[cohort],
            axis_figures={},
            generators=[run],
            samples_figures={RUN[:3]: tmp_path / "samples"},
            internal=internal,
        )

    page = build_report(inputs(0.25))
    assert page.index("Memorisation alarm.") < page.index('id="answer"') < page.index("ALARM: 25.0%, since 48 kimg")
    assert page.index("ALARM") < page.index("Samples over training: head-phantom, resolution-032, r3-gan")
    assert any("must not be shared" in sentence for sentence in limits(inputs(0.25)))
    healthy = build_report(inputs(0.04))
    assert "Memorisation alarm." not in healthy
    assert "ALARM" not in healthy
    assert not any("must not be shared" in sentence for sentence in limits(inputs(0.04)))
    # The page to be shared shows synthetic images, but not those of a generator that copies.
    assert "data:image/png" in build_report(inputs(0.04, internal=False))
    assert "data:image/png" not in build_report(inputs(0.25, internal=False))
    assert "data:image/png" not in build_report(inputs(0.04, internal=False, earlier=0.5))
