"""Fixtures that run the workflow."""

from pathlib import Path

import pytest
from workflows import Workflow


@pytest.fixture(scope="session")
def workflow_type() -> type[Workflow]:
    return Workflow


@pytest.fixture
def tiny(tmp_path: Path) -> Workflow:
    return Workflow(tmp_path / "work", name="tiny")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The smoke study, run once: every rule, both cohorts."""
    workflow = Workflow(tmp_path_factory.mktemp("smoke"), name="smoke")
    workflow.output = workflow.run()
    return workflow
