"""Means over readers and images that are both random: every reader sees every image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

CHANCE = 0.5
"""Accuracy of a reader who guesses, where both kinds of images are as many."""
FEWEST_READERS = 3
"""With two, intervals would hold the truth too seldom (`bench/bench_readers.py`)."""


class CrossedMean(NamedTuple):
    """A mean over readers and images, and what its error is made of."""

    value: float
    variance: float
    """Of the mean, readers and images both being random; NaN where it cannot be told."""
    of_readers: float
    """Part of it that is told by how readers differ."""
    readers: int
    images: int
    answers: int

    def degrees(self, variance: float) -> float:
        """Degrees of freedom: few where most of `variance` comes from few readers (Hillis 2007)."""
        if not self.of_readers > 0:
            return float(max(1, self.answers - 1))
        return (self.readers - 1) * (variance / self.of_readers) ** 2

    @property
    def effective(self) -> float:
        """Independent answers that an accuracy is as good as: at most all answers.

        Where all answers are right, or all wrong, nothing tells the variance, and the answers of all readers to one
        image count once.
        """
        if np.isnan(self.variance):
            return float("nan")
        spread = self.value * (1 - self.value)
        if spread <= 0:
            return float(self.images)
        return min(float(self.answers), spread / self.variance) if self.variance > 0 else float(self.answers)


def crossed_mean(
    answers: ArrayLike, strata: ArrayLike, weights: ArrayLike | None = None, groups: ArrayLike | None = None
) -> CrossedMean:
    """Average answers over readers and images, with a variance that holds for other readers and other images.

    The mean is a weighted sum of strata's means. Its square, less what the mean of products of answers by different
    readers to images of different patients gives for the squared truth, is an unbiased estimate of its variance, also
    where readers have not answered everything (a U-statistic: Gallas, Bandos, Samuelson and Wagner, A framework for
    random-effects ROC analysis, 2009).

    Parameters
    ----------
    answers : array_like, shape (readers, images)
        float64, for example 1 for a right answer and 0 for a wrong one; NaN where there is none.
    strata : array_like, shape (images,)
        int64 from 0: kind of each image. How many of each there are was chosen, so that differences between kinds are
        no error.
    weights : array_like, shape (strata,), optional
        Weight of each stratum's mean; left out, all are alike and sum to 1.
    groups : array_like, shape (images,), optional
        Images that are not independent share one, as a patient's do, in whatever strata; left out, all are.

    Returns
    -------
    CrossedMean
        The variance is NaN with fewer readers than `FEWEST_READERS`, or where a stratum has fewer than two groups; the
        value is NaN where a stratum has no answer.
    """
    answers, strata = np.asarray(answers, np.float64), np.asarray(strata, np.int64)
    belongs = np.eye(strata.max(initial=-1) + 1)[strata]
    together = np.arange(len(strata)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    order = np.argsort(together, kind="stable")
    starts = np.flatnonzero(np.diff(together[order], prepend=-1))
    weight = np.full(belongs.shape[1], 1 / belongs.shape[1]) if weights is None else np.asarray(weights, np.float64)
    given = ~np.isnan(answers)
    present = given.any(axis=1)
    given, filled = given[present].astype(np.float64), np.where(given, answers, 0.0)[present]
    sums, counts = (_products(values, belongs, order, starts) for values in (filled, given))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(weight @ (filled.sum(axis=0) @ belongs / (given.sum(axis=0) @ belongs)))
        squared = float(weight @ (sums / counts) @ weight)
        each = (filled @ belongs / (given @ belongs)) @ weight
    each = each[~np.isnan(each)]
    few = len(each) < FEWEST_READERS
    of_readers = float("nan") if few else float(each.var(ddof=1) / len(each))
    variance = float("nan") if few or not np.isfinite(squared) else max(value**2 - squared, of_readers)
    shown = int(given.any(axis=0).sum())
    return CrossedMean(value, variance, of_readers, len(each), shown, int(given.sum()))


def crossed_auroc(is_synthetic: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> CrossedMean:
    """Average the readers' areas under the ROC curve, with a variance that holds for other readers and other images.

    An image's part in its reader's AUROC is its placement, the share of images of the other kind on the right side of
    it (DeLong, DeLong and Clarke-Pearson 1988). Placements, spread out so that they average to the AUROC and vary as
    its error does, are averaged as answers are (pseudovalues: Dorfman, Berbaum and Metz 1992).

    Parameters
    ----------
    is_synthetic : array_like, shape (images,)
        1 for synthetic images, 0 for real ones.
    scores : array_like, shape (readers, images)
        Higher means surer that the image is synthetic; NaN where there is no answer.
    groups : array_like, shape (images,), optional
        As in `crossed_mean`.

    Returns
    -------
    CrossedMean
        Readers who have not seen both kinds are left out.
    """
    kinds, scores = np.asarray(is_synthetic, np.int64), np.asarray(scores, np.float64)
    pseudovalues = np.array([_placements(kinds, own) for own in scores]).reshape(scores.shape)
    return crossed_mean(pseudovalues, kinds, groups=groups)


def _placements(kinds: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pseudovalues of one reader's AUROC, which is their mean in either kind of image."""
    found = np.full(scores.shape, np.nan)
    known = ~np.isnan(scores)
    synthetic, real = known & (kinds == 1), known & (kinds == 0)
    if not synthetic.any() or not real.any():
        return found
    ranks = np.full(scores.shape, np.nan)
    ranks[known] = stats.rankdata(scores[known])
    found[synthetic] = (ranks[synthetic] - stats.rankdata(scores[synthetic])) / real.sum()
    found[real] = 1 - (ranks[real] - stats.rankdata(scores[real])) / synthetic.sum()
    area = found[synthetic].mean()
    return area + 2 * (found - area)


