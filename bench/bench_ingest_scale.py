"""Whether ingest stays linear in time and flat in memory as a cohort grows, and what 100 more files cost.

Writes up to 50 000 uncompressed 64² CT slices, runs index,
one of four shards, and merge, each in a process of its own, and notes processor time and peak memory of each. Small
slices, as what grows with their number is the question here; bench_ingest.py measures full ones. Writes
docs/evidence/ingest-scale.csv. About 10 minutes of one core.
"""

import argparse
import multiprocessing
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench_ingest import write_slices

from synthcohort.core.atomic import read_json, read_parts, write_csv, write_json, write_parquet
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.store import Finding
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Shard, preprocess_shard

COUNTS, MORE = (1_000, 10_000, 50_000), 100
SHARDS, SIDE, RESOLUTIONS = 4, 64, [32]
ELEMENTS = 100


def index(work: Path) -> None:
    """As the rule `index`."""
    names = sorted(path.name for path in (work / "in").iterdir())
    labels = pd.DataFrame({"file": names, "finding": np.arange(len(names)) % 2})
    found = index_folder(work / "in", labels, "file", [], Ingest(shards=SHARDS), max(RESOLUTIONS), work / "private", 1)
    write_parquet(work / "headers.parquet", found.parts())
    write_json(work / "findings.json", [finding.model_dump() for finding in found.findings])


def preprocess(work: Path, number: int = 0) -> None:
    """As the rule `preprocess`, for one shard."""
    findings = [Finding.model_validate(entry) for entry in read_json(work / "findings.json")]
    shard = Shard("bench", True, work / "in", work / "private", Ingest(shards=SHARDS), RESOLUTIONS, findings)
    preprocess_shard(shard, number, read_parts(work / "headers.parquet"), work / f"shard{number}")


def merge(work: Path) -> None:
    """As the rule `merge`."""
    shards = [work / f"shard{number}" for number in range(SHARDS)]
    merge_shards(read_parts(work / "headers.parquet"), shards, work / "store", work / "index.parquet", RESOLUTIONS, 0.0)


def nothing(_work: Path) -> None:
    """Do nothing: imports alone, to be taken off."""


def _measured(step: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[float, float]:
    start = time.process_time()
    step(*arguments)
    seconds = time.process_time() - start
    status = Path("/proc/self/status").read_text()  # getrusage would count what the parent had at the fork
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak
    return seconds, int(peak[1]) / 1024


def measure(step: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    """Seconds of processor time and peak memory in MB, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, step, arguments).result()


def measure_cohort(work: Path, count: int) -> list[dict[str, Any]]:
    """One row per step, and those of a rerun with more files."""
    write_slices(work / "in", count, SIDE, ELEMENTS)
    rows = [row(count, "imports", 0, *measure(nothing, work)), row(count, "index", count, *measure(index, work))]
    for number in range(SHARDS):
        shard = measure(preprocess, work, number)
        if number == 0:
            files = int((pd.read_parquet(work / "headers.parquet", columns=["shard"])["shard"] == 0).sum())
            rows.append(row(count, "preprocess (one of four)", files, *shard))
    rows.append(row(count, "merge", count, *measure(merge, work)))
    write_slices(work / "more", MORE, SIDE, ELEMENTS, first=count)
    for path in (work / "more").iterdir():
        path.rename(work / "in" / path.name)
    rows.append(row(count, f"index, {MORE} files more", count + MORE, *measure(index, work)))
    rows.append(row(count, f"preprocess, {MORE} files more", files + MORE // SHARDS, *measure(preprocess, work, 0)))
    return rows


def row(cohort: int, step: str, files: int, seconds: float, memory: float) -> dict[str, Any]:
    """One row of the table."""
    rate = round(files / seconds) if files else ""
    return {
        "cohort_files": cohort, "step": step, "files": files, "cpu_seconds": round(seconds, 2),
        "files_per_second": rate, "peak_memory_mb": round(memory),
    }  # fmt: skip


def main() -> None:
    """Measure each size, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--output", type=Path, default=Path("docs/evidence/ingest-scale.csv"))
    options = parser.parse_args()
    rows = []
    for count in options.counts:
        work = Path(tempfile.mkdtemp())
        try:
            rows += measure_cohort(work, count)
        finally:
            shutil.rmtree(work)
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    write_csv(options.output, pd.DataFrame(rows))


if __name__ == "__main__":
    main()
