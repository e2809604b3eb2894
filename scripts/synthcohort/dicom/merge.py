"""Shards into one store per resolution, in the index's order, and the final index."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.core.atomic import write_parquet
from synthcohort.core.store import ImageStore, write_store
from synthcohort.dicom.index import ACCEPTED, COLUMNS, check_rejected, log_reasons
from synthcohort.dicom.preprocess import BLOCK, PIXEL_COLUMNS

Images = NDArray[np.uint8]


def merge_index(index: pd.DataFrame, files: list[pd.DataFrame]) -> pd.DataFrame:
    """Bring what the pixels said into the index.

    Parameters
    ----------
    index : pandas.DataFrame
        From `index.index_folder`.
    files : list of pandas.DataFrame
        Each shard's ``files.parquet``.

    Returns
    -------
    pandas.DataFrame
        The index, with final status and reason, and ``windowed``, ``window_low``, ``window_high`` behind its fixed
        columns.
    """
    pixels = pd.concat(files, ignore_index=True).set_index("file_id").reindex(index["file_id"]).reset_index(drop=True)
    seen = pixels["status"].notna().to_numpy()
    merged = index.reset_index(drop=True).copy()
    for column in ("status", "reason"):
        merged[column] = merged[column].where(~seen, pixels[column])
    for offset, column in enumerate(PIXEL_COLUMNS):
        values = pixels[column].fillna("") if column == "windowed" else pixels[column].astype(float)
        merged.insert(len(COLUMNS) + offset, column, values)
    return merged


def merge_shards(
    index: pd.DataFrame,
    shards: list[Path],
    store: str | Path,
    index_path: str | Path,
    resolutions: list[int],
    maximum_rejected: float,
) -> pd.DataFrame:
    """Copy the shards' images into one store per resolution, and write the final index.

    Parameters
    ----------
    index : pandas.DataFrame
        From `index.index_folder`.
    shards : list of Path
        The shards' output folders.
    store : str or Path
        Gets one folder per resolution.
    index_path : str or Path
        Where the final index goes.
    resolutions : list of int
        Sides of the images.
    maximum_rejected : float
        Largest share of files that may be rejected.

    Returns
    -------
    pandas.DataFrame
        The final index.

    Raises
    ------
    UserError
        When more files were rejected than that.
    """
    merged = merge_index(index, [pd.read_parquet(Path(shard) / "files.parquet") for shard in shards])
    log_reasons(merged)
    check_rejected(merged, maximum_rejected)
    order = merged.loc[merged["status"] == ACCEPTED, "image_id"]
    for side in sorted(resolutions):
        _merge_stores([ImageStore(Path(shard) / f"{side:03d}") for shard in shards], order, Path(store) / f"{side:03d}")
    write_parquet(index_path, merged)
    return merged


def _merge_stores(parts: list[ImageStore], order: "pd.Series[str]", output: Path) -> None:
    records = pd.concat([part.records for part in parts], ignore_index=True)
    position = pd.Series(np.arange(len(records)), index=records["image_id"]).loc[order].to_numpy()
    masks = None
    if "masks.npy" in parts[0].info.digests:
        for part in parts:
            part.info.verify(part.folder, "masks.npy")
        masks = [np.load(part.folder / "masks.npy", mmap_mode="r") for part in parts]
    write_store(
        output,
        _gather([part.images for part in parts], position),
        records.iloc[position].reset_index(drop=True),
        parts[0].info,
        _gather(masks, position) if masks is not None else None,
    )


def _gather(parts: list[Images], position: NDArray[np.int64]) -> Iterator[Images]:
    """Yield blocks of the images at `position` of all parts one behind another."""
    starts = np.cumsum([0, *map(len, parts)])
    for first in range(0, len(position), BLOCK):
        wanted = position[first : first + BLOCK]
        part = np.searchsorted(starts, wanted, "right") - 1
        block = np.empty((len(wanted), *parts[0].shape[1:]), np.uint8)
        for number in np.unique(part):
            here = part == number
            block[here] = parts[number][wanted[here] - starts[number]]
        yield block
