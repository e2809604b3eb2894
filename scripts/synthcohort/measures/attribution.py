"""How alike attribution maps are, and how far they lie on lesions."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.measures.auroc import auroc

COVERED = 127
"""A pixel belongs to a lesion where its mask is above this: more than half of it is covered."""


def rank_correlations(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """Spearman's rank correlation of each map with its partner, over their pixels; ties share their mean rank.

    Parameters
    ----------
    first, second : ndarray, shape (n, ...)
        Maps of one shape.

    Returns
    -------
    ndarray, shape (n,)
        float64 in [-1, 1]; NaN where a map is the same everywhere, as it has no order.
    """
    ranks = [pd.DataFrame(maps.reshape(len(maps), -1)).rank(axis=1).to_numpy() for maps in (first, second)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    product = np.einsum("ij,ij->i", *centred)
    norms = np.sqrt(np.prod([np.einsum("ij,ij->i", rank, rank) for rank in centred], axis=0))
    return np.divide(product, norms, out=np.full(len(product), np.nan), where=norms > 0)


def mask_overlap(maps: NDArray, masks: NDArray[np.uint8]) -> NDArray[np.float64]:
    """AUROC of the absolute map at a lesion's pixels against all other pixels of the image.

    Parameters
    ----------
    maps : ndarray, shape (n, H, W)
        Attribution; its sign does not count.
    masks : ndarray, shape (n, H, W)
        uint8, 255 where a pixel is wholly covered by the lesion; it belongs to it above `COVERED`.

    Returns
    -------
    ndarray, shape (n,)
        float64: probability that a random pixel of the lesion has more attribution than a random other one, 0.5 for a
        map that is the same everywhere; NaN where the lesion covers no pixel, or all of them.
    """
    lesions = (masks > COVERED).reshape(len(masks), -1)
    amounts = np.abs(maps).reshape(len(maps), -1)
    return np.array([auroc(lesion, amount) for lesion, amount in zip(lesions, amounts, strict=True)], np.float64)
