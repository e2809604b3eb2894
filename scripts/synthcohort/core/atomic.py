"""Files that are either whole or absent."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROWS = 2_000
"""Rows of a long table that are written, and read, at a time."""


@contextlib.contextmanager
def atomic_path(path: str | Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it on success and vanishes on failure.

    Parameters
    ----------
    path : str or Path
        Final path; missing parent folders are made.
    mode : int
        Permission bits of the final file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str, mode: int = 0o644) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path, mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any, mode: int = 0o644) -> None:
    """Write `value` as indented JSON with a final newline; keys keep their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", mode)


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_parquet(path: str | Path, table: pd.DataFrame | Iterable[pd.DataFrame], mode: int = 0o644) -> int:
    """Write a table without its index; the same table gives the same bytes.

    Parameters
    ----------
    path : str or Path
        Final path.
    table : pandas.DataFrame or iterable of pandas.DataFrame
        The table, or its parts, one behind another, of a table that need not fit in memory; however it is cut, the
        file is the same, with row groups of `ROWS` rows.
    mode : int
        Permission bits of the file.

    Returns
    -------
    int
        Number of rows.
    """
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    with atomic_path(path, mode) as temporary, contextlib.ExitStack() as stack:
        writer, rows = None, 0
        for part in _cut_evenly([table] if isinstance(table, pd.DataFrame) else table):
            schema = writer.schema if writer else pyarrow.Schema.from_pandas(part, preserve_index=False)
            writer = writer or stack.enter_context(ParquetWriter(temporary, schema, compression="zstd"))
            writer.write_table(pyarrow.Table.from_pandas(part, schema, preserve_index=False))
            rows += len(part)
    return rows


def _cut_evenly(parts: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    rest = None
    for part in parts:
        rest = part if rest is None else pd.concat([rest, part], ignore_index=True)
        while len(rest) > ROWS:
            yield rest.iloc[:ROWS]
            rest = rest.iloc[ROWS:]
    if rest is None:
        raise ValueError("a table without parts has no columns")
    yield rest


def read_parts(path: str | Path, columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """Read a table of `write_parquet` in parts of `ROWS` rows, at least one, without holding more."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns).to_pandas()


class RowReader:
    """A table of `write_parquet` that is read from front to end.

    Parameters
    ----------
    path : str or Path
        The file.
    """

    def __init__(self, path: str | Path) -> None:
        self._parts = read_parts(path)
        self._left = next(self._parts)

    def take(self, count: int) -> pd.DataFrame:
        """Give the next `count` rows, or as many as are left."""
        while len(self._left) < count and (part := next(self._parts, None)) is not None:
            self._left = pd.concat([self._left, part], ignore_index=True)
        taken, self._left = self._left.iloc[:count], self._left.iloc[count:]
        return taken


def write_csv(path: str | Path, table: pd.DataFrame, mode: int = 0o644) -> None:
    """Write a table without its index as CSV; floats keep every digit."""
    with atomic_path(path, mode) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as .npz, without pickle; the same arrays give the same bytes."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of its keys, as hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
