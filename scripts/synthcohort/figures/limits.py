"""What limits a source's utility: each rule compares with its control, as docs/protocol.md says under *The verdict*."""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from synthcohort.figures.numbers import select
from synthcohort.measures.distances import COPY_ALARM

TRAINING, COPIES, LABEL_FIDELITY = "training", "copies", "label fidelity"
DIVERSITY, FEW_SAMPLES = "diversity", "few samples"
LIMITS = (TRAINING, COPIES, LABEL_FIDELITY, DIVERSITY, FEW_SAMPLES)
"""In the order in which they are named."""
DIVERSITY_SHARE = 0.8
"""Recall and coverage count as low below this share of what real images reach, however narrow the intervals are."""
METRICS = {"label_fidelity": "mean", "recall": "", "coverage": "", "diversity": ""}
"""Metrics of fidelity that the rules read, and their findings."""


class Interval(NamedTuple):
    """A value and the ends of its interval; NaN where there is none."""

    value: float
    low: float = np.nan
    high: float = np.nan

    @property
    def known(self) -> bool:
        """Whether it has both ends, and so can be compared."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def below(self, other: "Interval") -> bool:
        """Whether it lies wholly below another one; touching is not enough."""
        return self.high < other.low


class Comparison(NamedTuple):
    """Two intervals of one metric: a source's and, where there are no `levels`, that of real images."""

    metric: str
    own: Interval
    other: Interval
    levels: tuple[int, ...] = ()
    """The levels of both, where a source is compared with itself."""


class Limit(NamedTuple):
    """One of `LIMITS` and the numbers that show it."""

    name: str
    evidence: tuple[Comparison, ...]


class Copying(NamedTuple):
    """Whether the memorisation alarm was raised for a generator, and the share of its samples that are copies."""

    alarm: bool
    share: float


Fidelity = Mapping[tuple[str, ...], Interval]


def fidelity_intervals(metrics: pd.DataFrame) -> Fidelity:
    """Read what the rules compare.

    Parameters
    ----------
    metrics : pandas.DataFrame
        metrics.parquet.

    Returns
    -------
    mapping of (metric, role, cohort, experiment, source) to Interval
        Of `METRICS`, replicates pooled as `select` does. The role is ``value`` or ``floor``.
    """
    found: dict[tuple[str, ...], Interval] = {}
    for (metric, finding), role in product(METRICS.items(), ("value", "floor")):
        rows = metrics[(metrics["metric"] == metric) & (metrics["role"] == role)]
        # The parameter of diversity names its measure; it is no variant.
        for row in select(rows.assign(role="value", parameter=""), metric, [finding]).to_dict("records"):
            keys = (metric, role, row["cohort"], row["experiment"], row["source"])
            found[keys] = Interval(row["value"], row["ci_low"], row["ci_high"])
    return found


def find_limits(
    generator: tuple[str, str, str], fidelity: Fidelity, seen: Copying | None, samples: Comparison | None
) -> tuple[tuple[Limit, ...], tuple[str, ...]]:
    """Apply every rule to a family that was trained long enough.

    Parameters
    ----------
    generator : tuple of str
        Cohort, experiment and family.
    fidelity : mapping
        What `fidelity_intervals` gives.
    seen : Copying or None
        Whether it copies; None where nobody looked.
    samples : Comparison or None
        Its retention with the fewest and with the most training images; None where that was not measured.

    Returns
    -------
    tuple of Limit
        In the order of `LIMITS`.
    tuple of str
        Those of `LIMITS` that nothing was measured for.
    """
    fewer = None if samples is None else [samples] if samples.own.below(samples.other) else []
    looked = {
        COPIES: _copies(seen),
        LABEL_FIDELITY: _label_fidelity(fidelity, generator),
        DIVERSITY: _diversity(fidelity, generator),
        FEW_SAMPLES: fewer,
    }
    limits = tuple(Limit(name, tuple(evidence)) for name, evidence in looked.items() if evidence)
    return limits, tuple(name for name, evidence in looked.items() if evidence is None)


# Each rule gives what shows the limit: nothing where it does not apply, None where nothing was measured for it.


def _copies(seen: Copying | None) -> list[Comparison] | None:
    if seen is None:
        return None
    return [Comparison("copied", Interval(seen.share), Interval(COPY_ALARM))] if seen.alarm else []


def _label_fidelity(fidelity: Fidelity, generator: tuple[str, str, str]) -> list[Comparison] | None:
    found = _beside_real(fidelity, generator, "label_fidelity")
    return [item for item in found if item.own.below(item.other)] if found else None


def _diversity(fidelity: Fidelity, generator: tuple[str, str, str]) -> list[Comparison] | None:
    spread = _beside_real(fidelity, generator, "recall", "coverage")
    alike = _beside_real(fidelity, generator, "diversity")  # similarity of image pairs: higher is less varied
    if not spread and not alike:
        return None
    narrow = [
        item for item in spread if item.own.below(item.other) and item.own.value < DIVERSITY_SHARE * item.other.value
    ]
    return narrow + [item for item in alike if item.other.below(item.own)]


def _beside_real(fidelity: Fidelity, generator: tuple[str, str, str], *metrics: str) -> list[Comparison]:
    cohort, experiment, family = generator
    missing = Interval(np.nan)
    pairs = [
        Comparison(
            metric,
            fidelity.get((metric, "value", cohort, experiment, family), missing),
            fidelity.get((metric, "floor", cohort, experiment, "real"), missing),
        )
        for metric in metrics
    ]
    return [pair for pair in pairs if pair.own.known and pair.other.known]
