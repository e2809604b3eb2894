"""Adding a family as docs/generators.md tells: one file, one line, and the workflow knows it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("Snakefile", "config.yaml", "rules", "scripts", "profiles", "envs", "requirements.lock")


def test_the_documented_family_runs_from_data_to_report(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        project.mkdir(exist_ok=True)
        copy(ROOT / name, project / name)
    text = (ROOT / "docs" / "generators.md").read_text()
    family, line = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (project / "scripts/synthcohort/gan/toy_gan.py").write_text(family)
    registry = project / "scripts/synthcohort/core/families.py"
    registry.write_text(registry.read_text().replace("FAMILIES = {\n", "FAMILIES = {\n" + line))

    config = yaml.safe_load((ROOT / "studies/tiny.yaml").read_text())
    config["axes"][0]["families"] = ["toy-gan"]
    config["generators"] = [{"family": "toy-gan", "kimg": {8: 1}}]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    command = ["snakemake", "--snakefile", str(project / "Snakefile"), "--cores", "2", "--configfile", "study.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    results = tmp_path / "results" / "tiny"
    metrics = pd.read_parquet(results / "metrics.parquet")
    assert set(metrics["source"]) == {"real", "toy-gan"}
    assert "toy-gan" in (results / "report.html").read_text()
