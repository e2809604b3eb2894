"""The complete study of the paper: its job graph follows from the config, without any data."""

import re

import pytest

pytestmark = pytest.mark.workflow
LIMIT = 240  # seconds; alone on two cores it takes about 15


def test_its_whole_job_graph_is_built_without_data(workflow_type, tmp_path) -> None:
    paper = workflow_type(tmp_path / "paper", name="paper")
    process = paper.start("--dry-run", "--quiet", "reason")
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, output[-6000:]
    counts = {rule: int(count) for rule, count in re.findall(r"^([a-z_]+) +([0-9]+)$", output, re.MULTILINE)}
    experiments, replicates = 37, 5
    assert counts["select_images"] == experiments
    assert counts["sample"] == experiments * 3 * replicates
    assert counts["train_classifier"] == experiments * 4 * replicates
    assert counts["train_generator"] == experiments * 2 * replicates
    assert counts["train_judge"] == 2 * 5
    assert "draw" not in counts
