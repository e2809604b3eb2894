"""Probabilities of a trained network, and the tidy table of them."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.networks import Network, to_input
from synthcohort.core.errors import UserError
from synthcohort.core.store import ImageStore

BATCH = 256


@torch.no_grad()
def logits(
    network: Network, store: ImageStore | JoinedStore, rows: NDArray[np.int64], batch: int = BATCH
) -> NDArray[np.float32]:
    """Logits of a store's rows, float32 ``[n, findings]``, every row counting; the network's mode is restored."""
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(to_input(store.images[rows[first : first + batch]], device)).cpu().numpy()
        for first in range(0, len(rows), batch)
    ]
    network.train(training)
    return np.concatenate(parts) if parts else np.empty((0, len(network.findings)), np.float32)


def predict(network: Network, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities of each finding.

    Parameters
    ----------
    network : Network
        A trained classifier, on the device where it is to compute.
    store : ImageStore
        Images of the network's resolution.
    rows : ndarray, shape (n,)
        Rows of the store.

    Returns
    -------
    ndarray, shape (n, findings)
        float64: in float32 very sure scores would round to 1 and tie.
    """
    return 1 / (1 + np.exp(-logits(network, store, rows).astype(np.float64)))


def whole_batches(rows: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
    """Leave out the last rows, those that do not fill a batch, as the paper's test did (see `Protocol`).

    Raises
    ------
    UserError
        When there is not even one batch.
    """
    if len(rows) < batch:
        raise UserError(
            f"protocol.drop_incomplete_batch: {len(rows)} test images are less than one batch of {batch}; turn it off, "
            "or use more test images."
        )
    return rows[: len(rows) // batch * batch]


def predictions_table(
    network: Network, store: ImageStore, rows: NDArray[np.int64], scores: NDArray[np.float64]
) -> pd.DataFrame:
    """Put scores into a long table.

    Parameters
    ----------
    network : Network
        Names the findings.
    store : ImageStore
        Has the labels.
    rows : ndarray, shape (n,)
        Rows of the store that were scored.
    scores : ndarray, shape (n, findings)
        What `predict` returned for them.

    Returns
    -------
    pandas.DataFrame
        ``image_id``, ``patient_id``, ``finding``, ``label`` (0, 1 or NaN), ``score``: images in the order of `rows`,
        all findings of an image together. The order carries the bootstrap's resamples: keep it.
    """
    records = store.records.iloc[rows]
    count = len(network.findings)
    return pd.DataFrame(
        {
            "image_id": records["image_id"].to_numpy().repeat(count),
            "patient_id": records["patient_id"].to_numpy().repeat(count),
            "finding": np.tile(np.array(network.findings, dtype=object), len(rows)),
            "label": records[network.findings].to_numpy(np.float64).ravel(),
            "score": scores.ravel(),
        }
    )
