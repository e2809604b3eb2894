"""Whether synthetic images lie nearer to the generator's training patients than to patients it never saw."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from synthcohort.audit.judge import MAXIMUM_IMAGES, ImageRows, noised, thin_rows
from synthcohort.audit.utility import combine_metrics
from synthcohort.audit.vocabulary import GROUPS, SPACES
from synthcohort.classify.networks import Network, to_input
from synthcohort.cohort.labels import combination_names
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.store import ImageStore
from synthcohort.gan.features import GuideFeatures, feature_vectors
from synthcohort.measures.neighbours import (
    SEARCH_ELEMENTS,
    Metric,
    Neighbours,
    Readable,
    in_blocks,
    median_interval,
    nearest_neighbours,
    nearest_ratio,
)

HELD_OUT = ("valid", "test")
NOISE = 8.0
"""Standard deviation of the positive control's noise, of 255 grey levels: a copy that is still plainly one."""
COPIES = 500
"""Noised training images that are enough for the positive control."""

Arrays = dict[str, NDArray[Any]]
Rows = NDArray[np.int64]


class Sides(NamedTuple):
    """Rows of the cohort's store to compare with, both of one size."""

    training: Rows
    held_out: Rows


class Space(NamedTuple):
    """What distances are measured in: maps uint8 ``[n, C, H, W]`` to ``[n, ...]``."""

    name: str
    metric: Metric
    vectors: Callable[[Any], Any]


class Query(NamedTuple):
    """Images whose neighbours are sought, what they are compared with, and who belongs together in a resample."""

    images: Readable
    sides: Sides
    groups: ArrayLike


def spaces(judge: Network) -> dict[str, Space]:
    """Name the spaces: cosine distance of the judge's pooled features, as in the paper, and Euclidean of pixel values.

    Pixel values are grey levels from 0 to 255.
    """
    features, device = GuideFeatures(judge), next(judge.parameters()).device

    def pooled(images: Readable) -> NDArray[np.float32]:
        return feature_vectors(features, (to_input(np.array(block), device) for block in in_blocks(images)))

    made = (Space(f"judge ({judge.name})", "cosine", pooled), Space("pixels", "euclidean", lambda images: images))
    return dict(zip(SPACES, made, strict=True))


def thin_patients(rows: pd.DataFrame, count: int, rng: np.random.Generator) -> Rows:
    """Choose images of whole patients, drawn by chance, until there are `count`; the last patient may be cut.

    Single images drawn by chance would come from more patients than the other side has, and so lie nearer to anything.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns ``row`` and ``patient_id``.
    count : int
        Images to choose, at most as many as there are.
    rng : numpy.random.Generator
        Chooses patients; their names do not matter, only the order of first appearance.

    Returns
    -------
    numpy.ndarray
        int64 ``[count]``, ascending.
    """
    patient, names = pd.factorize(rows["patient_id"])
    place = rng.permutation(len(names))
    order = np.argsort(place[patient], kind="stable")
    return np.sort(rows["row"].to_numpy()[order[:count]])


def equal_sides(first: pd.DataFrame, second: pd.DataFrame, rng: np.random.Generator, most: int | None = None) -> Sides:
    """Thin the larger of two groups of real images to the other's size, or both to `most`, see `thin_patients`.

    Raises
    ------
    UserError
        When a group is empty, or a patient stands in both.
    """
    if set(first["patient_id"]) & set(second["patient_id"]):
        raise UserError("split: a patient is on two sides, so neighbours cannot be compared; split the cohort again.")
    count = min(len(first), len(second), most or len(first))
    if not count:
        raise UserError("split: neighbours need images on every side (train, valid, test); use more patients.")
    return Sides(thin_patients(first, count, rng), thin_patients(second, count, rng))


