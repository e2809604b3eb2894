"""How far the darkness of the background alone tells synthetic images from real ones.

    make demo
    python bench/measure_background.py results/demo

Writes docs/evidence/background.csv: for every generator of the resolution axis the AUROC of the share of pixels that
are exactly 0, real held-out images against synthetic ones.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from synthcohort.core.atomic import write_csv
from synthcohort.core.store import ImageStore
from synthcohort.measures.auroc import auroc


def black_share(store: ImageStore, rows: np.ndarray) -> np.ndarray:
    """Share of pixels of each image that are 0."""
    return (store.images[rows] == 0).mean(axis=(1, 2, 3))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="folder of a finished study, such as results/demo")
    rows = []
    for sample in sorted(parser.parse_args().study.glob("cohorts/*/resolution-*/*/r0/synthetic/train")):
        *_, cohort, experiment, family, _, _, _ = sample.parts
        home = sample.parents[3]
        real = ImageStore(home.parent / "store" / experiment.removeprefix("resolution-"))
        selection = pd.read_parquet(home / "selection.parquet")
        held_out = selection.loc[selection["side"] != "train", "row"].to_numpy()
        made = ImageStore(sample)
        shares = black_share(real, held_out), black_share(made, made.all_rows)
        is_real = np.repeat([1.0, 0.0], [len(share) for share in shares])
        told = auroc(is_real, np.concatenate(shares))
        means = {name: round(float(share.mean()), 3) for name, share in zip(("real", "synthetic"), shares, strict=True)}
        rows.append(
            {"cohort": cohort, "experiment": experiment, "family": family, "auroc": round(float(told), 3), **means}
        )
    table = pd.DataFrame(rows)
    write_csv("docs/evidence/background.csv", table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
