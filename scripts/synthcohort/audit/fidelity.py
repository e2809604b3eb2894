"""Fidelity: how real a sample's images look, beside what real images and spoilt ones reach in the same numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.judge import MAXIMUM_IMAGES, JudgedImages
from synthcohort.audit.utility import REAL, combine_metrics, no_metrics
from synthcohort.audit.vocabulary import REPEATED, SHUFFLED
from synthcohort.core.progress import logger
from synthcohort.measures.auroc import auroc
from synthcohort.measures.distances import frechet_distance, kernel_distance
from synthcohort.measures.fidelity import (
    GROUPS,
    PatchProjector,
    jackknife,
    pairs_within_combination,
    patient_groups,
    similarity_name,
    sliced_wasserstein,
    structural_similarity,
)
from synthcohort.measures.manifold import manifold_measures

NEIGHBOURS = 5
FEWEST = 4 * NEIGHBOURS
"""Images of a set at least."""
PAIRS = 1000
FEATURE_MEASURES = ("frechet_distance", "kid", "precision", "recall", "density", "coverage")
DISTANCES = (*FEATURE_MEASURES, "sliced_wasserstein")
BOUNDS = {
    "frechet_distance": (0, np.inf), "sliced_wasserstein": (0, np.inf), "density": (0, np.inf), "precision": (0, 1),
    "recall": (0, 1), "coverage": (0, 1), "diversity": (-1, 1), "label_fidelity": (0, 1),
}  # fmt: skip
"""What a metric cannot leave, and so its interval neither."""

Interval = tuple[float, float, float]
Row = dict[str, Any]


def fidelity_metrics(
    keys: Mapping[str, str],
    held_out: JudgedImages,
    training: JudgedImages,
    controls: Mapping[str, JudgedImages],
    samples: Mapping[str, JudgedImages],
    findings: Sequence[str],
    averaged: Sequence[str],
    confidence: float,
    seed: int,
    simulated: bool,
    most: int = MAXIMUM_IMAGES,
) -> pd.DataFrame:
    """Measure the fidelity of one or several families' samples, and of controls, in one experiment and replicate.

    All distances are to N held-out real images and from N images of each set, N being `most`, or the size of the
    smallest set where that is less: several of them fall with N alone, so values of another N are others. Every metric
    stands between a floor, what real images reach, and a ceiling, what images reach that are spoilt on purpose:

    ==================================  ==============================  ================================================
    metric                              floor                           ceiling (``parameter``)
    ==================================  ==============================  ================================================
    frechet_distance, kid, precision,   training images, as many        the same training images ``blurred``, ``noisy``;
    recall, density, coverage,                                          one of them ``repeated``
    sliced_wasserstein
    diversity                           the same                        one of them ``repeated``
    label_fidelity                      held-out images                 the same with their labels ``shuffled``
    ==================================  ==============================  ================================================

    The floor of label fidelity is not of training images: the judge was trained on their labels. It was trained on
    their images, too: where it fits them too closely, they lie farther from held-out ones in its features than other
    real patients' images would, and the floor is too high. Halves of the held-out images would not have that, but N
    would be half as large everywhere.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis``, ``level`` (as in the path) and ``replicate``.
    held_out : JudgedImages
        The experiment's validation and test images: the reference.
    training : JudgedImages
        Its training images, of other patients.
    controls : mapping of str to JudgedImages
        What `judge_controls` made of `training`, image by image.
    samples : mapping of family to JudgedImages
        Synthetic images.
    findings : sequence of str
        Names of the label columns.
    averaged : sequence of str
        Those that are averaged as ``mean`` in label fidelity (see `cohort.experiments`).
    confidence : float
        Level of the intervals.
    seed : int
        Seed of every choice; all sets share it, so equal sets have equal numbers.
    simulated : bool
        Whether the cohort's patients are simulated.
    most : int
        Images of a set at most: what `axis_size` gives, so that one N holds for all levels of an axis.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet. ``diversity`` is the mean similarity of pairs of images with the same labels, so
        *lower* is more diverse; its ``parameter`` says which (``ssim`` or ``ms-ssim``). ``label_fidelity`` is the AUROC
        of the judge's predictions against the labels that images were drawn for, per finding and as ``mean``; other
        metrics have the finding ``""``. Intervals are jackknives over ten groups of patients (synthetic: of images);
        ceilings have none, but for label fidelity.
        `n` counts images; in label fidelity those with a known label.

        Empty where there are too few images to measure nearest neighbours among; the log says so.

    Raises
    ------
    ValueError
        When a patient is held out and trained on, or the controls are not of the training images.
    """
    count = min(most, _common_size(keys, held_out, training, samples))
    if count < FEWEST:
        return no_metrics()
    if set(held_out.patients) & set(training.patients):
        raise ValueError("held-out and training images share patients")
    if any(len(control) != len(training) for control in controls.values()):
        raise ValueError("the controls are not of the training images")
    reference, real = _thin(held_out, count, seed), _thin(training, count, seed)
    one = _repeat(real, seed)
    sets: list[tuple[str, str, str, JudgedImages]] = [(REAL, "floor", "", real), (REAL, "ceiling", REPEATED, one)]
    sets += [(REAL, "ceiling", name, _thin(control, count, seed)) for name, control in controls.items()]
    sets += [(family, "value", "", _thin(sample, count, seed)) for family, sample in samples.items()]

    rows: list[Row] = []
    projector = PatchProjector(reference.images, np.random.default_rng(seed))
    for source, role, parameter, chosen in sets:
        # The jackknife takes ten times as long as the value, and a ceiling is not compared with anything that closely.
        groups = 1 if role == "ceiling" else GROUPS
        measured = _distances(reference, chosen, projector, groups, confidence, seed)
        for metric, interval in zip(DISTANCES, measured, strict=True):
            features = "judge" if metric in FEATURE_MEASURES else "pixels"
            rows.append(_row(source, role, metric, features, parameter, interval, count))
        if role != "ceiling":
            name = similarity_name(chosen.images.shape[-1])
            interval = _diversity(chosen, confidence, seed)
            rows.append(_row(source, role, "diversity", "pixels", name, interval, count))
    rows.append(_row(REAL, "ceiling", "diversity", "pixels", REPEATED, _diversity_of_one(one), count))

    shuffled = np.random.default_rng(seed).permutation(len(held_out))
    labelled = [(REAL, "floor", "", held_out, held_out.labels)]
    labelled += [(REAL, "ceiling", SHUFFLED, held_out, held_out.labels[shuffled])]
    labelled += [(family, "value", "", sample, sample.labels) for family, sample in samples.items()]
    for source, role, parameter, chosen, labels in labelled:
        for finding, n, interval in _label_fidelity(chosen, labels, findings, averaged, confidence, seed):
            row = _row(source, role, "label_fidelity", "judge", parameter, interval, n)
            rows.append({**row, "finding": finding})
    return combine_metrics([pd.DataFrame([{**keys, "simulated": simulated, **row} for row in rows])])


def axis_size(experiments: pd.DataFrame, experiment: str) -> int:
    """Find the N that all levels of an experiment's axis have.

    Parameters
    ----------
    experiments : pandas.DataFrame
        The cohort's experiments.csv.
    experiment : str
        For example ``"samples-00400"``.

    Returns
    -------
    int
        The smallest set of any level, `MAXIMUM_IMAGES` at most. Levels with fewer than `FEWEST` are not measured, and
        so do not count.
    """
    axis = experiments.loc[experiments["experiment"] == experiment, "axis"].item()
    levels = experiments[experiments["axis"] == axis]
    amount = levels["level"] / 100 if axis == "amount" else 1.0
    synthetic = (amount * levels["train_images"]).round().astype(int)
    held_out = levels["valid_images"] + levels["test_images"]
    smallest = pd.concat([levels["train_images"], synthetic, held_out], axis=1).min(axis=1)
    return int(min([*smallest[smallest >= FEWEST], MAXIMUM_IMAGES]))


def _common_size(
    keys: Mapping[str, str], held_out: JudgedImages, training: JudgedImages, samples: Mapping[str, JudgedImages]
) -> int:
    sizes = {"held-out": len(held_out), "training": len(training)}
    sizes |= {family: len(sample) for family, sample in samples.items()}
    smallest = min(sizes, key=lambda name: sizes[name])
    if sizes[smallest] < FEWEST:
        logger.warning(
            "%s %s: there are only %d %s images, and fidelity needs %d at least; it is not measured",
            keys["cohort"], keys["experiment"], sizes[smallest], smallest, FEWEST,
        )  # fmt: skip
    return min(sizes[smallest], MAXIMUM_IMAGES)


def _thin(chosen: JudgedImages, count: int, seed: int) -> JudgedImages:
    rows = np.random.default_rng(seed).choice(len(chosen), count, replace=False)
    return chosen.take(np.sort(rows))


def _repeat(chosen: JudgedImages, seed: int) -> JudgedImages:
    """One image as often as there are images: what a generator with a single mode makes."""
    row = int(np.random.default_rng(seed).integers(len(chosen)))
    return chosen.take(np.full(len(chosen), row))


def _groups(most: int, seed: int, *patients: NDArray[Any]) -> list[NDArray[np.int64]]:
    count = min(most, *(len(set(names.tolist())) for names in patients))
    rng = np.random.default_rng(seed)
    return [patient_groups(names, count, rng) for names in patients]


def _distances(
    reference: JudgedImages,
    chosen: JudgedImages,
    projector: PatchProjector,
    groups: int,
    confidence: float,
    seed: int,
) -> list[Interval]:
    """Of each of `DISTANCES`, value and ends of its interval; a single group gives none."""
    projections = projector(chosen.images, np.random.default_rng(seed))

    def measure(kept_reference: NDArray[np.bool_], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        x, y = reference.features[kept_reference], chosen.features[kept]
        if min(len(x), len(y)) <= NEIGHBOURS:
            return np.full(len(DISTANCES), np.nan)
        measured = {"frechet_distance": frechet_distance(x, y), "kid": kernel_distance(x, y)}
        measured |= manifold_measures(x, y, NEIGHBOURS)
        measured["sliced_wasserstein"] = sliced_wasserstein(
            [level[:, kept_reference] for level in projector.reference], [level[:, kept] for level in projections]
        )
        return np.array([measured[metric] for metric in DISTANCES])

    dealt = _groups(groups, seed, reference.patients, chosen.patients)
    return _clipped(DISTANCES, jackknife(measure, dealt, confidence))


def _diversity(chosen: JudgedImages, confidence: float, seed: int) -> Interval:
    pairs = pairs_within_combination(chosen.labels, chosen.patients, PAIRS, np.random.default_rng(seed))
    similarity = structural_similarity(chosen.images[pairs[:, 0]], chosen.images[pairs[:, 1]])

    def measure(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        values = similarity[kept[pairs].all(axis=1)]
        return np.array([values.mean() if len(values) else np.nan])

    return _clipped(["diversity"], jackknife(measure, _groups(GROUPS, seed, chosen.patients), confidence))[0]


def _diversity_of_one(repeated: JudgedImages) -> Interval:
    image = repeated.images[:1]
    return float(structural_similarity(image, image)[0]), np.nan, np.nan


def _label_fidelity(
    chosen: JudgedImages,
    labels: NDArray[np.floating],
    findings: Sequence[str],
    averaged: Sequence[str],
    confidence: float,
    seed: int,
) -> Iterator[tuple[str, int, Interval]]:
    """Of each finding and of ``mean``, the number of images with a known label, value and ends of its interval."""
    members = [list(findings).index(name) for name in averaged]

    def measure(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        values = [auroc(labels[kept, place], chosen.scores[kept, place]) for place in range(len(findings))]
        mean = sum(values[place] for place in members) / (len(members) or np.nan)
        return np.array([*values, mean])

    intervals = jackknife(measure, _groups(GROUPS, seed, chosen.patients), confidence)
    known = ~np.isnan(labels)
    counts = [*known.sum(axis=0).tolist(), int(known[:, members].any(axis=1).sum())]
    names = [*findings, "mean"]
    yield from zip(names, counts, _clipped(["label_fidelity"] * len(names), intervals), strict=True)


def _clipped(metrics: Sequence[str], intervals: tuple[NDArray[np.float64], ...]) -> list[Interval]:
    ends = [BOUNDS.get(metric, (-np.inf, np.inf)) for metric in metrics]
    return [
        (float(value), float(np.clip(low, *end)), float(np.clip(high, *end)))
        for value, low, high, end in zip(*intervals, ends, strict=True)
    ]


def _row(source: str, role: str, metric: str, features: str, parameter: str, interval: Interval, n: int) -> Row:
    value, low, high = interval
    return {
        "source": source, "role": role, "metric": metric, "finding": "", "features": features, "parameter": parameter,
        "value": value, "ci_low": low, "ci_high": high, "n": n,
    }  # fmt: skip
