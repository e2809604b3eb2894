"""What lets a killed training continue to the same bytes: a locked run folder, checkpoints, weights without pickle."""

import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from synthcohort.core.atomic import atomic_path
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger

CHECKPOINT = "checkpoint.pt"
LOCK = "lock"


class RunFolder:
    """A training's own folder, locked while it is open, with one checkpoint that is either whole or absent.

    Used as a context manager. Whatever grows during training (history, say) belongs *into* the checkpoint's state and
    is written out from there, so that a file can never be ahead of the checkpoint from which training continues.

    Parameters
    ----------
    folder : str or Path
        The ``run`` folder; made when it is missing.
    digest : str
        Digest of all that the result depends on: parameters, rows, data version, stage version. A checkpoint of
        another digest, or a damaged one, is set aside with everything beside it as ``run-stale-N``.

    Attributes
    ----------
    path : Path
        The folder, for files of the trainer's own.

    Raises
    ------
    UserError
        On entry, when another process trains in this folder.

    Examples
    --------
    >>> import tempfile
    >>> with RunFolder(tempfile.mkdtemp(), digest="abc") as run:
    ...     state = run.load() or {"step": 0}
    ...     run.save({"step": state["step"] + 1})
    """

    def __init__(self, folder: str | Path, digest: str) -> None:
        self.path = Path(folder)
        self.digest = digest
        self._lock: TextIO | None = None
        self._state: dict[str, Any] | None = None

    def __enter__(self) -> "RunFolder":
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.path / LOCK)
        self._state = self._read()
        if self._state is None:
            self._set_aside()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._lock is not None
        self._lock.close()  # the lock goes with the file, also when the process is killed

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, with tensors on the CPU; None where training starts anew."""
        return self._state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint by `state`: dicts, lists, tensors, numbers, strings, None.

        Raises
        ------
        OSError
            When the disk is full, say; the checkpoint before stays.
        """
        with atomic_path(self.path / CHECKPOINT) as temporary, open(temporary, "wb") as file:
            try:
                torch.save({"digest": self.digest, "state": dict(state)}, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # torch covers it with a complaint about positions
                    raise error.__context__ from error
                raise

    def _read(self) -> dict[str, Any] | None:
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)  # weights_only: no code runs
            digest, state = saved["digest"], saved["state"]
        except Exception:  # a damaged file raises whatever its bytes happen to spell
            logger.warning("the checkpoint cannot be read; it is set aside and training starts anew.")
            return None
        if digest != self.digest:
            logger.warning("the checkpoint is of other data or parameters; it is set aside and training starts anew.")
            return None
        return state

    def _set_aside(self) -> None:
        """Move all but the held lock to ``run-stale-N``; the checkpoint last, so that a kill in between is harmless."""
        files = sorted((path for path in self.path.iterdir() if path.name != LOCK), key=lambda p: p.name == CHECKPOINT)
        if not files:
            return
        number = 1
        while (stale := self.path.with_name(f"{self.path.name}-stale-{number}")).exists():
            number += 1
        stale.mkdir()
        for path in files:
            path.replace(stale / path.name)


def _lock(path: Path) -> TextIO:
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - stays open as long as the lock is held
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip() or "pid unknown"
        file.close()
        raise UserError(
            f"another process ({owner}) is training in this folder; wait until it is done, or end it."
        ) from error
    file.truncate(0)
    file.write(f"pid {os.getpid()}\n")
    file.flush()
    return file


def write_weights(path: str | Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors without metadata, atomically; equal tensors give equal bytes."""
    tensors = {name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors))  # its own writing of files raises no OSError


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read tensors written by `write_weights`, onto the CPU.

    Raises
    ------
    UserError
        When the file is missing or damaged.
    """
    path = Path(path)
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else "is damaged"
        raise UserError(f"weights file {path.name} {what}; delete it and run the same command again.") from error


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and values of weights, in their order."""
    digest = hashlib.sha256()
    for name, value in weights.items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
