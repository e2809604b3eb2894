"""Decoded rows that outlive a job: one append-only file per shard and policy, robust to being cut off anywhere."""

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcohort.core.progress import logger
from synthcohort.dicom.pseudonyms import private_path
from synthcohort.dicom.reasons import Reason

DIGEST_BYTES, CHECKSUM_BYTES = 16, 4


class RowCache:
    """Fixed-size records, each with a checksum, looked up by the digest of what they were made from.

    Parameters
    ----------
    path : Path
        The cache file.
    images, masks : int
        Bytes of one file's images, and of its masks, over all resolutions.
    """

    def __init__(self, path: Path, images: int, masks: int) -> None:
        self._dtype = np.dtype(
            [
                ("digest", f"V{DIGEST_BYTES}"),
                ("reason", "S56"),
                ("windowed", "S16"),
                ("low", "<f8"),
                ("high", "<f8"),
                ("images", "u1", (images,)),
                ("masks", "u1", (masks,)),
                ("checksum", "<u4"),
            ]
        )
        self._file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115 (closed by `close`)
        self._rows: dict[bytes, int] = {}
        self._end = 0
        self._load()

    def _load(self) -> None:
        """Find the whole records; a damaged one and all behind it are dropped."""
        size = self._dtype.itemsize
        while len(record := self._file.read(size)) == size and _checksum(record) == _stored_checksum(record):
            self._rows[record[:DIGEST_BYTES]] = self._end
            self._end += 1
        self._file.truncate(self._end * size)
        self._file.seek(self._end * size)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._rows

    def add(
        self,
        digest: bytes,
        images: list[NDArray[np.uint8]],
        masks: list[NDArray[np.uint8]],
        reason: Reason | None,
        windowed: str,
        low: float,
        high: float,
    ) -> None:
        """Append one file's row; empty lists stand for a file that was rejected."""
        record = np.zeros((), self._dtype)
        record["digest"] = np.void(digest)
        record["reason"], record["windowed"] = (reason.value if reason else "").encode(), windowed.encode()
        record["low"], record["high"] = low, high
        for field, arrays in (("images", images), ("masks", masks)):
            if arrays:
                np.concatenate([array.ravel() for array in arrays], out=record[field])
        data = bytearray(record.tobytes())
        data[-CHECKSUM_BYTES:] = _checksum(data).to_bytes(CHECKSUM_BYTES, "little")
        self._file.write(data)
        self._rows[digest] = self._end
        self._end += 1

    def get(self, digest: bytes) -> Any:
        """Read one row: a NumPy record with ``reason``, ``windowed``, ``low``, ``high``, ``images`` and ``masks``."""
        self._file.flush()
        position = self._rows[digest] * self._dtype.itemsize
        return np.frombuffer(os.pread(self._file.fileno(), self._dtype.itemsize, position), self._dtype)[0]

    def flush(self) -> None:
        """Hand everything to the operating system: a killed job keeps it."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def open_cache(private_folder: str | Path, shard: int, policy: str, images: int, masks: int) -> Iterator[RowCache]:
    """Open a shard's cache for one job; a second job on the same shard and policy waits.

    Parameters
    ----------
    private_folder : str or Path
        The cohort's private folder: the cache shows patients' images.
    shard : int
        Number of the shard.
    policy : str
        Digest of everything that decides what becomes of a file.
    images, masks : int
        Bytes of one file's images, and of its masks, over all resolutions.
    """
    folder = private_path(private_path(private_folder, "cache"), "")
    path = folder / f"{shard:04d}-{policy[:16]}.rows"
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("shard %d: another job works on the same rows; waiting for it", shard)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        cache = RowCache(path, images, masks)
        try:
            yield cache
        finally:
            cache.close()
    finally:
        os.close(descriptor)


def _checksum(record: bytes | bytearray) -> int:
    return zlib.crc32(memoryview(record)[:-CHECKSUM_BYTES])


def _stored_checksum(record: bytes) -> int:
    return int.from_bytes(record[-CHECKSUM_BYTES:], "little")
