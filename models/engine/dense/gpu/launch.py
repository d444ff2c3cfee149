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
    rows, columns, depth, warps : int
        Of a product's tile; `depth` in bytes.
    joined, joined_depth : int
        Rows of a tile of joined features, and channels of a step; 160 is to be a multiple of these.
    filled : int
        Positions of a tile of joined features of a patch with missing values.
    stages, filled_stages : int
        Steps of products that are fetched ahead of one another; of those of a patch with missing values.
    """

    sums: int = 512
    flat: int = 1024
    positions: int = 64
    channels: int = 32
    tokens: int = 8
    rows: int = 128
    columns: int = 128
    depth: int = 128
    warps: int = 8
    joined: int = 128
    joined_depth: int = 32
    filled: int = 128
    stages: int = 3
    filled_stages: int = 2


ON_GPU = Blocks()
# Where units take float32 from registers, and a multiprocessor has 64 kB of shared memory, or up to 100.
SMALLER = Blocks(columns=64, joined_depth=16, filled_stages=1)


def blocks_of(device: torch.device, rounded: bool) -> Blocks:
    """What suits a GPU: only from Hopper on do units take float32 from shared memory, and is there enough of it."""
    if device.type == "cuda" and not rounded and torch.cuda.get_device_capability(device) < (9, 0):
        return SMALLER
    return ON_GPU


def launch(kernel: Any, grid: tuple[int, ...], first: Tensor, *args: Any, warps: int = 4, **constants: Any) -> None:
    """Start a kernel on the device of its first argument."""
    with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
        # Said, because what Triton does unasked differs from version to version.
        kernel[grid](first, *args, num_warps=warps, enable_fp_fusion=True, **constants)


def programs(numbers: int, block: int) -> int:
    """How many programs it takes."""
    return -(-numbers // block)
