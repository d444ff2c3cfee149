"""The tasks of a tiled computation as one layer of a Dask graph, written out by the scheduler alone.

A tile needs parts of the blocks of several arrays. Each part is cut where its block lies, so that only what the tile
needs travels; one task then takes all parts, puts them together and computes the tile. Built of Dask's arrays, the same
would be several layers for each tile.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.array.chunk import getitem
from dask.highlevelgraph import HighLevelGraph, Layer
from dask.typing import Key
from numpy.typing import NDArray

Slices = tuple[slice, ...]


class WholeTask(Task):
    """A task that is never fused with its neighbours: they may have to run on other workers."""

    __slots__ = ()

    @property
    def block_fusion(self) -> bool:
        """Always True."""
        return True


@dataclass(frozen=True)
class Source:
    """An array of which tiles take parts: its name in the graph and the ends of its blocks along each axis."""

    name: str
    ends: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, array: da.Array) -> Source:
        """Return the source that a lazy array is."""
        return cls(str(array.name), tuple(tuple(np.cumsum(sizes).tolist()) for sizes in array.chunks))

    def cuts(self, wanted: Slices) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
        """Yield each block that holds a part of `wanted`: its index, where in it, and where in what is wanted."""
        axes = [list(_along(ends, part)) for ends, part in zip(self.ends, wanted, strict=True)]
        for found in itertools.product(*axes):
            index, within, target = zip(*found, strict=True)
            yield index, within, target


@dataclass(frozen=True)
class Tile:
    """One tile: which part of each source it takes, and what its function is told beside their values."""

    wanted: tuple[Slices, ...]
    about: tuple[Any, ...]


class TileLayer(Layer):
    """All tiles of a computation.

    Parameters
    ----------
    name : str
        Of the layer; keys are ``(name, *index)``.
    function : callable
        Called with a list of the sources' arrays and then `Tile.about`; picklable.
    sources : sequence of Source
    indices : sequence of tuple of int
        The tiles' places in the output's blocks.
    tile : callable
        Returns the `Tile` of an index; picklable.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        sources: Sequence[Source],
        indices: Sequence[tuple[int, ...]],
        tile: Callable[[tuple[int, ...]], Tile],
    ) -> None:
        super().__init__()
        self.name, self.function, self.sources, self.tile = name, function, tuple(sources), tile
        self.indices = list(indices)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_tasks"}

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._tasks)

    def __getitem__(self, key: Key) -> Task:
        return self._tasks[key]

    def is_materialized(self) -> bool:
        """Whether the tasks are written out already."""
        return "_tasks" in self.__dict__

    def get_output_keys(self) -> Set[Key]:
        """Return the tiles' keys."""
        return {(self.name, *index) for index in self.indices}

    def cull(self, keys: set[Key], all_hlg_keys: Collection[Key]) -> tuple[Layer, Mapping[Key, set[Key]]]:
        """Return the layer of the tiles in `keys` alone, and what each of its tasks depends on."""
        wanted = [index for index in self.indices if (self.name, *index) in keys]
        layer = TileLayer(self.name, self.function, self.sources, wanted, self.tile)
        return layer, {key: set(task.dependencies) for key, task in layer._tasks.items()}

    @cached_property
    def _tasks(self) -> dict[Key, Task]:
        tasks: dict[Key, Task] = {}
        for index in self.indices:
            tasks.update(self._of_tile(index))
        return tasks

    def _of_tile(self, index: tuple[int, ...]) -> Iterator[tuple[Key, Task]]:
        tile = self.tile(index)
        places, refs = [], []
        for number, (source, wanted) in enumerate(zip(self.sources, tile.wanted, strict=True)):
            parts = []
            for block, within, target in source.cuts(wanted):
                part: Key = (f"cut-{self.name}", number, *index, *block)
                yield part, Task(part, getitem, TaskRef((source.name, *block)), within)
                parts.append(target)
                refs.append(TaskRef(part))
            places.append((tuple(axis.stop - axis.start for axis in wanted), parts))
        key: Key = (self.name, *index)
        yield key, WholeTask(key, compute_tile, self.function, places, List(*refs), tile.about)


def tiled(
    name: str,
    function: Callable[..., Any],
    arrays: Sequence[da.Array],
    chunks: tuple[tuple[int, ...], ...],
    tile: Callable[[tuple[int, ...]], Tile],
) -> da.Array:
    """Return the lazy float32 array of these chunks whose blocks `function` computes; see `TileLayer`."""
    indices = list(itertools.product(*(range(len(sizes)) for sizes in chunks)))
    layer = TileLayer(name, function, [Source.of(array) for array in arrays], indices, tile)
    graph: Any = HighLevelGraph.from_collections(name, layer, dependencies=list(arrays))  # type: ignore[arg-type]
    lazy: da.Array = da.Array(graph, name, chunks, dtype=np.float32)
    return lazy


def compute_tile(
    function: Callable[..., Any],
    places: Sequence[tuple[tuple[int, ...], Sequence[Slices]]],
    parts: list[NDArray[Any]],
    about: tuple[Any, ...],
) -> Any:
    """Put the parts of each source together and call `function` with the arrays and `about`."""
    waiting = list(parts)[::-1]
    arrays = [_joined(shape, [(target, waiting.pop()) for target in targets]) for shape, targets in places]
    return function(arrays, *about)


def _joined(shape: tuple[int, ...], parts: list[tuple[Slices, NDArray[Any]]]) -> NDArray[Any]:
    if len(parts) == 1:
        return np.asarray(parts[0][1])
    out = np.empty(shape, parts[0][1].dtype if parts else np.float32)
    for target, values in parts:
        out[target] = values
    return out


def _along(ends: tuple[int, ...], part: slice) -> Iterator[tuple[int, slice, slice]]:
    """Yield, along one axis, the blocks that meet `part`: number, where in the block, where in the part."""
    number = bisect_right(ends, part.start)
    while number < len(ends) and (ends[number - 1] if number else 0) < part.stop:
        begin = ends[number - 1] if number else 0
        start, stop = max(part.start, begin), min(part.stop, ends[number])
        if start < stop:
            yield number, slice(start - begin, stop - begin), slice(start - part.start, stop - part.start)
        number += 1
