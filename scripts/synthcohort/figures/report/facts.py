"""What the study ran on, with what, and what it cost."""

import os
import platform
from importlib import metadata
from pathlib import Path

import pandas as pd
import psutil

from synthcohort.core import versions

PACKAGES = [
    "synthcohort",
    "torch",
    "torchvision",
    "snakemake",
    "pydicom",
    "numpy",
    "pandas",
    "matplotlib",
]
COSTS = ["rule", "jobs", "seconds", "longest", "memory_mb"]


def machine_facts() -> dict[str, str]:
    """Describe this machine without naming it: no host name, no user."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "Processor": _processor(),
        "Cores": str(os.cpu_count()),
        "Memory": f"{memory:.0f} GiB",
        "System": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def software_versions() -> dict[str, str]:
    """Versions of the packages that results depend on, and of each stage."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    stages = {name: value for name, value in vars(versions).items() if name.isupper()}
    found["stages"] = ", ".join(f"{name.lower()} {value}" for name, value in stages.items())
    return found


def read_benchmarks(folder: str | Path) -> pd.DataFrame:
    """Read Snakemake's benchmarks, ``{folder}/{rule}/{job}.tsv``, into one row per job.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``job``, ``seconds`` (wall time) and ``memory_mb`` (largest resident memory; NaN where the job was too
        short to be sampled).
    """
    rows = []
    for path in sorted(Path(folder).glob("*/*.tsv")):
        table = pd.read_csv(path, sep="\t")
        for column in ("s", "max_rss"):
            table[column] = pd.to_numeric(table[column], errors="coerce")
        names = {"rule": path.parent.name, "job": path.stem}
        rows.append({**names, "seconds": table["s"].sum(), "memory_mb": table["max_rss"].max()})
    return pd.DataFrame(rows, columns=["rule", "job", "seconds", "memory_mb"])


def cost_table(benchmarks: pd.DataFrame) -> pd.DataFrame:
    """Add up jobs per rule, the most expensive first.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``jobs``, ``seconds`` (sum), ``longest`` (seconds of the longest job), ``memory_mb`` (largest).
    """
    if benchmarks.empty:
        return pd.DataFrame(columns=COSTS)
    table = benchmarks.groupby("rule", as_index=False).agg(
        jobs=("seconds", "size"), seconds=("seconds", "sum"), longest=("seconds", "max"), memory_mb=("memory_mb", "max")
    )
    return table.sort_values(["seconds", "rule"], ascending=[False, True], ignore_index=True)
