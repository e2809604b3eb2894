"""The complete study of the paper: its job graph follows from the config, without any data."""

import re
import resource

import pytest

pytestmark = pytest.mark.workflow
LIMIT = 60  # seconds of CPU time, which other work on the machine does not lengthen; it takes about 15


def test_its_whole_job_graph_is_built_without_data(workflow_type, tmp_path) -> None:
    paper = workflow_type(tmp_path / "paper", name="paper")
    before = _children_seconds()
    process = paper.start("--dry-run", "--quiet", "reason")
    output, _ = process.communicate(timeout=20 * LIMIT)
    assert process.returncode == 0, output[-6000:]
    assert _children_seconds() - before < LIMIT
    counts = {rule: int(count) for rule, count in re.findall(r"^([a-z_]+) +([0-9]+)$", output, re.MULTILINE)}
    experiments, replicates = 37, 5
    assert counts["select_images"] == experiments
    assert counts["sample"] == experiments * 3 * replicates
    assert counts["train_classifier"] == experiments * 4 * replicates
    assert counts["train_generator"] == experiments * 2 * replicates
    assert counts["train_judge"] == 2 * 5
    assert "draw" not in counts


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
