"""ImageStore: a cohort's (or a sample's) images, labels and how they were made, in three files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from synthcohort.core.atomic import atomic_path, file_digest, read_json, value_digest, write_json, write_parquet
from synthcohort.core.errors import UserError

Images = NDArray[np.uint8]
STORE_FILES = ("images.npy", "records.parquet", "store.json")
WAY_OUT = "delete the folder and run the same command again, which makes the store anew."


class Finding(BaseModel):
    """One label column: its snake_case `name` and the `display` name for people."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    display: str


class StoreInfo(BaseModel):
    """What store.json says about the images beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cohort: str
    findings: list[Finding]
    units: str
    """What 0–255 stand for in words, for example ``HU`` or ``presentation``."""
    windows: list[tuple[float, float]]
    """One (low, high) in `units` per channel: low maps to 0, high to 255; empty where each image has its own."""
    resolution: int
    channels: int
    images: int
    simulated: bool
    """True where the patients behind these images were drawn by this project."""
    policy: dict[str, Any] = {}
    """How pixels and labels were treated, or how the images were generated."""
    digests: dict[str, str] = {}
    """SHA-256 of each other file of the store."""
    data_version: str = ""
    """Digest over everything above: it changes whenever anything in the store does."""

    @classmethod
    def read(cls, path: str | Path) -> "StoreInfo":
        """Read a store.json.

        Raises
        ------
        UserError
            When it is missing, cannot be read or does not match the digest in itself.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"image store {path.parent}: {path.name} is missing; {WAY_OUT}")
        try:
            content = read_json(path)
            if content["data_version"] != _data_version(content):
                raise ValueError
            return cls.model_validate(content)
        except (ValueError, TypeError, KeyError) as error:  # what JSON, its types and pydantic raise
            raise UserError(f"image store {path.parent}: {path.name} is damaged; {WAY_OUT}") from error

    @property
    def finding_names(self) -> list[str]:
        """Names of the label columns, in their order."""
        return [finding.name for finding in self.findings]

    def verify(self, folder: str | Path, *names: str) -> None:
        """Compare files beside the store.json with their digests.

        Raises
        ------
        UserError
            Naming the first file that is missing or differs.
        """
        for name in names:
            path = Path(folder) / name
            if not path.is_file():
                raise UserError(f"image store {folder}: {name} is missing; {WAY_OUT}")
            if file_digest(path) != self.digests[name]:
                raise UserError(
                    f"image store {folder}: {name} does not match its digest in store.json, so it was changed or "
                    f"damaged after it was written; {WAY_OUT}"
                )


def read_records(folder: str | Path) -> tuple[StoreInfo, pd.DataFrame]:
    """Read all of a store but its images.

    Returns
    -------
    info : StoreInfo
    records : pandas.DataFrame
        See `ImageStore`.

    Raises
    ------
    UserError
        When a file is missing or does not match its digest.
    """
    folder = Path(folder)
    info = StoreInfo.read(folder / "store.json")
    info.verify(folder, "records.parquet")
    return info, pd.read_parquet(folder / "records.parquet")


class ImageStore:
    """Read access to a store that matches its digests; images stay on disk until they are asked for.

    Opening it reads every byte once, so that nothing that a disk or a hand has changed is used silently. For 14 000
    images of 32² that takes 12 ms of one core, about a second per GB.

    Parameters
    ----------
    folder : str or Path
        Folder with ``images.npy``, ``records.parquet`` and ``store.json``.

    Attributes
    ----------
    images : numpy.memmap
        uint8 ``[N, C, H, W]``.
    records : pandas.DataFrame
        Row i describes image i: ``image_id``, ``patient_id`` (a pseudonym), one 0/1/NaN column per finding, provenance.
    info : StoreInfo

    Raises
    ------
    UserError
        When a file is missing or does not match its digest.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.info, self.records = read_records(self.folder)
        self.info.verify(self.folder, "images.npy")
        self.images: Images = np.load(self.folder / "images.npy", mmap_mode="r")
        if len(self.images) != len(self.records) or len(self.images) != self.info.images:
            raise UserError(f"image store {self.folder}: its files disagree about the number of images; {WAY_OUT}")

    def __len__(self) -> int:
        return self.info.images

    @property
    def labels(self) -> NDArray[np.float32]:
        """float32 ``[N, findings]`` of 0, 1 and NaN (unknown)."""
        return self.records[self.info.finding_names].to_numpy(np.float32)

    @property
    def all_rows(self) -> NDArray[np.int64]:
        """Every row of the store."""
        return np.arange(len(self))


def write_store(
    folder: str | Path,
    blocks: Iterable[Images],
    records: pd.DataFrame | Iterable[pd.DataFrame],
    info: StoreInfo,
    masks: Iterable[Images] | None = None,
) -> StoreInfo:
    """Write a store block by block, ``store.json`` last.

    Parameters
    ----------
    folder : str or Path
        Where to write.
    blocks : iterable of numpy.ndarray
        uint8 ``[n, C, H, W]``, together as many images as `records` has rows. Memory stays at one block.
    records : pandas.DataFrame or iterable of pandas.DataFrame
        One row per image with at least ``image_id``, ``patient_id`` and the finding columns; or parts of that table.
    info : StoreInfo
        `images`, `digests` and `data_version` are filled in here.
    masks : iterable of numpy.ndarray, optional
        uint8 ``[n, findings, H, W]`` lesion masks (255 = pixel wholly covered), written as ``masks.npy``.

    Returns
    -------
    StoreInfo
        As written.
    """
    folder = Path(folder)
    (folder / "store.json").unlink(missing_ok=True)
    side = info.resolution
    images = write_parquet(folder / "records.parquet", records)
    digests = {"images.npy": _write_array(folder / "images.npy", blocks, (images, info.channels, side, side))}
    if masks is not None:
        digests["masks.npy"] = _write_array(folder / "masks.npy", masks, (images, len(info.findings), side, side))
    digests["records.parquet"] = file_digest(folder / "records.parquet")
    filled = info.model_copy(update={"images": images, "digests": digests})
    filled = filled.model_copy(update={"data_version": _data_version(filled.model_dump(mode="json"))})
    write_json(folder / "store.json", filled.model_dump(mode="json"))
    return filled


def _data_version(content: dict[str, Any]) -> str:
    """Digest of everything else in a store.json."""
    return value_digest({**content, "data_version": ""})[:16]


def _write_array(path: Path, blocks: Iterable[Images], shape: tuple[int, ...]) -> str:
    """Write uint8 blocks as one .npy of `shape`; return its digest."""
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            written = 0
            for block in blocks:
                if block.dtype != np.uint8 or block.shape[1:] != shape[1:]:
                    raise ValueError(f"block {block.dtype} {block.shape} does not fit {shape}")
                file.write(np.ascontiguousarray(block).data)
                written += len(block)
        if written != shape[0]:
            raise ValueError(f"{written} images written, {shape[0]} expected")
        return file_digest(temporary)
