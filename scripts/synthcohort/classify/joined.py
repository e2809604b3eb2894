"""Real and synthetic images as one store, for classifiers that learn from both."""

import numpy as np
from numpy.typing import NDArray

from synthcohort.core.atomic import value_digest
from synthcohort.core.errors import UserError
from synthcohort.core.store import Images, ImageStore, StoreInfo

Part = tuple[ImageStore, NDArray[np.int64]]


class JoinedStore:
    """Several stores' rows one after the other; images stay where they are until they are asked for.

    Parameters
    ----------
    *parts : tuple of ImageStore and ndarray of int64
        Stores with the same findings, resolution and channels, and the rows of each that are meant.

    Attributes
    ----------
    images : JoinedStore
        Itself: ``images[rows]``, also with a slice, gives uint8 ``[n, C, H, W]``, as the array of an ImageStore does.
    labels : numpy.ndarray
        float32 ``[N, findings]``.
    info : StoreInfo
        The first store's, with the number of images and a data version of all parts.

    Raises
    ------
    UserError
        When the stores do not fit together.
    """

    def __init__(self, *parts: Part) -> None:
        first = parts[0][0].info
        for store, _ in parts:
            if (store.info.finding_names, store.info.resolution, store.info.channels) != (
                first.finding_names, first.resolution, first.channels,
            ):  # fmt: skip
                raise UserError(
                    "the synthetic images have other findings, or another size, than the real ones; sample again."
                )
        self._parts = parts
        self._ends = np.cumsum([len(rows) for _, rows in parts])
        self.images = self
        self.labels: NDArray[np.float32] = np.concatenate([store.labels[rows] for store, rows in parts])
        version = value_digest([[store.info.data_version, rows.tolist()] for store, rows in parts])[:16]
        self.info: StoreInfo = first.model_copy(update={"images": len(self), "data_version": version})

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def all_rows(self) -> NDArray[np.int64]:
        """Every row."""
        return np.arange(len(self))

    @property
    def shape(self) -> tuple[int, ...]:
        """``[N, C, H, W]``."""
        return len(self), *self._parts[0][0].images.shape[1:]

    def __getitem__(self, positions: NDArray[np.int64] | slice) -> Images:
        if isinstance(positions, slice):
            positions = self.all_rows[positions]
        part = np.searchsorted(self._ends, positions, side="right")
        images = np.empty((len(positions), *self.shape[1:]), np.uint8)
        for number, (store, rows) in enumerate(self._parts):
            here = np.flatnonzero(part == number)
            begin = self._ends[number] - len(rows)
            images[here] = store.images[rows[positions[here] - begin]]
        return images
