"""Whether synthetic images carry the mark of canary patients, who were planted in the training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.membership import MIRRORED, replay
from synthcohort.audit.privacy_vocabulary import CANARIES
from synthcohort.audit.utility import combine_metrics
from synthcohort.classify.joined import JoinedStore
from synthcohort.core.experiment import REAL
from synthcohort.core.store import Images, ImageStore
from synthcohort.gan.canaries import canary_mark
from synthcohort.measures.canaries import FOUND, mark_correlations, plant
from synthcohort.measures.neighbours import Readable, in_blocks


def canary_metrics(
    keys: Mapping[str, str],
    synthetic: Mapping[str, ImageStore | JoinedStore],
    real: ImageStore,
    selection: pd.DataFrame,
    rows: NDArray[np.int64],
    seed: int,
) -> pd.DataFrame:
    """Count images that carry the mark.

    Parameters
    ----------
    keys : mapping
        ``study``, ``cohort``, ``experiment``, ``axis``, ``level`` and ``replicate``.
    synthetic : mapping of str to ImageStore or JoinedStore
        Each family's sample.
    real : ImageStore
        The cohort, without the mark.
    selection : pandas.DataFrame
        ``row`` and ``side`` of the experiment's images.
    rows : numpy.ndarray
        Canaries' rows of `real`, see `gan.canaries.canary_rows`.
    seed : int
        The canaries'.

    Returns
    -------
    pandas.DataFrame
        Rows of metrics.parquet, ``canaries_found``: how many images carry the mark, of `n`. ``value``: of a family's
        sample. ``positive_control``: of the canaries as the replaying generator draws them, nearly all.
        ``negative_control``: of real test images, none.
    """
    mark = canary_mark(real.images.shape[-1], seed)
    canaries = plant(np.asarray(real.images[rows]), mark)
    test = selection.loc[selection["side"] == "test", "row"].to_numpy()
    replayed = replay(canaries, np.arange(len(canaries)), MIRRORED, np.random.default_rng(seed))
    found = [(name, "value", _found(store.images, mark), len(store)) for name, store in synthetic.items()]
    found += [
        (REAL, "positive_control", _found(replayed, mark), len(replayed)),
        (REAL, "negative_control", _found(real.images, mark, test), len(test)),
    ]
    rest: dict[str, Any] = {
        "metric": CANARIES, "finding": "", "features": f"correlation of {FOUND:g}", "parameter": f"{len(rows)} planted",
        "ci_low": np.nan, "ci_high": np.nan, "simulated": real.info.simulated,
    }  # fmt: skip
    table = pd.DataFrame(found, columns=["source", "role", "value", "n"])
    return combine_metrics([table.assign(**keys, **rest).astype({"value": float})])


def _found(images: Readable, mark: Images, rows: NDArray[np.int64] | None = None) -> int:
    return sum(int((mark_correlations(block, mark) >= FOUND).sum()) for block in in_blocks(images, rows))
