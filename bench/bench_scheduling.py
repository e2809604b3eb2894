"""What starting jobs costs: building the job graph, a job that does nothing, and the imports of every rule's script.

Prints a table, and writes it as CSV with --output. With --before, the imports of another checkout of this repository
are measured in turn with this one's. About 5 minutes.
"""

import argparse
import ast
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from synthcohort.core.load import read_merged
from synthcohort.core.plan import Plan
from synthcohort.forecast.costs import Costs, default_calibration
from synthcohort.forecast.jobs import count_jobs, study_jobs
from synthcohort.forecast.sizes import Sizes
from synthcohort.forecast.work import Work

ROOT = Path(__file__).parents[1]
STUDIES = ("tiny", "smoke", "config", "evidence", "paper")
NOTHING = 40
EMPTY = """
rule all:
    input: expand("done/{{number}}", number=range({number}))
rule nothing:
    output: "done/{{number}}"
    {kind}
"""
KINDS = {"shell": 'shell: "touch {output}"', "script": 'script: "nothing.py"'}


def run(command: list[str], folder: Path | None = None, scripts: Path | None = None) -> dict[str, float]:
    """Wall and processor seconds of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(scripts or ROOT / "scripts")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": wall, "cpu_seconds": cpu}


def graph(name: str) -> dict[str, Any]:
    """Dry run of a study."""
    config = ROOT / "config.yaml" if name == "config" else ROOT / "studies" / f"{name}.yaml"
    jobs = len(study_jobs(Plan(read_merged(ROOT / "config.yaml", config))))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--cores", "2"]
        command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", folder, "--configfile", str(config)]
        return {"what": "job graph", "name": "demo" if name == "config" else name, "jobs": jobs, **run(command)}


def nothing(kind: str) -> dict[str, Any]:
    """Start of one job that does nothing: many of them less one, in a Snakemake of one core."""
    found = []
    for number in (1, NOTHING + 1):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "Snakefile").write_text(EMPTY.format(number=number, kind=KINDS[kind]))
            (Path(folder) / "nothing.py").write_text("open(snakemake.output[0], 'w').close()\n")
            profile = Path(folder) / "profiles" / "default"
            profile.mkdir(parents=True)
            (profile / "config.yaml").write_text((ROOT / "profiles" / "default" / "config.yaml").read_text())
            found.append(run([sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"], Path(folder)))
    one, many = found
    each = {key: (many[key] - one[key]) / NOTHING for key in one}
    return {"what": "a job that does nothing", "name": kind, "jobs": NOTHING, **each}


def imports(script: Path) -> str:
    """Source of a script's imports alone."""
    tree = ast.parse(script.read_text())
    body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return ast.unparse(ast.Module(body, [])) + "\nimport sys; print('torch' in sys.modules)"


def start_of_scripts(checkouts: dict[str, Path], turns: int) -> list[dict[str, Any]]:
    """Start of Python with the imports of every rule's script, checkouts taking turns."""
    rules = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
    rows = []
    for rule in ["", *rules]:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
        for _ in range(turns):
            for name, root in checkouts.items():
                script = root / "scripts" / f"{rule}.py"
                if rule and not script.is_file():
                    continue
                code = imports(script) if rule else "pass"
                found[name].append(run([sys.executable, "-c", code], scripts=root / "scripts"))
        for name, starts in found.items():
            if starts:
                times = {key: median(start[key] for start in starts) for key in starts[0]}
                rows.append({"what": f"start and imports, {name}", "name": rule or "bare Python", **times})
        print(rows[-1]["name"], *(round(row["cpu_seconds"], 2) for row in rows[-len(checkouts) :]), flush=True)
    return rows


def share(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Processor seconds of the default study that are spent in Snakemake and imports, and their share of all."""
    plan = Plan(read_merged(ROOT / "config.yaml"))
    jobs = study_jobs(plan)
    costs = Costs(Work(plan, Sizes(plan)), default_calibration())
    total = sum(costs.of(job, jobs[job]).seconds.likely for job in jobs)
    starts = {row["name"]: row["cpu_seconds"] for row in rows if row["what"] == f"start and imports, {name}"}
    (each,) = (row["cpu_seconds"] for row in rows if row["name"] == "script")
    (demo,) = (row["cpu_seconds"] for row in rows if (row["what"], row["name"]) == ("job graph", "demo"))
    own = {rule: count * (starts[rule] + each) for rule, count in count_jobs(jobs).items() if rule in starts}
    spent = sum(own.values()) + demo
    print(f"{name}: {spent:.0f} s of {total:.0f} s, {spent / total:.1%}; most: {sorted(own.items(), key=_second)[-6:]}")
    return {"what": "default study: Snakemake and imports", "name": name, "jobs": len(jobs), "cpu_seconds": spent,
            "share": spent / total}  # fmt: skip


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="folder of another checkout, to measure its imports in turn")
    parser.add_argument("--turns", type=int, default=3, help="how often imports are measured; the median counts")
    parser.add_argument("--output", type=Path, help="folder for scheduling.csv")
    arguments = parser.parse_args()
    checkouts = {"before": arguments.before.resolve()} if arguments.before else {}
    checkouts["now"] = ROOT
    rows: list[dict[str, Any]] = []
    for study in STUDIES:
        rows.append(graph(study))
        print(re.sub(r"\s+", " ", str(rows[-1])), flush=True)
    rows += [nothing(kind) for kind in KINDS]
    rows += start_of_scripts(checkouts, arguments.turns)
    rows += [share(rows, name) for name in checkouts]
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        table.astype({"jobs": "Int64"}).round(3).to_csv(arguments.output / "scheduling.csv", index=False)


if __name__ == "__main__":
    main()
