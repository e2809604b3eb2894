"""Keep what a long study found: its small tables, number figures, the digests of all it made, and by which code.

    snakemake --cores 2 --configfile studies/evidence.yaml
    python bench/collect_evidence.py results/evidence studies/evidence.yaml docs/evidence/study

Figures and tables that show images are left behind.
"""

import argparse
import shutil
from pathlib import Path

import pandas as pd

from synthcohort.core.atomic import file_digest, read_json, write_csv, write_json
from synthcohort.core.progress import track

TABLES = ["claims.csv", "verdict.csv", "privacy.csv"]
CODE = ["commit", "changed", "stages"]
FIGURES = ["paper-*-two-columns.svg", "paper-*-two-columns.csv", "fidelity-*.svg", "fidelity-*.csv"]
FIGURES += ["privacy-*.svg", "privacy-*.csv"]
DIGESTED = ["metrics.parquet", "cohorts/**/*.parquet", "cohorts/**/*.safetensors", "cohorts/**/store.json"]
SUMMARIES = ["", "mean", "mean_common"]


def collect(results: Path, config: Path, kept: Path) -> None:
    """Copy config, tables, figures and the metrics' means; name the code, and digest all declared tables and weights.

    Parameters
    ----------
    results : Path
        Folder of the study.
    config : Path
        The study's config.
    kept : Path
        Where to; emptied first.
    """
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    shutil.copyfile(config, kept / "config.yaml")
    made_by = read_json(results / "provenance.json")["code"]
    write_json(kept / "code.json", {key: made_by[key] for key in CODE})
    chosen = [results / "tables" / name for name in TABLES]
    chosen += [path for pattern in FIGURES for path in sorted((results / "figures").glob(pattern))]
    for path in chosen:
        shutil.copyfile(path, kept / path.name)
    metrics = pd.read_parquet(results / "metrics.parquet")
    attacks = metrics["metric"].str.startswith("attack_")  # privacy.csv has them
    write_csv(kept / "metrics.csv", metrics[metrics["finding"].isin(SUMMARIES) & ~attacks])
    declared = sorted(
        path for pattern in DIGESTED for path in results.glob(pattern) if "run" not in path.relative_to(results).parts
    )
    digests = {str(path.relative_to(results)): file_digest(path) for path in track(declared, "digests", unit="files")}
    write_csv(kept / "digests.csv", pd.DataFrame({"file": digests.keys(), "sha256": digests.values()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of the study, such as results/evidence")
    parser.add_argument("config", type=Path, help="the study's config, such as studies/evidence.yaml")
    parser.add_argument("kept", type=Path, help="folder to keep it in, such as docs/evidence/study")
    given = parser.parse_args()
    collect(given.results, given.config, given.kept)
