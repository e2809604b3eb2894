"""One shard of a cohort: files in, ImageStores of every resolution out, one file in memory at a time."""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray
from PIL import Image

from synthcohort.core import versions
from synthcohort.core.atomic import read_parts, value_digest, write_parquet
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger, track
from synthcohort.core.store import Finding, StoreInfo, write_store
from synthcohort.dicom.cache import RowCache, open_cache
from synthcohort.dicom.check import check_header
from synthcohort.dicom.decode import decode
from synthcohort.dicom.header import Header
from synthcohort.dicom.index import ACCEPTED, COLUMNS, PRIVATE_TABLE, REJECTED
from synthcohort.dicom.picture import decode_picture, is_picture, picture_header
from synthcohort.dicom.read import quiet_pydicom, read_bytes, read_image
from synthcohort.dicom.reasons import Reason, UnfitError
from synthcohort.dicom.render import Renderer, Rendering
from synthcohort.dicom.told import NOTHING, Told, complete

RECORD_COLUMNS = COLUMNS[COLUMNS.index("image_id") : COLUMNS.index("transfer_syntax")]
PIXEL_COLUMNS = ["windowed", "window_low", "window_high"]
BLOCK = 256
_CANNOT_OPEN = (Reason.CANNOT_OPEN.value, "", np.nan, np.nan)


@dataclass(frozen=True)
class Masks:
    """Lesion masks of an embedded cohort.

    Attributes
    ----------
    folder : Path
        With ``{SOP instance UID}.png``: 16-bit greyscale of the image's size, bit k = finding k; no file, no lesion.
    findings : list of str
        What the bits stand for.
    """

    folder: Path
    findings: list[str]


@dataclass(frozen=True, eq=False)
class Shard:
    """What a shard's job works with.

    Attributes
    ----------
    cohort : str
        Name of the cohort.
    simulated : bool
        Whether its patients were drawn by this project.
    folder, private_folder : Path
        Where the images and the table of their paths lie.
    ingest : Ingest
        The policy.
    resolutions : list of int
        Sides of the images.
    findings : list of Finding
        Finding columns of the index.
    masks : Masks or None
        Lesion masks.
    """

    cohort: str
    simulated: bool
    folder: Path
    private_folder: Path
    ingest: Ingest
    resolutions: list[int]
    findings: list[Finding]
    masks: Masks | None = None


def preprocess_shard(shard: Shard, number: int, index: Iterable[pd.DataFrame], output: str | Path) -> None:
    """Decode and render the accepted files of one shard.

    What is decoded is kept in the private folder, so that a killed job goes on where it was and a rerun after files
    were added decodes the new ones only.

    Parameters
    ----------
    shard : Shard
        What to work with.
    number : int
        Which shard of the index.
    index : iterable of pandas.DataFrame
        Parts of the index (`index.Index.parts`); of these, the shard's own rows are held.
    output : str or Path
        Gets one store per resolution (``032/``, …), in the order of the index, and ``files.parquet``: ``file_id``,
        ``status``, ``reason``, ``windowed`` (`Rendering.windowed`), and ``window_low``, ``window_high`` in Hounsfield
        or the file's own units.
    """
    output = Path(output)
    own = [part[(part["status"] == ACCEPTED) & (part["shard"] == number)] for part in index]
    rows = pd.concat(own, ignore_index=True)
    renderer = Renderer(shard.ingest, shard.resolutions)
    with _open_cache(shard, number, renderer) as cache:
        digests = _fill(shard, rows, renderer, cache, f"{shard.cohort}: shard {number}")
        files = _files_table(rows, digests, cache)
        kept = (files["status"] == ACCEPTED).to_numpy()
        records = pd.concat([rows, files[PIXEL_COLUMNS]], axis=1)[kept].reset_index(drop=True)
        rendered = [digest for digest, keep in zip(digests, kept, strict=True) if keep]
        _write_stores(shard, renderer, records, rendered, cache, output)
    write_parquet(output / "files.parquet", files)
    logger.info("%s: shard %d: %d images, %d files rejected", shard.cohort, number, kept.sum(), (~kept).sum())


def _open_cache(shard: Shard, number: int, renderer: Renderer) -> Any:
    pixels = sum(side * side for side in shard.resolutions)
    planes = len(shard.findings) if shard.masks else 0
    policy = {
        "version": versions.PREPROCESS,
        "policy": renderer.policy(),
        "resolutions": sorted(shard.resolutions),
        "masks": [finding.name for finding in shard.findings] if shard.masks else [],
        "mask_bits": shard.masks.findings if shard.masks else [],
    }
    return open_cache(shard.private_folder, number, value_digest(policy), renderer.channels * pixels, planes * pixels)


def _fill(shard: Shard, rows: pd.DataFrame, renderer: Renderer, cache: RowCache, title: str) -> list[bytes | None]:
    """Bring every file into the cache; return the digests by which they lie there (None where it cannot be opened)."""
    private = _private_table(shard.private_folder, rows)
    digests: list[bytes | None] = []
    with quiet_pydicom():
        files = zip(private["path"], _told(rows, private), strict=True)
        for path, told in track(files, title, total=len(private), unit="files"):
            try:
                data = read_bytes(os.path.join(shard.folder, path), shard.ingest.maximum_pixels)
            except UnfitError:
                digests.append(None)
                continue
            mask = _read_mask_file(shard.masks, told.uid)
            digest = xxhash.xxh3_128(data)  # SHA-256 would take a quarter of ingest's time; nobody forges these files
            digest.update(mask)
            digests.append(digest.digest())
            if digest.digest() not in cache:
                _render_into(cache, digest.digest(), data, mask, told, shard, renderer)
    return digests


