"""From storage to Dask: one task per block, which reads, decodes and mosaics all its dates and bands.

A block holds all dates and bands of a spatial tile, because that is what time series processes want. Tiles follow
the storage's chunks, so that no chunk is decompressed twice, and are as large as `TARGET_BYTES` allows, so that the
graph stays small. Tasks hold a path, never an open file.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from processes.sources._bands import Band
from processes.sources._grid import Span, Window

TARGET_BYTES = 96 * 2**20
# Time is split only when even the smallest tile of all dates would be this many times larger than the target.
SPLIT_TIME_ABOVE = 4
LARGEST_TILE = 512


class BlockReader(Protocol):
    """Reads and decodes a part of the storage; picklable, and cheap to send to a worker."""

    def token(self) -> tuple[Any, ...]:
        """Return what names the data and their state: path, time of change."""
        ...

    def read(self, bands: Sequence[Band], items: NDArray[np.intp], rows: Span, cols: Span) -> Iterable[NDArray[Any]]:
        """Yield, band by band, the decoded values (items, rows, cols)."""
        ...


@dataclass(frozen=True)
class StorageChunks:
    """Chunk and shard sizes of the storage in (y, x); a shard is the unit that chunks are packed in."""

    chunk: tuple[int, int]
    shard: tuple[int, int]


@dataclass(frozen=True, eq=False)
class StoredCube:
    """An array (t, bands, y, x) that reads when it is indexed.

    `passes` lists, per time label, the storage's items in order of preference.
    """

    reader: BlockReader
    passes: tuple[tuple[int, ...], ...]
    bands: tuple[Band, ...]
    window: Window
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (dates, bands, rows, columns)."""
        (top, bottom), (left, right) = self.window.rows, self.window.cols
        return (len(self.passes), len(self.bands), bottom - top, right - left)

    @property
    def ndim(self) -> int:
        """Return 4."""
        return 4

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return the values at `key`: slices, integers or index arrays, taken dimension by dimension."""
        parts = [np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True)]
        block = self._read(*parts)
        dropped = tuple(axis for axis, part in enumerate(key) if isinstance(part, numbers.Integral))
        return np.asarray(np.squeeze(block, dropped))

    def _read(self, t: NDArray[np.intp], b: NDArray[np.intp], y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[Any]:
        out = np.empty((len(t), len(b), len(y), len(x)), self.dtype)
        if out.size == 0:
            return out
        counts = np.array([len(self.passes[i]) for i in t])
        items = np.concatenate([self.passes[i] for i in t])
        bands = [self.bands[i] for i in b]
        rows, cols = _hull(y, self.window.rows[0]), _hull(x, self.window.cols[0])
        part_y, part_x = _part(y), _part(x)
        for position, values in enumerate(self.reader.read(bands, items, rows, cols)):
            out[:, position] = mosaic(values[:, part_y][:, :, part_x], counts, bands[position])
        return out


def mosaic(values: NDArray[Any], counts: NDArray[np.intp], band: Band) -> NDArray[Any]:
    """Return the first valid value per pass.

    Parameters
    ----------
    values : array (granules, y, x)
        Decoded granules, those of a pass next to each other, the best first.
    counts : array (passes,)
        How many granules each pass has; at least 1.
    band : Band
        Says what no data is.

    Returns
    -------
    array (passes, y, x)
    """
    if (counts == 1).all():
        return values
    starts = np.cumsum(counts) - counts
    out: NDArray[Any] = values[starts]
    for depth in range(1, int(counts.max())):
        deeper = np.flatnonzero(counts > depth)
        hole = band.missing(out[deeper])
        out[deeper] = np.where(hole, values[starts[deeper] + depth], out[deeper])
    return out


def lazy(cube: StoredCube, storage: StorageChunks) -> Any:
    """Return `cube` as a Dask array (t, bands, y, x) of one task per block."""
    name = "load-" + tokenize(
        cube.reader.token(), cube.passes, [band.name for band in cube.bands], cube.window.rows, cube.window.cols
    )
    chunks = plan_chunks(cube.shape, cube.window, storage, cube.dtype.itemsize)
    return dask_array(cube, chunks, name)


def dask_array(source: Any, chunks: tuple[tuple[int, ...], ...], name: str) -> Any:
    """Return an array-like that reads when it is indexed as a Dask array of one task per chunk.

    Being indexed by Dask's own getter lets slices taken later (bands, crops) reach the reader.
    """
    meta = np.empty((0,) * source.ndim, source.dtype)
    from_array: Any = da.from_array
    return from_array(source, chunks=chunks, name=name, meta=meta, inline_array=True)


def plan_chunks(
    shape: tuple[int, int, int, int], window: Window, storage: StorageChunks, itemsize: int
) -> tuple[tuple[int, ...], ...]:
    """Return Dask chunks: all bands, all dates unless that is too much, and tiles on the storage's boundaries."""
    dates, bands = shape[:2]
    side = math.isqrt(max(TARGET_BYTES // (dates * bands * itemsize), 1))
    tiles = [
        tile_size(chunk, shard, min(side, LARGEST_TILE))
        for chunk, shard in zip(storage.chunk, storage.shard, strict=True)
    ]
    rows, cols = split(window.rows, tiles[0]), split(window.cols, tiles[1])
    per_date = bands * max(rows) * max(cols) * itemsize
    return (_split_dates(dates, per_date), (bands,), rows, cols)


def tile_size(chunk: int, shard: int, limit: int) -> int:
    """Return the largest tile up to `limit` whose boundaries are chunk boundaries and that fits shards evenly.

    At least one chunk, however large that is.
    """
    parts = [shard // n for n in range(1, shard // chunk + 1) if shard % n == 0 and (shard // n) % chunk == 0]
    multiples = [shard * n for n in range(2, limit // shard + 1)]
    return max((size for size in [*parts, *multiples] if size <= limit), default=min([*parts, shard]))


def split(span: Span, tile: int) -> tuple[int, ...]:
    """Return the lengths of the pieces into which multiples of `tile` cut `span`.

    Slivers at the ends, such as a halo of a few pixels leaves, join their neighbour instead of becoming tasks.
    """
    start, stop = span
    edges = [start, *range((start // tile + 1) * tile, stop, tile), stop]
    if len(edges) > 2 and edges[1] - start < tile / 4:
        del edges[1]
    if len(edges) > 2 and stop - edges[-2] < tile / 4:
        del edges[-2]
    return tuple(np.diff(edges).tolist())


def _split_dates(dates: int, bytes_per_date: int) -> tuple[int, ...]:
    if dates * bytes_per_date <= SPLIT_TIME_ABOVE * TARGET_BYTES:
        return (dates,)
    pieces = math.ceil(dates * bytes_per_date / TARGET_BYTES)
    edges = np.linspace(0, dates, min(pieces, dates) + 1).round().astype(int)
    return tuple(np.diff(edges).tolist())


def _part(positions: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return how to take `positions` from their hull: all of it, which needs no copy, or one by one."""
    rising = len(positions) == 1 or bool((np.diff(positions) == 1).all())
    return slice(None) if rising else positions - positions.min()


def _hull(positions: NDArray[np.intp], offset: int) -> Span:
    return (int(positions.min()) + offset, int(positions.max()) + 1 + offset)
