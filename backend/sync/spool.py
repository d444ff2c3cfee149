"""Blocks of a result in a file instead of in memory, and the lazy array that is read from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask._task_spec import Task
from dask.highlevelgraph import HighLevelGraph

# Smaller arrays are put together in memory, also where there is a file for them.
SPOOL_BYTES = 64 * 2**20

Index = tuple[int, ...]


@dataclass(frozen=True)
class Stored:
    """Where a block is in the file, and what it is."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Spool:
    """Blocks in a file, one after the other as they come.

    Parameters
    ----------
    file : binary file
        Open for reading and writing, empty, seen by nobody else. Whoever opened it closes it, when nothing that was
        read from it is needed any more.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = 0

    def append(self, block: np.ndarray) -> Stored:
        """Keep a block; OSError where the disk has no room."""
        if block.dtype.hasobject:
            raise ValueError(f"blocks of the type {block.dtype} cannot be kept in a file")
        stored = Stored(self._end, block.dtype, block.shape)
        self._file.seek(self._end)
        # By way of bytes: dates have no buffer of their own.
        self._file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
        self._file.flush()
        self._end += block.nbytes
        return stored

    def array(self, blocks: Mapping[Index, Stored], chunks: tuple[tuple[int, ...], ...]) -> da.Array:
        """Return the blocks as a lazy array of these chunks, in the narrowest type that holds them all."""
        dtype = np.result_type(*{stored.dtype for stored in blocks.values()})
        name = f"spooled-{uuid4().hex}"
        tasks: dict[Any, Any] = {}
        for index, stored in blocks.items():
            key = (name, *index)
            tasks[key] = Task(key, self._read, stored, dtype)
        return da.Array(HighLevelGraph.from_collections(name, tasks), name, chunks, dtype=dtype)

    def _read(self, stored: Stored, dtype: np.dtype[Any]) -> np.ndarray:
        """Return a block; what of it is not looked at is not read."""
        if 0 in stored.shape:
            return np.empty(stored.shape, dtype)
        mapped = np.memmap(self._file, stored.dtype, "r", stored.offset, stored.shape)
        return np.asarray(mapped).astype(dtype, copy=False)
