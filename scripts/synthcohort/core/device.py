"""Where a job computes, and with how many threads."""

import os
from typing import Literal

import torch

from synthcohort.core.errors import UserError

DeviceName = Literal["auto", "cpu", "cuda"]

# With AMX, oneDNN 3.12 gave small discriminators wrong gradients (tests/unit/test_gan_precision.py). It reads this when
# it is first used.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")


def prepare_device(name: DeviceName, threads: int) -> torch.device:
    """Choose the device, fix the number of threads, and ask for deterministic kernels.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        The study's `device`; ``auto`` takes a CUDA card where there is one.
    threads : int
        The study's `threads`. It comes from the config, not from what the scheduler left: another number of threads
        adds in another order and so gives other bytes.

    Raises
    ------
    UserError
        When ``cuda`` is asked for and there is none.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("config key device: 'cuda' was asked for, but torch finds no CUDA card; use 'auto' or 'cpu'.")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda")


def bfloat16_helps(device: torch.device) -> bool:
    """Tell whether the device computes in bfloat16 natively; elsewhere it would be emulated, and slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()
