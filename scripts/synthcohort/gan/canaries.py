"""Canaries: training patients whose images carry a mark on purpose, so that an audit can look for it in samples."""

import copy

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.core.store import Images, ImageStore
from synthcohort.measures.canaries import draw_mark, plant


def canary_mark(side: int, seed: int) -> Images:
    """Draw the mark of a study's canaries for images of a side; see `measures.canaries.draw_mark`."""
    return draw_mark(side, np.random.default_rng([seed, 1]))


def canary_rows(selection: pd.DataFrame, patients: int, seed: int) -> NDArray[np.int64]:
    """Choose canaries among an experiment's training patients.

    Parameters
    ----------
    selection : pandas.DataFrame
        ``row``, ``patient_id``, ``side``.
    patients : int
        How many, at most.
    seed : int
        Chooses; patients' names do not matter, only the order of first appearance.

    Returns
    -------
    numpy.ndarray
        int64: all their training images' rows of the cohort's store.
    """
    train = selection[selection["side"] == "train"]
    patient, names = pd.factorize(train["patient_id"])
    chosen = np.random.default_rng(seed).permutation(len(names))[:patients]
    return train["row"].to_numpy()[np.isin(patient, chosen)]


def plant_canaries(store: ImageStore, rows: NDArray[np.int64], seed: int) -> ImageStore:
    """Give a store whose images at some rows carry the mark; the files stay as they are."""
    marked = copy.copy(store)
    images = np.array(store.images)
    images[rows] = plant(images[rows], canary_mark(images.shape[-1], seed))
    marked.images = images
    return marked
