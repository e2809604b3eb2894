"""A small study, and what of its results must be the same bytes however often and wherever it is run."""

from pathlib import Path

import yaml
from workflows import ROOT, release_of

from synthcohort.core.atomic import file_digest

COHORT = "results/tiny/cohorts/head-phantom"
STORE = f"{COHORT}/store/008"
SHEET = "results/tiny/internal/figures/cohort-head-phantom"
RUN = f"{COHORT}/resolution-008/r3-gan/r0"
GENERATOR, CLASSIFIER = f"{RUN}/generator.safetensors", f"{RUN}/classifier.safetensors"
TRAINING_LOG = "results/tiny/logs/train_generator/head-phantom-resolution-008-r3-gan-r0.log"

# Not compared, as they tell times or how often a job was begun; everything else under results/ is.
NOT_COMPARED = {
    "benchmarks",  # seconds and memory of each job
    "logs",  # lines begin with the time of day
    "run",  # checkpoints and event files: what is left of the way, not results
    "run-stale-1",  # the same of a training that was killed before its first checkpoint
    "timing.csv",  # seconds of each tick of a training
    "report.html",  # the cost of the study in hours
    "report-shareable.html",  # the same
    "provenance.json",  # the digests of these two pages
    "crate.zip",  # holds all three
}


def digests(folder: Path, under: str = "results/tiny") -> dict[str, str]:
    """Path → SHA-256 of weights, metrics, tables, stores and figures."""
    paths = (path for path in sorted((folder / under).rglob("*")) if path.is_file())
    whole = (path for path in paths if path.suffix != ".part")  # a killed job's half-written file, which nobody reads
    named = {path.relative_to(folder): path for path in whole}
    return {str(name): file_digest(path) for name, path in named.items() if not NOT_COMPARED & set(name.parts)}


def tiny() -> dict:
    """studies/tiny.yaml: too few patients for costly audits ("not measured"), a training long enough to be cut."""
    return yaml.safe_load((ROOT / "studies/tiny.yaml").read_text())


def complete_tiny() -> dict:
    """Add a family that grows, readers and a release: with `COMPLETE`, every rule has a job.

    But for `select_shadows`, which needs more patients: tests/workflow/test_private_family.py kills it.
    """
    config = tiny()
    config["axes"][0]["families"] = ["r3-gan", "prog-gan"]
    config["generators"].append({"family": "prog-gan", "kimg": {8: 0.5}})
    config["readers"] = {"count": 2, "images": 2, "repeated": 0, "side": 64, "simulate": True}
    reason = "A test of faults decided so: no person is in this cohort."
    config["release"] = release_of("head-phantom", "resolution-008", override=reason)
    return config


COMPLETE = ("all", "release", "crate")