def neighbour_gallery(
    synthetic: ImageStore,
    real: ImageStore,
    selection: pd.DataFrame,
    judge: Network,
    seed: int,
    images: int = 6,
    k: int = 4,
) -> tuple[Arrays, pd.DataFrame]:
    """Find the real images that are nearest to some synthetic ones.

    Three groups are searched: ``training`` and ``held_out`` (valid and test), of which the larger is thinned to the
    other's size, as the nearest of many images is nearer than that of few; and ``all_training``, the only one in which
    no copied image can be missed.

    Parameters
    ----------
    synthetic : ImageStore
        A sample.
    real : ImageStore
        The cohort.
    selection : pandas.DataFrame
        The experiment's rows of `real`: ``row``, ``patient_id``, ``side`` (train, valid or test).
    judge : Network
        A classifier that the generator's training did not use.
    seed : int
        Chooses synthetic images, one of each of the most frequent combinations and then over again, and thins.
    images : int
        Synthetic images at most.
    k : int
        Neighbours of each; fewer where a group is smaller.

    Returns
    -------
    arrays : dict of numpy.ndarray
        ``synthetic`` uint8 ``[K, C, H, W]``; ``combinations`` ``[K]``, names for people; ``searched`` int64, images of
        each group of `GROUPS`; and for each space of `SPACES` and group ``SPACE_GROUP`` uint8 ``[K, k, C, H, W]`` and
        ``SPACE_GROUP_distances`` float64 ``[K, k]``. Shows real patients' pixels, but no identifiers.
    table : pandas.DataFrame
        A row for each synthetic image, space, group and rank: ``image`` (0 to K − 1), ``combination``, ``space``,
        ``group``, ``rank`` (from 1), ``distance``.

    Raises
    ------
    UserError
        When a side is empty, or a patient is on two sides.
    """
    rng = np.random.default_rng(seed)
    rows, names = _choose(synthetic, images, rng)
    training, held_out = _side(selection, "train"), _side(selection, *HELD_OUT)
    groups = {**equal_sides(training, held_out, rng)._asdict(), "all_training": training["row"].to_numpy()}
    chosen = np.asarray(synthetic.images[rows])
    k = min(k, *map(len, groups.values()))
    searched = np.array([len(groups[group]) for group in GROUPS])
    arrays: Arrays = {"synthetic": chosen, "combinations": np.array(names), "searched": searched}
    tables = []
    for name, space in spaces(judge).items():
        vectors = space.vectors(chosen)
        for group, members in groups.items():
            found = _nearest(space, vectors, real, members, k)
            arrays[f"{name}_{group}"] = real.images[members[found.indices]]
            arrays[f"{name}_{group}_distances"] = found.distances
            image, rank = np.divmod(np.arange(found.distances.size), k)
            facts = {"image": image, "combination": np.array(names)[image], "space": name, "group": group}
            tables.append(pd.DataFrame({**facts, "rank": rank + 1, "distance": found.distances.ravel()}))
    return arrays, pd.concat(tables).sort_values(["image"], kind="stable", ignore_index=True)


