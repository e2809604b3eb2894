"""Differential privacy of a training: how much noise, on what, and from where.

Everything that a private training takes from patients passes two noisy sums: the discriminator's clipped gradients,
step by step (DP-SGD, Abadi et al. 2016, arXiv 1607.00133), and once the histogram of their label combinations. Both
are Gaussian mechanisms, composed by Opacus' accountant (Rényi differential privacy, Mironov 2017, arXiv 1702.07476).
Data sets are neighbours when one patient is added or removed; every patient has one image.
"""

import hmac
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from opacus.accountants import RDPAccountant

from synthcohort.core.errors import UserError

HISTOGRAM_SHARE = 0.2  # of ε, were the histogram the only release; together with the training it costs about 2 %
TOLERANCE = 1e-3  # of ε: how much of it may be left unused
LARGEST_NOISE = 1e4
# Opacus' orders, and some beyond either end for very large and very small ε.
ORDERS = [1.01, 1.02, 1.05, *RDPAccountant.DEFAULT_ALPHAS, 80, 128, 256, 512]


@dataclass(frozen=True)
class Guarantee:
    """What a training gives away at most, and the noise that sees to it.

    Attributes
    ----------
    epsilon : float or None
        As accounted for; None where there is no noise, and nothing is guaranteed.
    delta : float
        Probability with which ε may not hold.
    noise_multiplier : float
        Standard deviation of the noise on a sum of clipped gradients, in clip norms.
    histogram_noise : float
        Standard deviation of the noise on each count of the histogram, in patients.
    sample_rate : float
        Probability of each patient to be in a step's batch, independently of all others.
    steps : int
        Noisy sums of gradients.
    """

    epsilon: float | None
    delta: float
    noise_multiplier: float
    histogram_noise: float
    sample_rate: float
    steps: int


def spent(noise_multiplier: float, histogram_noise: float, sample_rate: float, steps: int, delta: float) -> float:
    """Account for a histogram and so many steps: ε at a given δ; see `Guarantee`."""
    accountant = RDPAccountant()
    accountant.history = [(noise_multiplier, sample_rate, steps), (histogram_noise, 1.0, 1)]
    with warnings.catch_warnings():  # that another order could give a smaller ε: this one holds all the same
        warnings.filterwarnings("ignore", "Optimal order")
        return accountant.get_epsilon(delta, alphas=ORDERS)


def plan_noise(epsilon: float | None, delta: float, sample_rate: float, steps: int) -> Guarantee:
    """Find the least noise that keeps a training within ε.

    Parameters
    ----------
    epsilon : float or None
        Of the histogram and all steps together; None asks for no noise, as a control.
    delta, sample_rate, steps
        See `Guarantee`.

    Raises
    ------
    UserError
        When no noise is enough for so small an ε.
    """
    if epsilon is None:
        return Guarantee(None, delta, 0.0, 0.0, sample_rate, steps)
    # The classical Gaussian mechanism (Dwork & Roth 2014, theorem A.1) splits the budget; the accountant then counts.
    histogram_noise = math.sqrt(2 * math.log(1.25 / delta)) / (HISTOGRAM_SHARE * epsilon)
    low, high = 0.0, 1.0
    while (found := spent(high, histogram_noise, sample_rate, steps, delta)) > epsilon:
        low, high = high, 2 * high
        if high > LARGEST_NOISE:
            raise UserError(f"generators: an epsilon of {epsilon:g} at a delta of {delta:g} is too small; raise it.")
    while epsilon - found > TOLERANCE * epsilon and high - low > 1e-6:
        middle = (low + high) / 2
        if middle and (epsilon_there := spent(middle, histogram_noise, sample_rate, steps, delta)) <= epsilon:
            high, found = middle, epsilon_there
        else:
            low = middle
    return Guarantee(found, delta, high, histogram_noise, sample_rate, steps)


def default_delta(patients: int) -> float:
    """Give the largest power of ten that is less than one in so many patients."""
    return 10.0 ** -(math.floor(math.log10(patients)) + 1)


def secret_stream(secret: bytes, purpose: str, number: int = 0) -> np.random.Generator:
    """Make stream `number` of a purpose (Philox); who does not know the secret cannot foretell it.

    Philox is a good generator of random numbers but not a cryptographic one.
    """
    key = np.frombuffer(hmac.digest(secret, purpose.encode(), "sha256")[:16], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, number]))


def one_image_each(patients: NDArray[Any], stream: np.random.Generator) -> NDArray[np.int64]:
    """Choose one image of each patient at random.

    Parameters
    ----------
    patients : numpy.ndarray
        ``[n]``: whose each image is.
    stream : numpy.random.Generator
        Chooses.

    Returns
    -------
    numpy.ndarray
        int64 ``[patients]``: positions, ascending.
    """
    order = stream.permutation(len(patients))
    _, first = np.unique(patients[order].astype(str), return_index=True)
    return np.sort(order[first])


def poisson_batch(count: int, sample_rate: float, stream: np.random.Generator) -> NDArray[np.int64]:
    """Take each of `count` positions with the same probability, independently; the batch may be empty."""
    return np.flatnonzero(stream.random(count) < sample_rate)


def noisy_histogram(
    labels: NDArray[np.float32], combinations: NDArray[np.float32], noise: float, stream: np.random.Generator
) -> NDArray[np.float64]:
    """Count label combinations, with noise.

    A patient more or less changes one count by one, so that the sensitivity is 1.

    Parameters
    ----------
    labels : numpy.ndarray
        float32 ``[patients, findings]`` of 0 and 1, one row per patient.
    combinations : numpy.ndarray
        float32 ``[K, findings]``: those that are counted. They must not follow from `labels`.
    noise : float
        Standard deviation, in patients.
    stream : numpy.random.Generator
        Draws the noise.

    Returns
    -------
    numpy.ndarray
        float64 ``[K]``, at least 0, in tenths; all 1 where the noise leaves nothing.
    """
    counts = (labels[:, None] == combinations[None]).all(2).sum(0)
    noised = (counts + noise * stream.standard_normal(len(combinations))).clip(0).round(1)
    return noised if noised.any() else np.ones(len(combinations))
