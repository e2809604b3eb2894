from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthcohort.audit.utility import METRIC_COLUMNS, METRIC_KEYS, combine_metrics, utility_metrics
from synthcohort.core.atomic import write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError

KEYS = {
    "study": "tiny", "cohort": "head-phantom", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "replicate": "r0",
}  # fmt: skip
FINDINGS = ["epidural", "subdural", "no_finding"]
STATISTICS = Statistics(bootstrap=200)


def table(noise: float, seed: int, patients: int = 80, prefix: str = "p") -> pd.DataFrame:
    """Two images a patient; `no_finding` is positive in the first patient only."""
    shared = np.random.default_rng(0)
    count = 2 * patients
    labels = shared.integers(0, 2, (count, 3)).astype(float)
    labels[:, 2] = np.arange(count) < 2
    scores = labels + noise * np.random.default_rng(seed).normal(size=labels.shape)
    return pd.DataFrame(
        {
            "image_id": np.repeat([f"{prefix}{i}" for i in range(count)], 3),
            "patient_id": np.repeat([f"{prefix}{i // 2}" for i in range(count)], 3),
            "finding": np.tile(FINDINGS, count),
            "label": labels.ravel(),
            "score": scores.ravel(),
        }
    )


def metrics(**changes: object) -> pd.DataFrame:
    arguments = {
        "keys": KEYS,
        "predictions": {"r3-gan": table(1.5, 2), "real": table(0.5, 1)},
        "findings": FINDINGS[:2],
        "common": FINDINGS[:1],
        "statistics": STATISTICS,
        "seed": 3,
        "simulated": True,
    }
    return utility_metrics(**(arguments | changes))  # type: ignore[arg-type]


def one(result: pd.DataFrame, source: str, metric: str, finding: str) -> pd.Series:
    chosen = result[(result["source"] == source) & (result["metric"] == metric) & (result["finding"] == finding)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_every_source_metric_and_finding_has_its_row() -> None:
    result = metrics()
    assert list(result.columns) == list(METRIC_COLUMNS)
    assert len(result) == (1 + 3) * 5  # real has no gap and no retention
    assert set(result["finding"]) == {*FINDINGS, "mean", "mean_common"}
    assert not result[result["source"] == "real"]["metric"].isin(["utility_gap", "retention"]).any()
    assert (result["n"] == 80).all()


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


def test_a_copy_of_the_real_classifier_keeps_all_with_a_certain_interval() -> None:
    result = metrics(predictions={"real": table(0.5, 1), "r3-gan": table(0.5, 1)})
    assert one(result, "r3-gan", "utility_gap", "mean")[["value", "ci_low", "ci_high"]].tolist() == [0, 0, 0]
    assert one(result, "r3-gan", "retention", "mean")[["value", "ci_low", "ci_high"]].tolist() == [1, 1, 1]


def test_an_anti_classifier_is_below_chance_not_flipped() -> None:
    flipped = table(0.5, 1)
    flipped["score"] = -flipped["score"]
    result = metrics(predictions={"real": table(0.5, 1), "r3-gan": flipped})
    assert one(result, "r3-gan", "auroc", "mean")["value"] < 0.1
    assert one(result, "r3-gan", "retention", "mean")["value"] < -0.9


def test_pseudonyms_change_no_number() -> None:
    other = {"real": table(0.5, 1, prefix="z"), "r3-gan": table(1.5, 2, prefix="z")}
    pd.testing.assert_frame_equal(metrics(), metrics(predictions=other))


def test_findings_that_are_not_to_be_averaged_are_still_shown() -> None:
    result = metrics(findings=[], common=[])
    assert np.isnan(one(result, "real", "auroc", "mean")["value"])
    assert one(result, "real", "auroc", "no_finding")["value"] > 0.5


def test_predictions_of_other_images_are_refused() -> None:
    with pytest.raises(UserError, match="r3-gan are of other test images"):
        metrics(predictions={"real": table(0.5, 1), "r3-gan": table(0.5, 1, patients=70)})


def test_combined_tables_are_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    first = metrics()
    second = metrics(keys=KEYS | {"replicate": "r1"})
    write_parquet(tmp_path / "a", combine_metrics([first, second]))
    write_parquet(tmp_path / "b", combine_metrics([second.sample(frac=1, random_state=0), first]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    combined = combine_metrics([second, first])
    assert combined.equals(combined.sort_values(list(METRIC_KEYS), ignore_index=True))
    with pytest.raises(ValueError, match="same keys"):
        combine_metrics([first, first])
