"""Whether the reader study's intervals hold the truth as often as they say, and its tests err no more often.

Studies are simulated with readers and images of known spread (`synthcohort.readers.simulate`), and analysed as real
ones are. A reader's answers to the same images stay together, as do all readers' to one image; *naive* is what a
binomial interval over all answers would do. ``not_chance`` is an error of the first kind where the accuracy is 0.5,
``equivalent`` where it is 0.6. Writes docs/evidence/readers.csv. Run it alone:
``OMP_NUM_THREADS=1 python bench/bench_readers.py``; about two minutes.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from synthcohort.core.atomic import write_csv
from synthcohort.core.progress import configure_logging, track
from synthcohort.measures.crossed import (
    accuracy_interval,
    chance_test,
    crossed_auroc,
    crossed_mean,
    difference_interval,
    equivalence_test,
)
from synthcohort.readers.simulate import Spread, draw_opinions, separation_for

MARGIN, ALPHA, CONFIDENCE = 0.1, 0.05, 0.95
SIZES = [(3, 24), (6, 24), (6, 120), (12, 240)]
"""Readers and images, as many real as synthetic ones."""
SPREADS = {"none": Spread(0, 0, 0), "default": Spread(), "large": Spread(0.5, 0.6, 1.0)}
ACCURACIES = [0.5, 0.5 + MARGIN, 0.9]
TREND = 0.1
"""True change of accuracy between the two levels of the studies on trend."""


def main() -> None:
    """Simulate, count, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies of each kind")
    parser.add_argument("--output", type=Path, default=Path("docs/evidence/readers.csv"))
    options = parser.parse_args()
    configure_logging()
    kinds = [(size, name, accuracy) for size in SIZES for name in SPREADS for accuracy in ACCURACIES]
    rows = []
    for number, ((readers, images), name, accuracy) in enumerate(track(kinds, "simulating")):
        rng = np.random.default_rng(number)
        found = pd.DataFrame([_study(readers, images, SPREADS[name], accuracy, rng) for _ in range(options.studies)])
        keys = {"readers": readers, "images": images, "spread": name, "accuracy": accuracy, "studies": options.studies}
        rows.append(keys | found.mean().round(4).to_dict())
    table = pd.DataFrame(rows)
    write_csv(options.output, table)
    print(table.to_string(index=False))


def _study(readers: int, images: int, spread: Spread, accuracy: float, rng: np.random.Generator) -> dict[str, float]:
    """Analyse one study: say whether each interval held the truth, and whether each test rejected."""
    kinds = np.arange(images) % 2
    separation = separation_for(accuracy, spread)
    opinions = draw_opinions(kinds, separation, readers, rng, spread)[:, :, 0]
    correct = _correct(opinions, kinds)
    mean = crossed_mean(correct, kinds)
    low, high = accuracy_interval(mean, CONFIDENCE)
    naive = proportion_confint(correct.sum(), correct.size, ALPHA, method="wilson")
    auroc_low, auroc_high = accuracy_interval(crossed_auroc(kinds, opinions), CONFIDENCE)
    true_auroc = norm.cdf(separation / (2 + 2 * spread.images**2 + 4 * spread.readers**2) ** 0.5)
    return {
        "coverage": low <= accuracy <= high,
        "width": high - low,
        "coverage_naive": naive[0] <= accuracy <= naive[1],
        "coverage_auroc": auroc_low <= true_auroc <= auroc_high,
        "coverage_trend": _trend_covered(readers, images, spread, accuracy, rng),
        "not_chance": chance_test(mean) < ALPHA,
        "equivalent": equivalence_test(mean, MARGIN) < ALPHA,
    }


def _trend_covered(readers: int, images: int, spread: Spread, accuracy: float, rng: np.random.Generator) -> bool:
    """Whether the interval of the change between two levels, half of the images each, holds the true one."""
    kinds, level = np.arange(images) % 2, np.arange(images) // 2 % 2
    separation = separation_for(np.where(level, accuracy, accuracy - TREND), spread)
    correct = _correct(draw_opinions(kinds, separation, readers, rng, spread)[:, :, 0], kinds)
    slope = crossed_mean(correct, 2 * level + kinds, [-0.5, -0.5, 0.5, 0.5])
    low, high = difference_interval(slope, CONFIDENCE)
    return bool(low <= TREND <= high)


def _correct(opinions: NDArray[np.float64], kinds: NDArray[np.int64]) -> NDArray[np.float64]:
    return ((opinions > 0) == (kinds == 1)).astype(float)


if __name__ == "__main__":
    main()