def _products(
    answers: NDArray[np.float64], belongs: NDArray[np.float64], order: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sum products of answers by different readers to images of different groups, for each pair of strata.

    Of all products those of one reader and those of one group are taken away, and those of both, taken away twice,
    given back. Groups are what `order` has from each of `starts` on.
    """
    of_both = np.add.reduceat((answers[:, :, None] * belongs)[:, order], starts, axis=1)
    of_reader, of_group = of_both.sum(axis=1), of_both.sum(axis=0)
    total = of_reader.sum(axis=0)
    every = of_both.reshape(-1, len(total))
    return np.outer(total, total) - of_reader.T @ of_reader - of_group.T @ of_group + every.T @ every


def accuracy_interval(mean: CrossedMean, confidence: float) -> tuple[float, float]:
    """Give the interval of an accuracy, or of an AUROC.

    It is Wilson's, with the effective number of answers in place of their number and Student's quantile.

    Parameters
    ----------
    mean : CrossedMean
        Of right (1) and wrong (0) answers, or what `crossed_auroc` gives.
    confidence : float
        For example 0.95.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN where the variance is.
    """
    effective = mean.effective
    if np.isnan(effective):
        return float("nan"), float("nan")
    quantile = stats.t.ppf((1 + confidence) / 2, _degrees(mean))
    low, high = proportion_confint(mean.value * effective, effective, 2 * stats.norm.sf(quantile), method="wilson")
    return float(low), float(high)


def chance_test(mean: CrossedMean, chance: float = CHANCE) -> float:
    """Test an accuracy against chance; the interval of level 1 − α leaves chance out where p < α.

    Returns
    -------
    float
        Two-sided p; small: readers do not guess.
    """
    return float(2 * stats.t.sf(abs(_distance(mean, chance)), _degrees(mean)))


def equivalence_test(mean: CrossedMean, margin: float, chance: float = CHANCE) -> float:
    """Test whether an accuracy is as good as chance, by two one-sided tests (Schuirmann 1987).

    Parameters
    ----------
    mean : CrossedMean
        Of right and wrong answers.
    margin : float
        Largest distance from chance that counts as chance.
    chance : float
        Accuracy of guessing.

    Returns
    -------
    float
        p; small: the accuracy lies within chance ± margin. The interval of level 1 − 2 α does so where p < α.
    """
    above = stats.t.sf(_distance(mean, chance - margin), _degrees(mean))
    below = stats.t.cdf(_distance(mean, chance + margin), _degrees(mean))
    return float(max(above, below))


def difference_interval(mean: CrossedMean, confidence: float) -> tuple[float, float]:
    """Student's interval of a mean whose weights sum to 0, for example a slope; NaN where the variance is."""
    reach = stats.t.ppf((1 + confidence) / 2, mean.degrees(mean.variance)) * mean.variance**0.5
    return float(mean.value - reach), float(mean.value + reach)


def difference_test(mean: CrossedMean) -> float:
    """Test by a two-sided p whether a mean whose weights sum to 0 differs from 0."""
    if not mean.variance > 0:
        return float("nan")
    return float(2 * stats.t.sf(abs(mean.value) / mean.variance**0.5, mean.degrees(mean.variance)))


def _degrees(mean: CrossedMean) -> float:
    """Degrees of freedom of the variance that the effective number of answers stands for."""
    spread = mean.value * (1 - mean.value)
    return mean.degrees(spread / mean.effective) if spread > 0 else float(max(1, mean.readers - 1))


def _distance(mean: CrossedMean, accuracy: float) -> float:
    return (mean.value - accuracy) / (accuracy * (1 - accuracy) / mean.effective) ** 0.5
