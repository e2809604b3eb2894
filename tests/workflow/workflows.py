"""Running the workflow in folders of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


class Workflow:
    """The project's Snakefile, run in a folder of its own."""

    def __init__(self, folder: Path, config: dict | None = None, name: str = "tiny") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = config or yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text())
        self.results = folder / "results" / self.config["study"]

    def command(self, *arguments: str) -> list[str]:
        (self.folder / "study.yaml").write_text(yaml.safe_dump(self.config))
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        return [*snakemake, *arguments, "--configfile", "study.yaml"]

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "COLUMNS": "200"},
        )

    def run(self, *arguments: str, expect: int = 0) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=2400)
        assert process.returncode == expect, output[-6000:]
        return output

    def rules_to_run(self, *arguments: str) -> set[str]:
        """Names of the rules that a dry run would run."""
        counts = re.findall(r"^([a-z_]+) +[0-9]+$", self.run("--dry-run", *arguments), re.MULTILINE)
        return set(counts) - {"all", "total"}

    def kill_when(self, ready: Callable[[], bool], *arguments: str) -> None:
        """Start, wait until `ready`, and end Snakemake and its jobs with SIGKILL, as a power cut would."""
        process = self.start(*arguments)
        deadline = time.monotonic() + 400
        while not ready():
            assert process.poll() is None, process.communicate()[0][-6000:]
            assert time.monotonic() < deadline, "never became ready to be killed"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

    def unlock(self) -> None:
        """What `make demo` does first: remove the lock of a Snakemake that is dead."""
        subprocess.run([sys.executable, "-m", "synthcohort.cli", "unlock"], cwd=self.folder, check=True)


def release_of(cohort: str, experiment: str, **more: str) -> dict[str, str]:
    """Config of a release of r3-gan's samples."""
    terms = {"source": "r3-gan", "license": "CC-BY-4.0", "creator": "Test clinic"}
    return {"cohort": cohort, "experiment": experiment, **terms, **more}


def sentence(output: str) -> str:
    """The last error that was said; asserts that no traceback surrounds it."""
    assert "Traceback" not in output, output[-4000:]
    said = re.findall(r"error: (.+)", output)
    assert said, output[-4000:]
    return said[-1]
