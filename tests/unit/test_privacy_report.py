"""What figures and report say of privacy: attacks beside their controls, pairs without identifiers, gaps named."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from synthcohort.audit.privacy_vocabulary import (
    CALIBRATED,
    CLOSEST_RECORD,
    DENSITY_RATIO,
    DISCRIMINATOR,
    HALVES,
    PATIENT,
    SHADOWS,
    THIRD_GROUP,
    attack_parameter,
    attack_title,
    describe_controls,
)
from synthcohort.figures.attacks import attack_table, written_attack_table
from synthcohort.figures.copies import draw_copies_figure
from synthcohort.figures.privacy import NOT_MEASURED, REPLAYED, draw_privacy_figure, privacy_rows, privacy_words
from synthcohort.figures.report import ReportInputs, build_report
from synthcohort.figures.report.privacy import (
    canary_table,
    canary_warning,
    controls_sentence,
    copies_table,
    every_attack,
    privacy_table,
    verifier_sentence,
)

JUDGE = "judge (plain)"
made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_study.py")))


def row(level: str, source: str, role: str, parameter: str, features: str, value: float, **more) -> dict:
    return {
        "study": "s", "cohort": "c", "experiment": f"samples-{level}", "axis": "samples", "level": level,
        "source": source, "replicate": "r0", "metric": "attack_auroc", "finding": "", "role": role,
        "features": features, "parameter": parameter, "value": value, "ci_low": value - 0.05, "ci_high": value + 0.05,
        "n": 120, "simulated": True,
    } | more  # fmt: skip


def metrics(replicates: int = 1) -> pd.DataFrame:
    """Two levels of one cohort; the discriminator gives the smaller one's patients away."""
    plain = attack_parameter(CLOSEST_RECORD, PATIENT)
    third = attack_parameter(CLOSEST_RECORD, PATIENT, THIRD_GROUP)
    own = attack_parameter(DISCRIMINATOR, PATIENT)
    halves = attack_parameter(DISCRIMINATOR, PATIENT, HALVES)
    rows = []
    for number in range(replicates):
        for level, found in (("00040", 0.8), ("00200", 0.55)):
            more = {"replicate": f"r{number}"}
            rows += [
                row(level, "r3-gan", "value", plain, "pixels", 0.52 + 0.02 * number, **more),
                row(level, "r3-gan", "value", plain, JUDGE, 0.5, **more),
                row(level, "real", "positive_control", plain, "pixels", 0.99, **more),
                row(level, "real", "positive_control", plain, JUDGE, 0.9, **more),
                row(level, "real", "negative_control", third, "pixels", 0.49, **more),
                row(level, "r3-gan", "negative_control", plain + "/halves", "pixels", 0.53, **more),
                row(level, "r3-gan", "value", own, DISCRIMINATOR, found, **more),
                row(level, "r3-gan", "negative_control", halves, DISCRIMINATOR, 0.51, **more),
                row(level, "r3-gan", "value", f"{own}/0.01", DISCRIMINATOR, np.nan, metric="attack_tpr", **more),
                row(level, "r3-gan", "value", f"{plain}/0.1", "pixels", 0.12, metric="attack_tpr", **more),
                row(level, "r3-gan", "value", "", "pixels", 0.6, metric="authenticity", n=500, **more),
                row(level, "r3-gan", "value", "", JUDGE, 0.9, metric="alpha_precision", n=500, **more),
                row(level, "real", "negative_control", THIRD_GROUP, "pixels", 0.7, metric="authenticity", **more),
                row(level, "real", "positive_control", "", "pixels", 0.02, metric="authenticity", **more),
            ]
    return pd.DataFrame(rows)


def test_figure_draws_values_floors_and_replayed_images_and_saves_what_it_draws(tmp_path: Path) -> None:
    drawn = draw_privacy_figure(metrics(), "samples", tmp_path / "privacy-samples")
    assert {path.suffix for path in tmp_path.iterdir()} == {".pdf", ".svg", ".png", ".csv"}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "privacy-samples.csv", dtype={"level": str}), drawn.assign(
        parameter=drawn["parameter"].replace("", np.nan)), check_dtype=False)  # fmt: skip
    seen = drawn.groupby(["metric", "role"])["value"].agg(list).to_dict()
    assert seen[CLOSEST_RECORD, "value"] == [0.52, 0.52], "in pixels, not in the judge's features"
    assert seen[CLOSEST_RECORD, "floor"] == [0.49, 0.49]
    assert seen[CLOSEST_RECORD, "ceiling"] == [0.99, 0.99]
    assert seen[DISCRIMINATOR, "value"] == [0.8, 0.55]
    assert seen[DISCRIMINATOR, "floor"] == [0.51, 0.51]
    assert (DISCRIMINATOR, "ceiling") not in seen
    assert seen["authenticity", "floor"] == [0.7, 0.7]
    assert seen["alpha_precision", "value"] == [0.9, 0.9]
    assert set(drawn.loc[drawn["role"] == "ceiling", "parameter"]) == {REPLAYED}


