"""The same bytes: in another folder, and after a kill."""

from pathlib import Path

import pytest

from synthcohort.core.atomic import file_digest

pytestmark = pytest.mark.workflow
GENERATOR = "cohorts/head-phantom/resolution-008/r3-gan/r0/generator.safetensors"


def test_killed_training_resumes_to_the_same_bytes(tmp_path: Path, workflow_type) -> None:
    """An undisturbed run, and one that is killed (Snakemake and job, SIGKILL) during generator training."""
    whole = workflow_type(tmp_path / "whole")
    cut = workflow_type(tmp_path / "cut")
    for workflow in (whole, cut):
        workflow.config["generators"] = [{"family": "r3-gan", "kimg": {8: 30}}]
    whole.run()
    checkpoint = cut.results / Path(GENERATOR).parent / "run/checkpoint.pt"
    cut.kill_when(checkpoint.is_file)
    assert not (cut.results / GENERATOR).exists()
    cut.unlock()
    assert "r3-gan: continues at" in cut.run()
    for name in (GENERATOR, "metrics.parquet", GENERATOR.replace("generator", "classifier")):
        assert file_digest(cut.results / name) == file_digest(whole.results / name), name