def neighbour_metrics(
    keys: Mapping[str, str],
    synthetic: ImageStore,
    real: ImageStore,
    selection: pd.DataFrame,
    judge: Network,
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Compare how near synthetic images are to training images and to held-out ones.

    ``nearest_ratio`` is the median over the synthetic images of the distance to the nearest training image, divided by
    that to the nearest held-out image. A generator that knows no more of its training patients than of others has 1;
    one that copies most images has far less. A median does not see that a few are copied. Of synthetic images and of
    each side `MAXIMUM_IMAGES` are compared at most: the time in pixels grows with the product.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis``, ``level``, ``source`` and ``replicate``.
    synthetic, real, selection, judge
        See `neighbour_gallery`.
    statistics : Statistics
        Resamples and level of the intervals.
    seed : int
        Thins sides, makes noise and resamples.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet, for the judge's features and for pixels (column ``features``), with three roles.

        ``value``: interval over synthetic images, whose number is `n`.

        ``negative_control``: real test images instead, nearest training against nearest valid image; interval over test
        patients, whose number is `n`. Where it is not 1, the sides differ by more than what the generator saw (the
        judge learnt from training images; there may be fewer images per patient), so read the value against it.

        ``positive_control``: up to `COPIES` of the thinned training images with noise (`NOISE`), as a generator that
        copies would make them; `n` as in ``value``.

        The intervals do not tell how other training or held-out patients would differ: that of the value is too narrow.

    Raises
    ------
    UserError
        When a side is empty, or a patient is on two sides.
    """
    rng = np.random.default_rng(seed)
    training, valid, test = (_side(selection, side) for side in ("train", *HELD_OUT))
    if set(test["patient_id"]) & (set(training["patient_id"]) | set(valid["patient_id"])):
        raise UserError("split: a test patient is on two sides, so there is no control; split the cohort again.")
    sides = equal_sides(training, _side(selection, *HELD_OUT), rng, MAXIMUM_IMAGES)
    copied = rng.permutation(sides.training)[:COPIES]
    copies = noised(real.images[copied], NOISE, rng)
    made = thin_rows(synthetic.all_rows, seed)
    if len(test) > MAXIMUM_IMAGES:
        test = test[test["row"].isin(thin_patients(test, MAXIMUM_IMAGES, rng))]
    roles = {
        "value": Query(ImageRows(synthetic.images, made), sides, made),
        "positive_control": Query(copies, sides, np.arange(len(copies))),
        "negative_control": Query(
            ImageRows(real.images, test["row"].to_numpy()),
            equal_sides(training, valid, rng, MAXIMUM_IMAGES),
            test["patient_id"],
        ),
    }
    rows = []
    for space in spaces(judge).values():
        for role, query in roles.items():
            vectors = space.vectors(query.images)
            first, second = (_nearest(space, vectors, real, side, 1).distances[:, 0] for side in query.sides)
            ratios = nearest_ratio(first, second)
            interval = median_interval(ratios, query.groups, statistics.bootstrap, statistics.confidence, rng)
            rows.append(
                {
                    **keys,
                    "metric": "nearest_ratio",
                    "finding": "",
                    "role": role,
                    "features": space.name,
                    "parameter": f"noise-{NOISE:g}" if role == "positive_control" else "",
                    "value": float(np.median(ratios)),
                    "ci_low": interval[0],
                    "ci_high": interval[1],
                    "n": len(pd.unique(np.asarray(query.groups))),
                    "simulated": real.info.simulated,
                }
            )
    return combine_metrics([pd.DataFrame(rows)])


def _nearest(space: Space, vectors: Readable, real: ImageStore, members: Rows, k: int) -> Neighbours:
    """Nearest of some real images, which are read and mapped block by block."""
    references = (space.vectors(block) for block in in_blocks(real.images, members, SEARCH_ELEMENTS))
    return nearest_neighbours(vectors, references, k, space.metric)


def _side(selection: pd.DataFrame, *names: str) -> pd.DataFrame:
    return selection.loc[selection["side"].isin(names), ["row", "patient_id"]]


def _choose(synthetic: ImageStore, images: int, rng: np.random.Generator) -> tuple[Rows, list[str]]:
    """Rows of synthetic images, one of each frequent combination and then over again, and their names for people."""
    display = {finding.name: finding.display for finding in synthetic.info.findings}
    names = combination_names(synthetic.records[synthetic.info.finding_names])
    counts = names.value_counts()
    rank = {name: place for place, name in enumerate(sorted(counts.index, key=lambda name: (-counts[name], name)))}
    table = pd.DataFrame({"row": np.arange(len(names)), "name": names}).iloc[rng.permutation(len(names))]
    table = table.assign(turn=table.groupby("name").cumcount(), rank=table["name"].map(rank))
    first = table.sort_values(["turn", "rank"], kind="stable").head(images).sort_values(["rank", "turn"])
    words = [" + ".join(display.get(part, part) for part in name.split("+")) for name in first["name"]]
    return first["row"].to_numpy(), words