def _private_table(private_folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    path = private_folder / PRIVATE_TABLE
    if not path.is_file():
        raise UserError("the cohort's private table of paths is missing; run the index again.")
    wanted = set(rows["file_id"])
    own = (part[[file_id in wanted for file_id in part["file_id"]]] for part in read_parts(path))
    table = pd.concat(own).set_index("file_id")
    missing = wanted - set(table.index)
    if missing:
        raise UserError(f"file {min(missing)} is not in the cohort's private table of paths; run the index again.")
    return table.loc[rows["file_id"]]


def _told(rows: pd.DataFrame, private: pd.DataFrame) -> list[Told]:
    """Say of each file what the index knows of it, some of it from the label table."""
    columns = (private["patient_id"], rows["view"], rows["modality"], private["sop_instance_uid"])
    return [Told(*values) for values in zip(*columns, strict=True)]


def _read_mask_file(masks: Masks | None, uid: str) -> bytes:
    path = masks.folder / f"{uid}.png" if masks else None
    return path.read_bytes() if path and path.is_file() else b""


def _render_into(
    cache: RowCache, digest: bytes, data: bytes, mask: bytes, told: Told, shard: Shard, renderer: Renderer
) -> None:
    try:
        rendering, header = render_file(data, renderer, max(shard.resolutions), told)
        masks = _render_masks(mask, header, shard, renderer)
        images = [rendering.images[side] for side in sorted(shard.resolutions)]
        cache.add(digest, images, masks, None, rendering.windowed, rendering.low, rendering.high)
    except UnfitError as unfit:
        cache.add(digest, [], [], unfit.reason, "", np.nan, np.nan)
    cache.flush()


def render_file(data: bytes, renderer: Renderer, smallest: int, told: Told = NOTHING) -> tuple[Rendering, Header]:
    """Everything that happens to one file, from its bytes to its images.

    Parameters
    ----------
    data : bytes
        The file.
    renderer : Renderer
        The policy.
    smallest : int
        Largest resolution of the study.
    told : Told
        What is known of the file from elsewhere.

    Raises
    ------
    UnfitError
        With the reason why the file cannot be used.
    """
    if is_picture(data):
        header = complete(picture_header(io.BytesIO(data)), told)
        check_header(header, renderer.ingest, smallest)
        return renderer.render(decode_picture(data), None, header), header
    dataset, header = read_image(data, renderer.ingest.maximum_pixels)
    header = complete(header, told)
    check_header(header, renderer.ingest, smallest)
    stored, padding = decode(dataset, header)
    return renderer.render(stored, padding, header), header


def _render_masks(mask: bytes, header: Header, shard: Shard, renderer: Renderer) -> list[NDArray[np.uint8]]:
    if shard.masks is None or not mask:
        return []
    bits = _decode_mask(mask)
    by_bit = renderer.render_masks(bits, header, len(shard.masks.findings))
    order = [finding.name for finding in shard.findings]
    result = []
    for side in sorted(shard.resolutions):
        planes = np.zeros((len(order), side, side), np.uint8)
        for bit, name in enumerate(shard.masks.findings):
            if name in order:
                planes[order.index(name)] = by_bit[side][bit]
        result.append(planes)
    return result


def _decode_mask(mask: bytes) -> NDArray[np.uint16]:
    try:
        with Image.open(io.BytesIO(mask)) as image:
            return np.asarray(image).astype(np.uint16)
    except (OSError, ValueError, SyntaxError) as error:
        raise UnfitError(Reason.MASK) from error


def _files_table(rows: pd.DataFrame, digests: list[bytes | None], cache: RowCache) -> pd.DataFrame:
    said = [_said(cache.get(digest)) if digest is not None else _CANNOT_OPEN for digest in digests]
    table = pd.DataFrame(said, columns=["reason", *PIXEL_COLUMNS])
    table.insert(0, "file_id", rows["file_id"])
    table.insert(1, "status", [REJECTED if reason else ACCEPTED for reason in table["reason"]])
    # Without rows pandas would guess other types, and the merged bytes would depend on which shards are empty.
    return table.astype(
        {"status": "str", "reason": "str", "windowed": "str", "window_low": float, "window_high": float}
    )


def _said(record: Any) -> tuple[str, str, float, float]:
    """Take what the pixels of one file said, not the record, which holds its images."""
    return record["reason"].decode(), record["windowed"].decode(), float(record["low"]), float(record["high"])


def _write_stores(
    shard: Shard, renderer: Renderer, records: pd.DataFrame, digests: list[Any], cache: RowCache, output: Path
) -> None:
    names = [finding.name for finding in shard.findings]
    start = 0
    for side in sorted(shard.resolutions):
        info = StoreInfo(
            cohort=shard.cohort,
            findings=shard.findings,
            units=renderer.units,
            windows=renderer.windows,
            resolution=side,
            channels=renderer.channels,
            images=0,
            simulated=shard.simulated,
            policy=renderer.policy(),
        )
        masks = _blocks(cache, digests, "masks", start, len(names), side) if shard.masks else None
        images = _blocks(cache, digests, "images", start, renderer.channels, side)
        write_store(output / f"{side:03d}", images, records[[*RECORD_COLUMNS, *PIXEL_COLUMNS, *names]], info, masks)
        start += side * side


def _blocks(
    cache: RowCache, digests: list[bytes], field: str, start: int, planes: int, side: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield uint8 ``[n, planes, side, side]``; `start` counts the pixels of the smaller resolutions."""
    part = slice(planes * start, planes * (start + side * side))
    for first in range(0, len(digests), BLOCK):
        rows = [cache.get(digest)[field][part] for digest in digests[first : first + BLOCK]]
        yield np.stack(rows).reshape(-1, planes, side, side)
