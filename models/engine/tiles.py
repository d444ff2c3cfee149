"""Tiles small enough for the memory that is free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from models.engine.dense.kinds import KINDS
from models.frames import EDGE, FRAMES
from models.network.frame_encoder import FRAME_VECTOR, WIDTH

LARGEST, SMALLEST = {"cpu": 64, "cuda": 128}, 8  # pixels on a side; beyond, halos are too few to gain much
STEP = 8
SHARE = 0.25  # of what is free: others compute here, too
MOST = 4 << 30  # bytes; a tile of the largest side needs less
WINDOW = 1000  # bytes of a listed window: its frames, gaps, slots and vectors' days

Tile = tuple[slice, slice]


def tile_side(device: torch.device, dates: int, channels: int, memory: int | None) -> int:
    """Side of a tile in pixels.

    Parameters
    ----------
    dates : int
        Frames in all of a pixel.
    channels : int
        Of all sensors.
    memory : int or None
        Bytes to make do with; by default a share of what is free.
    """
    budget = memory or min(int(SHARE * free_memory(device)), MOST)
    side = LARGEST.get(device.type, LARGEST["cpu"])
    while side > SMALLEST and bytes_of(side, dates, channels) > budget:
        side -= STEP
    return side


def bytes_of(side: int, dates: int, channels: int) -> int:
    """An upper bound of what a tile needs beside the cubes themselves, for two frames' rules and any clouds."""
    around = (side + 2 * EDGE) ** 2
    width = -(-WIDTH // 32) * 32  # compiled kernels pad
    maps = around * 4 * width * (2 * KINDS**2 + 9 + 1)
    # Every open window may own its vectors: eleven windows of a pixel are open at a time.
    vectors = side**2 * 4 * FRAME_VECTOR * FRAMES**2
    prepared = around * dates * (4 * channels + channels + 24)
    return maps + vectors + prepared + side**2 * dates * WINDOW


def free_memory(device: torch.device) -> int:
    """Bytes that may be taken on a device: of a GPU what is free, else what the system or the container has left."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return min(_available(Path("/proc/meminfo")), _left_in_container(Path("/sys/fs/cgroup")))


def cut(rows: int, columns: int, side: int) -> Iterator[Tile]:
    """Cut an area into tiles of about equal size."""
    for row in _parts(rows, side):
        for column in _parts(columns, side):
            yield row, column


def _parts(length: int, side: int) -> list[slice]:
    n = -(-length // side)
    return [slice(length * i // n, length * (i + 1) // n) for i in range(n)]


def _available(info: Path) -> int:
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 4 << 30  # not Linux: a modest guess


def _left_in_container(group: Path) -> int:
    """What is left under the control group's limit, if there is one."""
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return 1 << 62
    return max(int(limit) - int(used), 0) if limit != "max" else 1 << 62
