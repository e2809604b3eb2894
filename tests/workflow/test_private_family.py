"""A family with a privacy bound, attacked with shadow generators of its own."""

import json
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
from compared import digests
from planted import study_of, write_cohort
from watching import Watcher

pytestmark = pytest.mark.workflow
EXPERIMENT = "cohorts/own/resolution-008"
EPSILON, SHADOWS = 10, 4


@pytest.fixture(scope="module")
def shadowed(tmp_path_factory: pytest.TempPathFactory, workflow_type):
    workflow = workflow_type(tmp_path_factory.mktemp("shadowed"), study_of("incoming"))
    write_cohort(workflow.folder / "incoming", images=6)
    workflow.config["cohorts"][0]["ingest"]["shards"] = 1
    workflow.config["axes"][0]["families"] = ["dp-gan"]
    workflow.config["generators"] = [{"family": "dp-gan", "kimg": {8: 0.5}, "epsilon": EPSILON, "delta": 1e-3}]
    workflow.config["privacy"] = {"shadows": SHADOWS}
    workflow.run(f"results/own/{EXPERIMENT}/privacy-r0.parquet")
    return workflow


def test_generator_and_shadows_keep_to_the_bound(shadowed) -> None:
    names = ["r0", *(f"r0s{number}" for number in range(SHADOWS))]
    cards = [
        json.loads((shadowed.results / EXPERIMENT / "dp-gan" / name / "generator.json").read_text()) for name in names
    ]
    assert all(0 < card["privacy"]["epsilon"] <= EPSILON for card in cards)
    assert {card["privacy"]["delta"] for card in cards} == {1e-3}
    assert not any(card["guided"] for card in cards)
    assert len({card["seed"] for card in cards}) == len(cards)


def test_shadows_are_dealt_other_halves(shadowed) -> None:
    """Whoever is attacked is in half of the shadows."""
    folder = shadowed.results / EXPERIMENT
    audited = pd.read_parquet(folder / "selection.parquet")
    tables = [pd.read_parquet(folder / f"shadows/r0s{number}.parquet") for number in range(SHADOWS)]
    learnt = [set(table.loc[table["side"] == "train", "patient_id"]) for table in tables]
    tested = set(audited.loc[audited["side"] == "test", "patient_id"])
    assert {sum(patient in own for own in learnt) for patient in tested} == {SHADOWS // 2}


def test_dealing_is_killed_once(shadowed, workflow_type, tmp_path: Path) -> None:
    """SIGKILL at a random moment and one retry, as tests/faults does with every other rule."""
    shutil.copytree(shadowed.folder, tmp_path / "project", symlinks=True)
    again = workflow_type(tmp_path / "project", shadowed.config)
    tables = sorted((again.results / EXPERIMENT / "shadows").glob("*.parquet"))
    undisturbed = digests(again.folder, "results/own")
    assert len(tables) == SHADOWS
    watcher = Watcher({"select_shadows": random.Random(7).uniform(0, 1)})  # CPU seconds; the job takes more
    for table in tables:
        table.unlink()
    process = again.start("--retries", "1", *(str(table.relative_to(again.folder)) for table in tables))
    with watcher.watching(process.pid):
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output[-6000:]
    assert watcher.killed == {"select_shadows"}
    assert digests(again.folder, "results/own") == undisturbed


def test_their_attack_stands_beside_its_controls(shadowed) -> None:
    metrics = pd.read_parquet(shadowed.results / EXPERIMENT / "privacy-r0.parquet")
    rows = metrics[(metrics["metric"] == "attack_auroc") & metrics["parameter"].str.startswith("shadow_generators")]
    assert {"judge (plain)", "pixels"} <= set(rows["features"])
    attacks = rows[rows["role"] == "value"]
    assert attacks["value"].between(0, 1).all()
    assert (attacks["source"] == "dp-gan").all()
    caught = rows[(rows["role"] == "positive_control") & (rows["features"] == "pixels")]
    assert set(caught["parameter"]) == {"shadow_generators/image", "shadow_generators/patient"}
    assert (caught["value"] > 0.9).all(), "the judge of so short a training has no features to find copies by"
