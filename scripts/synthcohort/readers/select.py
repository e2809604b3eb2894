"""Choosing what readers are shown: real and synthetic images in pairs with the same labels."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from synthcohort.cohort.labels import combination_names
from synthcohort.core.errors import UserError
from synthcohort.core.reader_config import ReaderStudy
from synthcohort.core.store import ImageStore

REAL, SYNTHETIC = "real", "synthetic"
Block = Literal["training", "reading"]
READING: Block = "reading"
TRAINING: Block = "training"
TESTED = "test"
"""Side of the split that real images come from: no generator and no classifier has seen these patients."""


class Cell(NamedTuple):
    """One generator family at one resolution of one cohort: what is compared within it must look alike."""

    cohort: str
    experiment: str
    family: str
    real: ImageStore
    selection: pd.DataFrame
    """The experiment's rows of `real`: ``row``, ``patient_id``, ``side`` (train, valid or test)."""
    synthetic: ImageStore
    """A sample of the family's generator."""


class Pair(NamedTuple):
    """A real and a synthetic image with the same labels."""

    real: int
    synthetic: int
    combination: str


def choose_items(cells: Sequence[Cell], config: ReaderStudy, seed: int) -> pd.DataFrame:
    """Choose as many real as synthetic images from each cell, with the same label combinations equally often.

    Parameters
    ----------
    cells : sequence of Cell
        Each gives ``config.images`` pairs; those of the training block come from all of them in turn.
    config : ReaderStudy
        How many.
    seed : int
        Chooses among images with the same labels, and which are shown twice.

    Returns
    -------
    pandas.DataFrame
        One row per item: ``block`` (reading or training), ``cell`` (number of its cell), ``truth`` (real or
        synthetic), ``cohort``, ``experiment``, ``family`` (of a real image: whose images it stands beside),
        ``resolution``, ``row`` (in its store), ``image_id``, ``combination``, ``group`` (the same number for all images
        of one patient; each synthetic image has its own) and ``repeated`` (shown twice). No real image stands twice, at
        whatever resolution, and no patient before every other that fits.

    Raises
    ------
    UserError
        When test patients or sample have too few images with the same labels; it names the largest number that works.
    """
    training = [len(turn) for turn in np.array_split(np.arange(config.training // 2), len(cells))]
    pairs = _find_pairs(cells, [config.images + extra for extra in training], seed)
    if pairs is None:
        raise UserError(_too_few(cells, config, training, seed))
    rows = []
    for number, (cell, chosen) in enumerate(zip(cells, pairs, strict=True)):
        for place, pair in enumerate(chosen):
            block = READING if place < config.images else TRAINING
            rows += [_item(cell, number, block, REAL, pair), _item(cell, number, block, SYNTHETIC, pair)]
    items = pd.DataFrame(rows)
    items = items.assign(group=pd.factorize(items.pop("owner"))[0])
    repeated = _choose_repeated(items, config.repeated, np.random.default_rng(seed))
    return items.assign(repeated=items.index.isin(repeated))


def _find_pairs(cells: Sequence[Cell], wanted: Sequence[int], seed: int) -> list[list[Pair]] | None:
    """Find `wanted` pairs in each cell; None where a cell has too few."""
    rng = np.random.default_rng(seed)
    used: dict[str, pd.DataFrame] = {}
    found = []
    for cell, count in zip(cells, wanted, strict=True):
        shown = used.get(cell.cohort, cell.real.records.iloc[:0])
        pairs = _pairs_of(cell, count, shown, rng)
        if len(pairs) < count:
            return None
        used[cell.cohort] = pd.concat([shown, cell.real.records.iloc[[pair.real for pair in pairs]]])
        found.append(pairs)
    return found


def _pairs_of(cell: Cell, count: int, shown: pd.DataFrame, rng: np.random.Generator) -> list[Pair]:
    """Pair at most `count` real images of test patients with synthetic ones; images in `shown` are out."""
    own, made = _labelled(cell.real), _labelled(cell.synthetic)
    rows = cell.selection.loc[cell.selection["side"] == TESTED, "row"]
    own = own.iloc[rows].dropna(subset="combination")
    own = own[~own["image_id"].isin(shown["image_id"])].sample(frac=1, random_state=rng)
    before = own["patient_id"].map(shown["patient_id"].value_counts()).astype(float).fillna(0)
    turn = own.groupby("patient_id").cumcount() + before
    own = own.assign(turn=turn).sort_values("turn", kind="stable")
    partners = {
        str(name): group.sample(frac=1, random_state=rng)["row"].tolist()
        for name, group in made.groupby("combination", sort=True)
    }
    pairs: list[Pair] = []
    for row, combination in zip(own["row"], own["combination"], strict=True):
        if len(pairs) == count:
            break
        if partners.get(combination):
            pairs.append(Pair(int(row), int(partners[combination].pop()), str(combination)))
    return pairs


def _labelled(store: ImageStore) -> pd.DataFrame:
    """Rows of a store with the name of their label combination (NA where a label is unknown)."""
    names = combination_names(store.records[store.info.finding_names])
    return store.records[["image_id", "patient_id"]].assign(row=np.arange(len(store)), combination=names)


def _item(cell: Cell, number: int, block: str, truth: str, pair: Pair) -> dict[str, object]:
    store, row = (cell.real, pair.real) if truth == REAL else (cell.synthetic, pair.synthetic)
    image = store.records.iloc[row]
    return {
        "owner": (truth, cell.cohort, image["patient_id"]) if truth == REAL else (truth, number, row),
        "block": block,
        "cell": number,
        "truth": truth,
        "cohort": cell.cohort,
        "experiment": cell.experiment,
        "family": cell.family,
        "resolution": store.info.resolution,
        "row": row,
        "image_id": str(image["image_id"]),
        "combination": pair.combination,
    }


def _choose_repeated(items: pd.DataFrame, count: int, rng: np.random.Generator) -> list[int]:
    """Index of the items that are shown twice: half real, half synthetic, from as many cells as there can be."""
    chosen: list[int] = []
    for truth in (REAL, SYNTHETIC):
        own = items[(items["block"] == READING) & (items["truth"] == truth)].sample(frac=1, random_state=rng)
        own = own.assign(turn=own.groupby("cell").cumcount()).sort_values("turn", kind="stable")
        chosen += own.index[: count // 2].tolist()
    return chosen


def _too_few(cells: Sequence[Cell], config: ReaderStudy, training: Sequence[int], seed: int) -> str:
    for images in range(config.images - 1, 0, -1):
        if _find_pairs(cells, [images + extra for extra in training], seed) is not None:
            return (
                f"config key readers.images: test patients and samples have fewer than {config.images} pairs of "
                f"images with the same labels per cohort, family and resolution; at most {images} work here."
            )
    return (
        "config key readers.images: test patients and samples have not even one pair of images with the same "
        "labels for each cohort, family and resolution; hold out more patients or leave readers out."
    )
