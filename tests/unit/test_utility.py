from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss

from synthcohort.audit.utility import METRIC_COLUMNS, METRIC_KEYS, combine_metrics, utility_metrics
from synthcohort.core.atomic import write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.protocol import Protocol
from synthcohort.figures.axes import axis_table
from synthcohort.figures.bars import finding_table
from synthcohort.figures.numbers import select, summarise
from synthcohort.figures.report.answer import answers, headline
from synthcohort.figures.report.sections import results_table
from synthcohort.figures.tables import latex_table
from synthcohort.measures.bootstrap import basic_interval, bootstrap_measures, percentile_interval

KEYS = {
    "study": "tiny", "cohort": "head-phantom", "experiment": "resolution-016", "axis": "resolution", "level": "016",
}  # fmt: skip
FINDINGS = ["epidural", "subdural", "no_finding"]
STATISTICS = Statistics(bootstrap=200)


def table(noise: float, seed: int, patients: int = 80, prefix: str = "p") -> pd.DataFrame:
    """Two images a patient; `no_finding` is positive in the first patient only."""
    shared = np.random.default_rng(0)
    count = 2 * patients
    labels = shared.integers(0, 2, (count, 3)).astype(float)
    labels[:, 2] = np.arange(count) < 2
    logits = 2 * labels - 1 + 2 * noise * np.random.default_rng(seed).normal(size=labels.shape)
    return pd.DataFrame(
        {
            "image_id": np.repeat([f"{prefix}{i}" for i in range(count)], 3),
            "patient_id": np.repeat([f"{prefix}{i // 2}" for i in range(count)], 3),
            "finding": np.tile(FINDINGS, count),
            "label": labels.ravel(),
            "score": 1 / (1 + np.exp(-logits.ravel())),
        }
    )


def metrics(**changes: object) -> pd.DataFrame:
    arguments = {
        "keys": KEYS,
        "predictions": {"r0": {"r3-gan": table(1.5, 2), "real": table(0.5, 1)}},
        "findings": FINDINGS[:2],
        "common": FINDINGS[:1],
        "statistics": STATISTICS,
        "seed": 3,
        "simulated": True,
    }
    return utility_metrics(**(arguments | changes))  # type: ignore[arg-type]


