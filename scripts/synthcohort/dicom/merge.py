"""Shards into one store per resolution, in the index's order, and the final index, a part of the tables at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.core.atomic import RowReader, read_parts, write_parquet
from synthcohort.core.errors import UserError
from synthcohort.core.store import StoreInfo, write_store
from synthcohort.dicom.index import ACCEPTED, COLUMNS, check_rejected, log_reasons
from synthcohort.dicom.preprocess import BLOCK, PIXEL_COLUMNS

Images = NDArray[np.uint8]
OTHER_SHARDS = "the cohort's shards are not those of its index; run the same command again with `--forcerun index`."


def merge_shards(
    index: Iterable[pd.DataFrame],
    shards: list[Path],
    store: str | Path,
    index_path: str | Path,
    resolutions: list[int],
    maximum_rejected: float,
) -> None:
    """Copy the shards' images into one store per resolution, and write the final index.

    Each shard has its files in the order of the index, so all are read from front to end.

    Parameters
    ----------
    index : iterable of pandas.DataFrame
        Parts of the index of the headers.
    shards : list of Path
        The shards' output folders; place k has shard k.
    store : str or Path
        Gets one folder per resolution.
    index_path : str or Path
        Where the final index goes: the index, with final status and reason, and ``windowed``, ``window_low``,
        ``window_high`` behind its fixed columns.
    resolutions : list of int
        Sides of the images.
    maximum_rejected : float
        Largest share of files that may be rejected.

    Raises
    ------
    UserError
        When more files were rejected than that, or when a shard does not match its digests or the index.
    """
    write_parquet(index_path, _checked(_merged(index, shards), maximum_rejected))
    for side in sorted(resolutions):
        _merge_stores([shard / f"{side:03d}" for shard in shards], Path(index_path), Path(store) / f"{side:03d}")


def _merged(index: Iterable[pd.DataFrame], shards: list[Path]) -> Iterator[pd.DataFrame]:
    """Bring what the pixels said into the parts of the index."""
    files = [RowReader(shard / "files.parquet") for shard in shards]
    for part in index:
        seen = (part["status"] == ACCEPTED).to_numpy()
        pixels = _deal(files, part.loc[seen, "shard"].to_numpy())
        if pixels["file_id"].tolist() != part.loc[seen, "file_id"].tolist():
            raise UserError(OTHER_SHARDS)
        pixels = pixels.set_index(part.index[seen]).reindex(part.index)
        merged = part.copy()
        for column in ("status", "reason"):
            merged[column] = merged[column].where(~seen, pixels[column])
        for offset, column in enumerate(PIXEL_COLUMNS):
            values = pixels[column].fillna("") if column == "windowed" else pixels[column].astype(float)
            merged.insert(len(COLUMNS) + offset, column, values)
        yield merged


def _checked(parts: Iterable[pd.DataFrame], maximum_rejected: float) -> Iterator[pd.DataFrame]:
    """Count the reasons on the way; when too many files were rejected, nothing is written."""
    reasons: Counter[str] = Counter()
    for part in parts:
        reasons.update(part["reason"])
        yield part
    log_reasons(reasons)
    check_rejected(reasons, maximum_rejected)


def _merge_stores(parts: list[Path], index_path: Path, output: Path) -> None:
    infos = [StoreInfo.read(part / "store.json") for part in parts]
    names = ["images.npy", *(["masks.npy"] if "masks.npy" in infos[0].digests else [])]
    for part, info in zip(parts, infos, strict=True):
        info.verify(part, "records.parquet", *names)

    def accepted() -> Iterator[pd.DataFrame]:
        for rows in read_parts(index_path, ["status", "shard", "image_id"]):
            yield rows[rows["status"] == ACCEPTED]

    records = _records([RowReader(part / "records.parquet") for part in parts], accepted())
    arrays = [_gather([_Planes(part / name) for part in parts], accepted()) for name in names]
    write_store(output, arrays[0], records, infos[0], *arrays[1:])


def _records(tables: list[RowReader], index: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for rows in index:
        records = _deal(tables, rows["shard"].to_numpy())
        if records["image_id"].tolist() != rows["image_id"].tolist():
            raise UserError(OTHER_SHARDS)
        yield records


def _deal(tables: list[RowReader], order: NDArray[np.int64]) -> pd.DataFrame:
    """Take the next row of the table that each number says."""
    numbers, counts = np.unique(order, return_counts=True)
    taken = [tables[number].take(count) for number, count in zip(numbers, counts, strict=True)]
    behind = np.argsort(np.argsort(order, kind="stable"))
    together = pd.concat(taken or [tables[0].take(0)], ignore_index=True)
    if len(together) != len(order):
        raise UserError(OTHER_SHARDS)
    return together.iloc[behind].reset_index(drop=True)


def _gather(arrays: list["_Planes"], index: Iterable[pd.DataFrame]) -> Iterator[Images]:
    """Yield blocks of images, each the next of its shard's."""
    for rows in index:
        order = rows["shard"].to_numpy()
        for first in range(0, len(order), BLOCK):
            wanted = order[first : first + BLOCK]
            block = np.empty((len(wanted), *arrays[0].shape), np.uint8)
            for number in np.unique(wanted):
                here = wanted == number
                block[here] = arrays[number].take(int(here.sum()))
            yield block


class _Planes:
    """Images of a .npy that are read from front to end; mapped into memory, all of them would count as the job's."""

    def __init__(self, path: Path) -> None:
        mapped = np.load(path, mmap_mode="r")
        self.shape = mapped.shape[1:]
        self._file = open(path, "rb")  # noqa: SIM115 (until it is forgotten)
        self._file.seek(mapped.offset)

    def take(self, count: int) -> Images:
        """Give the next images."""
        return np.fromfile(self._file, np.uint8, count * int(np.prod(self.shape))).reshape(count, *self.shape)