def test_several_replicates_are_pooled_and_each_is_shown() -> None:
    table = privacy_rows(metrics(2), "samples")
    values = table[(table["metric"] == CLOSEST_RECORD) & (table["role"] == "value") & (table["level"] == "00040")]
    assert sorted(values["value"]) == pytest.approx([0.52, 0.53, 0.54])
    words = privacy_words(metrics(2), "samples", 0.95)
    assert "2 replicates" in words.caption
    assert "simulated" in words.caption
    assert "r3-gan: 0.53 at 40, 0.53 at 200" in words.alt


def test_nothing_attacked_is_said(tmp_path: Path) -> None:
    others = metrics().assign(metric="auroc")
    assert draw_privacy_figure(others, "samples", tmp_path / "empty").empty
    assert privacy_words(others, "samples", 0.95).caption == NOT_MEASURED
    assert privacy_table(others) is None


def test_every_attack_stands_beside_its_controls() -> None:
    table = attack_table(metrics()).set_index(["experiment", "features"])
    assert len(table) == 6
    pixels = table.loc[("samples-00040", "pixels")]
    assert pixels[["auroc", "replayed", "third_group", "halves"]].tolist() == [0.52, 0.99, 0.49, 0.53]
    assert pixels[["tpr_0.1", "tpr_0.1_low", "tpr_0.1_high"]].tolist() == pytest.approx([0.12, 0.07, 0.17])
    assert pixels["controls"] == "in order"
    own = table.loc[("samples-00040", DISCRIMINATOR)]
    assert (own["auroc"], own["halves"], own["non_members"]) == (0.8, 0.51, 120)
    assert own[["replayed", "third_group", "tpr_0.01", "tpr_0.01_low"]].isna().all()
    assert own["controls"] == "in order", "nobody can replay images to a discriminator"
    written = written_attack_table(metrics()).set_index(["experiment", "features"])
    assert written.loc[("samples-00040", DISCRIMINATOR), "tpr_0.01"] == "not resolvable with n = 120"
    assert written.loc[("samples-00040", "pixels"), "tpr_0.1"] == 0.12
    assert written_attack_table(metrics().assign(metric="auroc")).empty


def test_controls_out_of_order_are_flagged_where_there_are_enough() -> None:
    table = attack_table(metrics()).set_index("features")["controls"]
    assert set(table[JUDGE]) == {"out of order: misses copies"}, "replayed ones have 0.9 there"
    third = attack_parameter(CLOSEST_RECORD, PATIENT, THIRD_GROUP)
    for count, verdict in ((120, "out of order: alarms over nothing"), (99, "too few to tell")):
        changed = metrics()
        changed = changed[~changed["parameter"].str.contains(HALVES)]
        changed.loc[changed["parameter"] == third, ["value", "n"]] = 0.39, count
        assert set(attack_table(changed).set_index("features")["controls"]["pixels"]) == {verdict}
    for attack, replayed, silent, said in (
        (DENSITY_RATIO, 0.6, {THIRD_GROUP: (0.6, 100)}, "in order"),
        (SHADOWS, 0.9, {HALVES: (0.61, 100)}, "out of order: misses copies and alarms over nothing"),
        (CALIBRATED, np.nan, {}, "out of order: misses copies"),
        (DENSITY_RATIO, np.nan, {HALVES: (np.nan, 100)}, "out of order: alarms over nothing"),
    ):
        assert describe_controls(attack, replayed, silent) == said
    assert controls_sentence(metrics()).startswith("Controls are out of order in 2 of 6 attacks")
    assert controls_sentence(metrics()[metrics()["features"] != JUDGE]) == ""


def test_report_shows_every_attack_with_intervals() -> None:
    table = every_attack(metrics())
    assert table is not None
    assert len(table.rows) == 6
    assert table.rows[0] == [
        "c", "samples-00040", "r3-gan", "closest record in pixels, patients", "0.52 (0.47 to 0.57)",
        "0.120 (0.070 to 0.170)", "not resolvable with n = 120", "not resolvable with n = 120", "0.99", "0.49", "0.53",
        "in order",
    ]  # fmt: skip
    assert len(table.columns) == 12
    assert table.columns[5] == "True positives at 10 %"


