"""How torch runs here, and a float network's outputs for many images. Imports little: evaluation jobs are short."""

import ctypes
import os
import sys

import torch
from torch import nn

from paper2board.networks.tensors import to_float


def configure(threads: int) -> None:
    """Fix torch's thread count and determinism, and keep freed memory with the allocator.

    The last halves the time of small networks: without it glibc maps and unmaps every activation. Deterministic
    torch also fills all new memory with NaN, a fifth of the time of a detector's training; nothing here reads it.
    """
    torch.set_num_threads(max(1, min(threads, os.cpu_count() or 1)))
    # Not use_deterministic_algorithms(True), which imports torch's compiler as well: two seconds of every job.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


@torch.inference_mode()
def predict(network: nn.Module, pixels: torch.Tensor, batch: int = 500) -> torch.Tensor:
    """Return the float32 logits of uint8 N×C×H×W pixels."""
    network.eval()
    return torch.cat([network(to_float(part)) for part in pixels.split(batch)])
