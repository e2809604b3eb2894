"""What the report says of fidelity: values beside their controls, and nothing where nothing was measured."""

import numpy as np
import pandas as pd
import pytest

from synthcohort.figures.fidelity import PANELS
from synthcohort.figures.multiples import order_rows, panel_rows
from synthcohort.figures.report.fidelity import attribution_tables, detection_table, neighbour_table

ROW = {
    "study": "s", "cohort": "c", "experiment": "resolution-016", "axis": "resolution", "level": "016",
    "source": "r3-gan", "replicate": "r0", "finding": "", "parameter": "", "n": 10, "simulated": True,
}  # fmt: skip


def metrics(*rows: tuple) -> pd.DataFrame:
    """Rows of metric, role, features, value and half the width of its interval, and what else differs."""
    return pd.DataFrame(
        [
            {**ROW, "metric": metric, "role": role, "features": features, "value": value, "ci_low": value - half,
             "ci_high": value + half, **(more[0] if more else {})}
            for metric, role, features, value, half, *more in rows
        ]
    )  # fmt: skip


def test_detection_stands_beside_its_controls() -> None:
    table = detection_table(
        metrics(
            ("machine_auroc", "value", "small", 0.9, 0.05),
            ("machine_accuracy", "value", "small", 0.8, np.nan),
            ("machine_auroc", "negative_control", "small", 0.5, 0.02, {"source": "real"}),
            ("machine_auroc", "positive_control", "small", 0.99, 0.01, {"source": "real", "parameter": "noise-8"}),
            ("machine_auroc", "value", "small", 0.7, 0.1, {"source": "cpd-gan"}),
        )
    )
    assert table is not None
    assert table.columns[:3] == ["Cohort", "Experiment", "Family"]
    assert table.rows == [
        ["c", "resolution-016", "cpd-gan", "0.70 (0.60 to 0.80)", "–", "0.50 (0.48 to 0.52)", "0.99 (0.98 to 1.00)"],
        ["c", "resolution-016", "r3-gan", "0.90 (0.85 to 0.95)", "0.80", "0.50 (0.48 to 0.52)", "0.99 (0.98 to 1.00)"],
    ]


def test_neighbours_keep_their_spaces_apart_and_name_replicates_where_there_are_several() -> None:
    rows = [
        ("nearest_ratio", role, features, value, 0.01, {"replicate": replicate})
        for replicate, shift in (("r0", 0), ("r1", 0.1))
        for features, value, role in (
            ("judge (plain)", 0.9 + shift, "value"),
            ("pixels", 1.0 + shift, "value"),
            ("pixels", 0.1 + shift, "positive_control"),
        )
    ]
    table = neighbour_table(metrics(*rows))
    assert table is not None
    assert table.columns[3:6] == ["Replicate", "Synthetic, judge", "Real, judge"]
    assert table.rows[1] == [
        "c", "resolution-016", "r3-gan", "r1", "1.00 (0.99 to 1.01)", "–", "–", "1.10 (1.09 to 1.11)", "–",
        "0.20 (0.19 to 0.21)",
    ]  # fmt: skip


def test_attribution_stands_beside_another_image_and_an_untrained_network() -> None:
    def row(metric: str, role: str, value: float, source: str = "r3-gan", method: str = "occlusion") -> tuple:
        return (metric, role, "", value, 0.1, {"source": source, "parameter": method, "finding": "mean"})

    tables = attribution_tables(
        metrics(
            row("attribution_agreement", "value", 0.5),
            row("attribution_agreement", "negative_control", 0.2),
            row("attribution_agreement", "floor", 0.1, "real", "grad_cam"),
            ("attribution_agreement", "value", "", 0.9, 0.1, {"parameter": "occlusion", "finding": "edema"}),
        )
    )
    assert len(tables) == 1, "no masks, so no overlap"
    assert tables[0].columns[3:5] == ["Occlusion", "Occlusion, another image"]
    assert tables[0].rows == [
        ["c", "resolution-016", "r3-gan", "0.50 (0.40 to 0.60)", "0.20 (0.10 to 0.30)", *["–"] * 4],
        ["c", "resolution-016", "untrained", *["–"] * 4, "0.10 (0.00 to 0.20)", "–"],
    ]


def test_what_was_not_measured_has_no_table() -> None:
    other = metrics(("auroc", "value", "", 0.9, 0.1))
    assert detection_table(other) is None
    assert neighbour_table(other) is None
    assert attribution_tables(other) == []


def test_replicates_are_shown_of_families_that_have_several_and_of_no_control() -> None:
    def rows(role: str, *values: float) -> pd.DataFrame:
        made = metrics(*(("kid", role, "", value, 0.1, {"replicate": f"r{i}"}) for i, value in enumerate(values)))
        return panel_rows(made, "kid", role)

    one = order_rows([rows("value", 0.4), rows("floor", 0.2, 0.3)], PANELS)
    assert one[["role", "replicate", "replicates"]].values.tolist() == [["floor", "all", 2], ["value", "all", 1]]
    assert one["value"].tolist() == pytest.approx([0.25, 0.4])
    several = order_rows([rows("value", 0.4, 0.6), rows("floor", 0.2)], PANELS)
    assert several["replicate"].tolist() == ["all", "all", "r0", "r1"]
    assert several["value"].tolist() == pytest.approx([0.2, 0.5, 0.4, 0.6])
    assert several["ci_low"].isna().tolist() == [False, False, True, True]
