"""How Triton's kernels are started, and how much of the work one program does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Blocks:
    """Powers of two. What is set is for GPUs; Triton's interpreter wants few, large programs.

    Attributes
    ----------
    sums : int
        Bytes of numbers that `sum_taps` works on; each number takes 49 registers.
    flat : int
        Numbers that are looked at once.
    positions, channels : int
        Of a patch.
    tokens : int
        Rows of 256.
    """

    sums: int = 512
    flat: int = 1024
    positions: int = 64
    channels: int = 32
    tokens: int = 8


ON_GPU = Blocks()


def launch(kernel: Any, grid: tuple[int, ...], first: Tensor, *args: Any, warps: int = 4, **constants: Any) -> None:
    """Start a kernel on the device of its first argument."""
    with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
        # Said, because what Triton does unasked differs from version to version.
        kernel[grid](first, *args, num_warps=warps, enable_fp_fusion=True, **constants)


def programs(numbers: int, block: int) -> int:
    """How many programs it takes."""
    return -(-numbers // block)