def one(
    result: pd.DataFrame, source: str, metric: str, finding: str, parameter: str = "", replicate: str = "r0"
) -> pd.Series:
    keys = {"source": source, "metric": metric, "finding": finding, "parameter": parameter, "replicate": replicate}
    chosen = result[(result[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_every_source_metric_and_finding_has_its_row() -> None:
    result = metrics()
    assert list(result.columns) == list(METRIC_COLUMNS)
    delong = result["parameter"] == "delong"
    redrawn = result["metric"] == "redrawn"
    assert delong.sum() == (1 + 2) * 3
    assert redrawn.sum() == 3
    rest = result[~delong & ~redrawn]
    assert len(rest) == (4 + 9) * 5  # real has no gaps and no retention
    assert set(rest["parameter"]) == {""}
    assert set(rest["finding"]) == {*FINDINGS, "mean", "mean_common"}
    assert set(result[delong | redrawn]["finding"]) == set(FINDINGS)
    assert not result[result["source"] == "real"]["metric"].str.contains("gap|retention").any()
    assert (result["n"] == 80).all()
    assert set(result["replicate"]) == {"r0"}


def test_numbers_follow_from_the_aurocs() -> None:
    result = metrics()
    real = [one(result, "real", "auroc", name)["value"] for name in FINDINGS[:2]]
    source = [one(result, "r3-gan", "auroc", name)["value"] for name in FINDINGS[:2]]
    assert one(result, "real", "auroc", "mean")["value"] == pytest.approx(np.mean(real))
    assert one(result, "real", "auroc", "mean_common")["value"] == real[0]
    gap = one(result, "r3-gan", "utility_gap", "mean")
    assert gap["value"] == pytest.approx(np.mean(real) - np.mean(source))
    assert 0 < gap["ci_low"] < gap["value"] < gap["ci_high"]
    kept = one(result, "r3-gan", "retention", "mean")
    assert kept["value"] == pytest.approx((np.mean(source) - 0.5) / (np.mean(real) - 0.5))
    assert kept["ci_low"] < kept["value"] < kept["ci_high"] < 1
    for metric in ("average_precision", "brier", "calibration_error"):
        both = [one(result, name, metric, "mean") for name in ("real", "r3-gan")]
        lost = one(result, "r3-gan", f"{metric}_gap", "mean")
        assert lost["value"] == pytest.approx(both[0]["value"] - both[1]["value"])
        assert lost["ci_low"] < lost["value"] < lost["ci_high"]
        # That they are paired shows in the next test: of the same classifier twice nothing is left.
        widths = [row["ci_high"] - row["ci_low"] for row in (*both, lost)]
        assert widths[2] < widths[0] + widths[1]


def test_a_copy_of_the_real_classifier_keeps_all_with_a_certain_interval() -> None:
    result = metrics(predictions={"r0": {"real": table(0.5, 1), "r3-gan": table(0.5, 1)}})
    for gap in ("utility_gap", "average_precision_gap", "brier_gap", "calibration_error_gap"):
        assert one(result, "r3-gan", gap, "mean")[["value", "ci_low", "ci_high"]].tolist() == [0, 0, 0]
    assert one(result, "r3-gan", "retention", "mean")[["value", "ci_low", "ci_high"]].tolist() == [1, 1, 1]


def test_an_anti_classifier_is_below_chance_not_flipped() -> None:
    flipped = table(0.5, 1)
    flipped["score"] = 1 - flipped["score"]
    result = metrics(predictions={"r0": {"real": table(0.5, 1), "r3-gan": flipped}})
    assert one(result, "r3-gan", "auroc", "mean")["value"] < 0.1
    assert one(result, "r3-gan", "retention", "mean")["value"] < -0.9


def test_pseudonyms_change_no_number() -> None:
    other = {"real": table(0.5, 1, prefix="z"), "r3-gan": table(1.5, 2, prefix="z")}
    pd.testing.assert_frame_equal(metrics(), metrics(predictions={"r0": other}))


def test_findings_that_are_not_to_be_averaged_are_still_shown() -> None:
    result = metrics(findings=[], common=[])
    assert np.isnan(one(result, "real", "auroc", "mean")["value"])
    assert one(result, "real", "auroc", "no_finding")["value"] > 0.5


def test_predictions_of_other_images_are_refused() -> None:
    with pytest.raises(UserError, match="r3-gan are of other test images"):
        metrics(predictions={"r0": {"real": table(0.5, 1), "r3-gan": table(0.5, 1, patients=70)}})
    own = {"real": table(0.5, 1), "r3-gan": table(0.5, 1)}
    other = {"real": table(0.5, 1, patients=70), "r3-gan": table(0.5, 1, patients=70)}
    with pytest.raises(UserError, match="real are of other test images"):
        metrics(predictions={"r0": own, "r1": other})


def test_all_measures_equal_references_and_are_averaged_over_findings() -> None:
    result = metrics()
    rows = {source: table(noise, seed) for source, noise, seed in (("real", 0.5, 1), ("r3-gan", 1.5, 2))}
    for source, own in rows.items():
        found = []
        for finding in FINDINGS[:2]:
            label, score = own.loc[own["finding"] == finding, ["label", "score"]].to_numpy().T
            found.append([average_precision_score(label, score), brier_score_loss(label, score)])
            values = [one(result, source, metric, finding)["value"] for metric in ("average_precision", "brier")]
            assert values == pytest.approx(found[-1])
        means = [one(result, source, metric, "mean")["value"] for metric in ("average_precision", "brier")]
        assert means == pytest.approx(np.mean(found, axis=0))
    for metric in ("auroc", "average_precision"):
        assert one(result, "real", metric, "mean")["value"] > one(result, "r3-gan", metric, "mean")["value"]
    for metric in ("brier", "calibration_error"):
        assert one(result, "real", metric, "mean")["value"] < one(result, "r3-gan", metric, "mean")["value"]
    given = result.dropna(subset="ci_low")
    assert (given["ci_low"] <= given["value"]).all()
    assert (given["value"] <= given["ci_high"]).all()


def test_calibration_error_has_the_basic_interval_and_brier_the_percentile_one() -> None:
    own = table(0.5, 1)
    labels, scores = own["label"].to_numpy().reshape(-1, 3), own["score"].to_numpy().reshape(1, -1, 3)
    patients = own["patient_id"].to_numpy()[::3]
    names = ["calibration_error", "brier"]
    drawn = bootstrap_measures(labels, scores, patients, STATISTICS.bootstrap, np.random.default_rng(3), names)
    expected = [
        basic_interval(drawn.values[0, 0, 0], drawn.samples[0, 0, 0], 0.95),
        percentile_interval(drawn.samples[1, 0, 0], 0.95),
    ]
    result = metrics()
    for name, interval in zip(names, expected, strict=True):
        row = one(result, "real", name, FINDINGS[0])
        assert (row["ci_low"], row["ci_high"]) == interval


def test_delong_stands_beside_the_bootstrap_and_agrees() -> None:
    result = metrics(statistics=Statistics(bootstrap=1000))
    for source, metric in (("real", "auroc"), ("r3-gan", "auroc"), ("r3-gan", "utility_gap")):
        for finding in FINDINGS[:2]:
            bootstrap = one(result, source, metric, finding)
            theory = one(result, source, metric, finding, "delong")
            assert theory["value"] == pytest.approx(bootstrap["value"], abs=1e-12)
            widths = [row["ci_high"] - row["ci_low"] for row in (theory, bootstrap)]
            assert widths[0] == pytest.approx(widths[1], rel=0.2)
    # One positive patient is too few for a variance from theory.
    assert np.isnan(one(result, "real", "auroc", "no_finding", "delong")["ci_low"])


def test_redrawn_resamples_are_counted() -> None:
    result = metrics()
    assert one(result, "real", "redrawn", "epidural")["value"] == 0
    # A single positive patient of 80 is missed by (79/80)^80 = 37 % of the draws: 0.37 / 0.63 * 200 = 116 in vain.
    assert 70 < one(result, "real", "redrawn", "no_finding")["value"] < 170


def test_readers_of_the_metrics_see_no_delong_rows() -> None:
    result = metrics()
    without = result[result["parameter"] == ""]
    for metric in ("auroc", "utility_gap", "retention", "brier"):
        pd.testing.assert_frame_equal(select(result, metric), select(without, metric))
    for read in (
        summarise,
        lambda rows: summarise(rows, "epidural"),
        lambda rows: axis_table(rows, "resolution"),
        lambda rows: finding_table(rows, "resolution-016", {}),
        lambda rows: latex_table(rows, "resolution"),
        headline,
        results_table,
        lambda rows: answers(rows, Statistics()),
    ):
        seen, expected = read(result), read(without)
        assert seen.equals(expected) if isinstance(seen, pd.DataFrame) else seen == expected
    doubled = result.assign(value=np.where(result["parameter"] == "delong", 9.0, result["value"]))
    assert select(doubled, "auroc")["value"].max() <= 1


NOISE = {f"r{number}": {"real": table(0.5, 1), "r3-gan": table(50.0, 30 + number)} for number in range(3)}
"""A source that learnt nothing: its scores are noise."""


@pytest.mark.parametrize("replicates", [1, 3])
def test_flipping_lifts_noise_above_chance_but_the_verdict_is_not_fooled(replicates: int) -> None:
    predictions = dict(list(NOISE.items())[:replicates])
    flipped = metrics(predictions=predictions, protocol=Protocol(flip_auroc=True), findings=FINDINGS[:2])
    name = "all" if replicates > 1 else "r0"
    shown = one(flipped, "r3-gan", "auroc", "mean", replicate=name)
    assert shown["ci_low"] > 0.5, "of flipped AUROCs none can reach chance"
    plain = one(flipped, "r3-gan", "auroc", "mean", "unflipped", name)
    assert plain["ci_low"] < 0.5 < plain["ci_high"]
    read = summarise(flipped).set_index("source")
    assert read["verdict"].to_dict() == {"real": "", "r3-gan": "not trained long enough"}
    assert read.loc["r3-gan", ["auroc", "auroc_low"]].tolist() == shown[["value", "ci_low"]].tolist()
    for drawn in (axis_table(flipped, "resolution"), finding_table(flipped, "resolution-016", {})):
        rows = drawn[(drawn["source"] == "r3-gan") & (drawn["replicate"] == "all")]
        assert set(rows["verdict"]) == {"not trained long enough"}
    (found,) = answers(flipped, Statistics())
    assert found.verdict == "not trained long enough"
    assert "unless it is flipped" in found.sentence


def test_where_real_images_taught_nothing_flipping_gives_no_reference() -> None:
    noise = {"r0": {"real": table(50.0, 30), "r3-gan": table(0.5, 1)}}
    flipped = metrics(predictions=noise, protocol=Protocol(flip_auroc=True))
    assert one(flipped, "real", "auroc", "mean")["ci_low"] > 0.5
    assert np.isnan(one(flipped, "r3-gan", "retention", "mean")["ci_low"])
    (found,) = answers(flipped, Statistics())
    assert found.verdict == "nothing can be said"
    assert "does not beat chance" in found.sentence


def several(count: int = 3, spread: float = 0.2) -> dict[str, dict[str, pd.DataFrame]]:
    """Replicates whose synthetic classifiers differ in skill, and whose real ones hardly do."""
    return {
        f"r{number}": {"real": table(0.5, 10 + number), "r3-gan": table(1.2 + spread * number, 20 + number)}
        for number in range(count)
    }


def test_replicates_are_as_they_are_alone_and_pooled_beside() -> None:
    given = several()
    result = metrics(predictions=given)
    for name, own in given.items():
        alone = metrics(predictions={name: own})
        pd.testing.assert_frame_equal(result[result["replicate"] == name].reset_index(drop=True), alone)
    pooled = result[result["replicate"] == "all"]
    assert set(pooled["parameter"]) == {""}
    assert len(pooled) == (4 + 9) * 5 + 3
    for metric in ("auroc", "average_precision", "brier", "calibration_error", "utility_gap"):
        values = [one(result, "r3-gan", metric, "mean", replicate=name)["value"] for name in given]
        assert one(result, "r3-gan", metric, "mean", replicate="all")["value"] == pytest.approx(np.mean(values))
    aurocs = [one(result, source, "auroc", "mean", replicate="all")["value"] for source in ("r3-gan", "real")]
    kept = one(result, "r3-gan", "retention", "mean", replicate="all")
    assert kept["value"] == pytest.approx((aurocs[0] - 0.5) / (aurocs[1] - 0.5))
    assert kept["ci_low"] < kept["value"] < kept["ci_high"]
    assert one(result, "real", "redrawn", "no_finding", replicate="all")["value"] > 70


def width(result: pd.DataFrame, source: str, replicate: str) -> float:
    row = one(result, source, "auroc", "mean", replicate=replicate)
    return row["ci_high"] - row["ci_low"]


def test_pooled_interval_shows_patients_and_replicates() -> None:
    same = {f"r{number}": {"real": table(0.5, 1), "r3-gan": table(1.5, 2)} for number in range(3)}
    equal = metrics(predictions=same)
    columns = ["source", "metric", "finding", "value", "ci_low", "ci_high"]
    patients_only, pooled = (
        equal[(equal["replicate"] == name) & (equal["parameter"] == "")][columns].reset_index(drop=True)
        for name in ("r0", "all")
    )
    pd.testing.assert_frame_equal(pooled, patients_only, atol=1e-12)
    apart = metrics(predictions=several(3, spread=1.5), statistics=Statistics(bootstrap=1000))
    assert width(apart, "r3-gan", "all") > 1.2 * max(width(apart, "r3-gan", f"r{number}") for number in range(3))
    assert select(apart, "auroc", ["mean"])["replicates"].tolist() == [3, 3]
    shown = select(apart, "auroc", ["mean"]).set_index("source").loc["r3-gan"]
    pooled_row = one(apart, "r3-gan", "auroc", "mean", replicate="all")
    assert shown[["value", "ci_low", "ci_high"]].tolist() == pooled_row[["value", "ci_low", "ci_high"]].tolist()


def test_combined_tables_are_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    first = metrics()
    second = metrics(predictions={"r1": {"r3-gan": table(1.5, 4), "real": table(0.5, 3)}})
    write_parquet(tmp_path / "a", combine_metrics([first, second]))
    write_parquet(tmp_path / "b", combine_metrics([second.sample(frac=1, random_state=0), first]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    combined = combine_metrics([second, first])
    assert combined.equals(combined.sort_values(list(METRIC_KEYS), ignore_index=True))
    with pytest.raises(ValueError, match="same keys"):
        combine_metrics([first, first])
