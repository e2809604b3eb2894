"""Several processes that train one generator: each computes a part of every batch, and gradients are averaged.

Gradients are averaged by hand rather than by a wrapper around the networks, since penalties differentiate twice.
"""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from synthcohort.core.cards import VISIBLE, visible_cards
from synthcohort.core.errors import UserError
from synthcohort.core.interrupt import Interrupted

PR_SET_PDEATHSIG = 1  # of Linux' prctl


@dataclass(frozen=True)
class Ranks:
    """Place of this process among those that train together."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over all processes."""
        chosen = list(tensors)
        if self.world == 1 or not chosen:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in chosen])
        torch.distributed.all_reduce(flat)
        parts = (flat / self.world).split([tensor.numel() for tensor in chosen])
        for tensor, part in zip(chosen, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def share(self, value: Any) -> Any:
        """Give every process the first one's value."""
        if self.world == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box)
        return box[0]

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process raises the flag; every process must ask."""
        if self.world == 1:
            return flag
        raised = torch.tensor(float(flag), device=device)
        torch.distributed.all_reduce(raised)
        return bool(raised > 0)


def check_parts(batch: int, processes: int, accumulation: int) -> None:
    """Refuse a batch that cannot be shared equally.

    Raises
    ------
    UserError
        Naming the config keys.
    """
    if batch % (processes * accumulation):
        raise UserError(
            f"config keys processes ({processes}) and generators[].accumulation ({accumulation}): a batch of {batch} "
            "images cannot be shared equally; choose divisors of it."
        )


def launch(processes: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function(*arguments, ranks)`` in this process, or in several that are started as torchrun does.

    Parameters
    ----------
    processes : int
        How many; with cards, one card each.
    function : callable
        A function of a module, so that other processes can import it.
    *arguments
        Plain data.

    Raises
    ------
    UserError
        As the function raises it.
    Interrupted
        When the function was interrupted.
    """
    if processes == 1:
        function(*arguments, Ranks())
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = LaunchConfig(
        1, 1, processes, run_id="synthcohort", rdzv_backend="static", rdzv_endpoint=f"127.0.0.1:{port}",
        rdzv_configs={"rank": 0}, max_restarts=0, start_method="spawn",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder)
        try:
            elastic_launch(config, _join)(function, arguments, words)
        except (ChildFailedError, SignalException) as error:
            # The process that ended first has said why; the others were ended with it.
            for kind in (Interrupted, UserError):
                if (words / kind.__name__).is_file():
                    raise kind((words / kind.__name__).read_text(encoding="utf-8")) from None
            raise RuntimeError("a training process ended unexpectedly; its last words stand above") from error


def die_with_parent() -> None:
    """Let the system kill this process as soon as its parent is dead, however it died.

    A job that is killed could otherwise leave processes behind that compute on, on cards which it no longer holds.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid != os.getppid():  # it died before
            os.kill(os.getpid(), signal.SIGKILL)


def _join(function: Callable[..., None], arguments: tuple[Any, ...], words: Path) -> None:
    """Join the other processes, work, leave; what a user must know is left in the folder `words`."""
    die_with_parent()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    cards = visible_cards()
    if cards:  # each its own, before CUDA is used; with too few, none
        os.environ[VISIBLE] = cards[rank] if world <= len(cards) else ""
    # Which of the two a tensor goes through follows from its device: with cards, a study may still compute on CPUs.
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        function(*arguments, Ranks(rank, world))
    except (Interrupted, UserError) as reason:
        (words / type(reason).__name__).write_text(str(reason), encoding="utf-8")
        # Returning would wait for the launcher, which itself waits for the end of this process.
        sys.exit(1)
    finally:
        torch.distributed.destroy_process_group()