def test_report_shows_copies_beside_both_controls() -> None:
    table = copies_table(metrics())
    assert table is not None
    first = ["c", "samples-00040", "r3-gan", "0.60 (0.55 to 0.65)", "0.70 (0.65 to 0.75)", "0.02 (-0.03 to 0.07)"]
    assert table.rows[0] == [*first, "0.90 (0.85 to 0.95)", *["–"] * 5]
    assert table.columns[3:7] == ["Authenticity", "Authenticity, others", "Authenticity, copies", "α-precision"]
    assert copies_table(metrics().assign(metric="auroc")) is None


def test_canaries_are_warned_of_and_counted_beside_their_controls() -> None:
    assert canary_warning(metrics()) == ""
    assert canary_table(metrics()) is None
    found = [
        row("00040", source, role, "9 planted", "", value, metric="canaries_found", n=n)
        for source, role, value, n in (
            ("r3-gan", "value", 3, 600), ("real", "positive_control", 8, 9), ("real", "negative_control", 0, 60),
        )
    ]  # fmt: skip
    planted = pd.concat([metrics(), pd.DataFrame(found)])
    table = canary_table(planted)
    assert table is not None
    assert table.rows == [["c", "samples-00040", "r3-gan", "9 planted", "3 of 600", "8 of 9", "0 of 60"]]
    assert "none of its synthetic images is to be used" in canary_warning(planted)


def test_both_pages_have_every_attack_and_warn_of_canaries(tmp_path: Path) -> None:
    found = row("00040", "r3-gan", "value", "9 planted", "", 3, metric="canaries_found", n=600)
    table = pd.concat([made_up.metrics(), metrics(), pd.DataFrame([found])], ignore_index=True)
    for internal in (True, False):
        inputs = ReportInputs(made_up.study(), table, [], {}, internal=internal)
        page = build_report(inputs)
        assert "<strong>Canaries were planted.</strong>" in page
        assert '<td class="number">3 of 600</td>' in page
        assert "<summary>Every attack (6)</summary>" in page
        assert "Controls are out of order in 2 of 6 attacks" in page
        assert "Are they copies?" in page


def test_a_verifier_that_could_not_be_trained_is_named() -> None:
    trained = row("00040", "real", "value", "", "verifier (small)", 0.9, metric="verification_auroc")
    untrained = row("00200", "real", "value", "", "verifier (small)", np.nan, metric="verification_auroc", n=7)
    assert verifier_sentence(metrics()) == ""
    assert "c 0.90 to 0.90 (120 patients or more)." in verifier_sentence(pd.DataFrame([trained]))
    both = verifier_sentence(pd.DataFrame([trained, untrained]))
    assert "or more), c not resolvable with n = 7 patients with several studies" in both


def test_report_shows_the_strongest_attack_and_what_cannot_be_resolved() -> None:
    table = privacy_table(metrics())
    assert table is not None
    assert table.rows[0] == [
        "c", "samples-00040", "r3-gan", "discriminator, patients", "0.80 (0.75 to 0.85)", "not resolvable with n = 120",
        "–", "–", "0.51", "in order",
    ]  # fmt: skip
    assert attack_title("closest_record/image", JUDGE) == "closest record in the judge’s features, images"
    several = privacy_table(metrics(2))
    assert several is not None
    assert [cells[2] for cells in several.rows] == ["r3-gan, r0", "r3-gan, r1"] * 2


def test_closest_pairs_are_drawn_with_both_controls(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}_{key}": rng.integers(0, 256, (3, 1, 16, 16)).astype(np.uint8)
        for name in ("r3-gan", "cpd-gan", "positive_control", "negative_control")
        for key in ("synthetic", "training")
    }
    arrays |= {
        f"{name}_{key}": rng.random(3)
        for name in ("r3-gan", "cpd-gan", "positive_control", "negative_control")
        for key in ("distances", "ratios")
    }
    np.savez(tmp_path / "pairs.npz", **arrays)
    drawn = draw_copies_figure(tmp_path / "pairs.npz", tmp_path / "copies", "r3-gan", True)
    assert drawn.groupby("shown").size().to_dict() == {
        "r3-gan": 3, "Training images, replayed": 3, "Other patients, replayed": 3
    }  # fmt: skip
    assert drawn.loc[drawn["shown"] == "r3-gan", "ratio"].tolist() == arrays["r3-gan_ratios"].tolist()
    assert "INTERNAL" in (tmp_path / "copies.svg").read_text()
    np.savez(tmp_path / "none.npz")
    assert draw_copies_figure(tmp_path / "none.npz", tmp_path / "none", "r3-gan", True).empty
