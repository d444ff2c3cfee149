"""Tiles small enough for the memory that is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from models.engine.dense.kinds import KINDS
from models.frames import EDGE, FRAMES
from models.network.frame_encoder import FRAME_VECTOR, WIDTH

LARGEST, SMALLEST = {"cpu": 64, "cuda": 128}, 8  # pixels on a side; beyond, halos are too few to gain much
STEP = 8
SHARE = {"cpu": 0.25, "cuda": 0.5}  # of what is free: others compute here, too, on a processor more than on a GPU
MOST = {"cpu": 4 << 30, "cuda": 6 << 30}  # bytes; a tile of the largest side needs less
SCRATCH = 1 << 30  # bytes of a GPU that one step after the other uses, whatever the tile
PREPARED = {"cpu": 5, "cuda": 50}  # bytes of a value of a cube while it is prepared: on a GPU all at once, in float64
WINDOW = 1000  # bytes of a listed window: its frames, gaps, slots and vectors' days
NO_LIMIT = 1 << 30

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
    kind = "cuda" if device.type == "cuda" else "cpu"
    budget = memory or min(int(SHARE[kind] * free_memory(device)), MOST[kind])
    side = LARGEST[kind]
    while side > SMALLEST and bytes_of(side, dates, channels, kind) > budget:
        side -= STEP
    return side


def bytes_of(side: int, dates: int, channels: int, kind: str = "cpu") -> int:
    """An upper bound of what a tile needs beside the cubes themselves, for two frames' rules and any clouds.

    `kind` is "cpu" or "cuda". Of a GPU's memory windows take none: their list stays with the processor.
    """
    around = (side + 2 * EDGE) ** 2
    width = -(-WIDTH // 32) * 32  # compiled kernels pad
    maps = around * 4 * width * (2 * KINDS**2 + 9 + 1)
    # Every open window may own its vectors: eleven windows of a pixel are open at a time.
    vectors = side**2 * 4 * FRAME_VECTOR * FRAMES**2
    prepared = around * dates * (PREPARED[kind] * channels + 24)
    return maps + vectors + prepared + (SCRATCH if kind == "cuda" else side**2 * dates * WINDOW)


def free_memory(device: torch.device) -> int:
    """Bytes that may be taken on a device: of a GPU what is free, else what the system or the container has left."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch keeps for itself and does not use is free, too.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return min(_available(Path("/proc/meminfo")), _left_in_container(Path("/sys/fs/cgroup")))


def cut(rows: int, columns: int, side: int) -> Iterator[Tile]:
    """Cut an area into tiles of about equal size."""
    for row in _parts(rows, side):
        for column in _parts(columns, side):
            yield row, column


def each_tile(
    rows: int,
    columns: int,
    side: int,
    work: Callable[[Tile], None],
    halved: Callable[[int], None] | None = None,
    forget: Callable[[], None] | None = None,
) -> int:
    """Do `work` on an area tile by tile; one for which a GPU's memory does not do is cut into quarters and tried again.

    Parameters
    ----------
    side : int
        Of the first tiles; later ones are as small as those that went well.
    halved : callable, optional
        Called with each new side.
    forget : callable, optional
        Lets go of memory that the work keeps from tile to tile; called where it did not do.

    Returns
    -------
    int
        The last side if it was halved, else `NO_LIMIT`.

    Raises
    ------
    torch.OutOfMemoryError
        Memory does not even do for tiles of the smallest side.
    """
    most = NO_LIMIT
    waiting = list(cut(rows, columns, side))[::-1]
    while waiting:
        tile = waiting.pop()
        if _done_within(work, tile, most, forget):
            continue
        if _longest(tile) <= most:  # it was tried, and was too large
            most = max(_longest(tile) // 2, SMALLEST)
            if halved:
                halved(most)
        waiting += list(_quarters(tile, most))[::-1]
    return most


def _done_within(work: Callable[[Tile], None], tile: Tile, most: int, forget: Callable[[], None] | None) -> bool:
    """Do the work unless the tile is larger than `most`; False where it is, or memory did not do."""
    if _longest(tile) > most:
        return False
    try:
        work(tile)
    except torch.OutOfMemoryError:
        if forget:
            forget()
        if _longest(tile) <= SMALLEST:
            raise
    else:
        return True
    # Only now are the tensors gone that the failure held on to.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def _longest(tile: Tile) -> int:
    return max(int(part.stop - part.start) for part in tile)


def _quarters(tile: Tile, side: int) -> Iterator[Tile]:
    (top, bottom), (left, right) = ((part.start, part.stop) for part in tile)
    for row, column in cut(bottom - top, right - left, side):
        yield slice(top + row.start, top + row.stop), slice(left + column.start, left + column.stop)


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
