"""Running state on disk: a checkpoint that fits the data and params, a lock, and folders set aside.

Everything lives in the undeclared ``run/``, which Snakemake neither deletes nor wipes.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from synthcohort.core.atomic import atomic_path
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger

CHECKPOINT = "checkpoint.pt"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the folder against a second trainer; the operating system frees it whatever way the process ends.

    Raises
    ------
    UserError
        When another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "run.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{'/'.join(folder.parts[-3:])}: another process is training here; wait for it or stop it."
            ) from None
        yield


def save_checkpoint(run: Path, digest: str, state: dict[str, Any]) -> None:
    """Write the state (tensors, numbers, strings and containers of them) atomically."""
    with atomic_path(run / CHECKPOINT) as temporary:
        torch.save({"digest": digest, "state": state}, temporary)


def load_checkpoint(run: Path, digest: str) -> dict[str, Any] | None:
    """Read the state, or None where there is none that belongs to `digest`.

    A checkpoint of other params or data, or one that cannot be read, is kept but set aside: ``run/`` becomes
    ``run-stale-1`` (2, 3, …). Loading executes nothing from the file.
    """
    path = run / CHECKPOINT
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found["digest"] == digest:
            return found["state"]
        reason = "belongs to other params or data"
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        reason = f"cannot be read ({type(error).__name__})"
    number = 1
    while (stale := run.with_name(f"{run.name}-stale-{number}")).exists():
        number += 1
    run.rename(stale)
    logger.warning("the checkpoint %s; it is set aside as %s and training starts anew", reason, stale.name)
    return None
