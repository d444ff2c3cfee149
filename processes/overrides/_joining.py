"""Arrays put into one, or picked from: one task for each block of the result, however the inputs are chunked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from dask._task_spec import Alias, Task, TaskRef
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from processes.overrides._dims import Chunks, da
from processes.overrides.logic import missing

NOWHERE = -1
# Along each axis: which element of an array each place of the result gets, or NOWHERE.
Sources = Sequence[NDArray[np.intp]]
Index = tuple[slice | NDArray[np.intp], ...]
# What goes from one block of an array to one of the result: the places there, the elements here.
Move = tuple[Index, Index]
# Along one axis, for one block of the result: block of the array, elements in it, their places in the result's block.
Share = tuple[int, NDArray[np.intp], NDArray[np.intp]]
# An array, the position of one of its blocks, and what goes from there.
Part = tuple[Any, tuple[int, ...], Move]


def joined(
    arrays: Sequence[Any], sources: Sequence[Sources], free: Iterable[int], complete: bool, through: bool = False
) -> Any:
    """Return arrays of the same number of axes in one; later ones go before earlier ones. Lazy if one is.

    Parameters
    ----------
    arrays : sequence of arrays
    sources : sequence of sequence of int arrays
        For each array and axis: which of its elements each place of the result gets, or NOWHERE.
    free : iterable of int
        The axes along which the result is in one block if all arrays are. Along others it keeps the blocks of the last
        array that has all of the axis, or of all arrays where each has a part.
    complete : bool
        Whether each cell comes from some array; others are NaN, for which integers become floats.
    through : bool
        Whether earlier arrays show through where later ones are NaN.
    """
    shape = tuple(len(source) for source in sources[0])
    dtype = np.result_type(*(array.dtype for array in arrays))
    if not complete and dtype.kind not in "fc":
        dtype = np.result_type(dtype, np.float32)
    if not any(isinstance(array, da.Array) for array in arrays):
        moves = [_whole_move(source, array.shape) for source, array in zip(sources, arrays, strict=True)]
        return fill(*arrays, moves=moves, shape=shape, to=dtype, through=through)
    lazy = [da.asarray(array) for array in arrays]
    chunks = _chunks(lazy, sources, shape, set(free))
    lazy = [_alike(array, source, chunks) for array, source in zip(lazy, sources, strict=True)]
    if all(_is_blockwise(array, source, chunks) for array, source in zip(lazy, sources, strict=True)):
        return _by_block(lazy, sources, chunks, dtype, through)
    return _by_graph(lazy, sources, chunks, dtype, through)


def picked(array: Any, source: Sources, chunks: Chunks) -> Any:
    """Return elements of a lazy array, in `chunks`; NaN where `source` says NOWHERE, for which integers become floats.

    Elements may be picked several times.
    """
    complete = all((index != NOWHERE).all() for index in source)
    dtype = array.dtype if complete or array.dtype.kind in "fc" else np.result_type(array.dtype, np.float32)
    return _by_graph([array], [source], chunks, dtype)


def fill(*blocks: Any, moves: Sequence[Move], shape: Sequence[int | None], to: Any, through: bool) -> Any:
    """Return an array of NaN, of type `to`, with the `blocks` in it; a length of None is that of the first block."""
    full = tuple(blocks[0].shape[axis] if size is None else size for axis, size in enumerate(shape))
    made = np.full(full, np.nan if np.dtype(to).kind in "fc" else 0, to)
    for block, (there, here) in zip(blocks, moves, strict=True):
        place, new = _open(there, full), _picked(block, here)
        made[place] = np.where(missing(new), made[place], new) if through else new
    return made


def as_slice(index: NDArray[np.intp], length: int) -> slice | NDArray[np.intp]:
    """Return consecutive positions as a slice, which copies nothing; all of them as the empty one."""
    if not len(index) or not (np.diff(index) == 1).all():
        return index
    return slice(None) if len(index) == length else slice(int(index[0]), int(index[-1]) + 1)


def _picked(block: Any, here: Index) -> Any:
    """Return the elements at all combinations of positions, axis by axis: much faster than all at once."""
    picked = block[tuple(part if isinstance(part, slice) else slice(None) for part in here)]
    for axis, part in enumerate(here):
        picked = picked if isinstance(part, slice) else np.take(picked, part, axis)
    return picked


def _open(index: Index, shape: Sequence[int]) -> Any:
    """Return an index for all combinations of places; NumPy takes one list beside slices for that."""
    if sum(not isinstance(part, slice) for part in index) < 2:
        return index
    whole = [np.arange(n)[part] if isinstance(part, slice) else part for part, n in zip(index, shape, strict=True)]
    return np.ix_(*whole)


def _whole_move(source: Sources, shape: Sequence[int | None]) -> Move:
    """Return what goes from a whole array to the result; None for axes along which that is everything."""
    everything = slice(None)
    there, here = [], []
    for index, length in zip(source, shape, strict=True):
        places = np.flatnonzero(index != NOWHERE)
        there.append(everything if length is None else as_slice(places, len(index)))
        here.append(everything if length is None else as_slice(index[places], length))
    return tuple(there), tuple(here)


def _chunks(arrays: Sequence[Any], sources: Sequence[Sources], shape: Sequence[int], free: set[int]) -> Chunks:
    result: list[tuple[int, ...]] = []
    for axis, length in enumerate(shape):
        sizes, own = [array.chunks[axis] for array in arrays], [source[axis] for source in sources]
        whole = [size for size, source in zip(sizes, own, strict=True) if _is_all(source, sum(size))]
        if axis in free and all(len(size) == 1 for size in sizes):
            result.append((length,))
        elif whole:
            result.append(whole[-1])
        else:
            result.append(_regular(length, max(map(max, sizes))) if axis in free else _cut(sizes, own))
    return tuple(result)


def _regular(length: int, size: int) -> tuple[int, ...]:
    whole, rest = divmod(length, size)
    return (size,) * whole + ((rest,) if rest else ())


def _cut(sizes: Sequence[tuple[int, ...]], sources: Sequence[NDArray[np.intp]]) -> tuple[int, ...]:
    """Return blocks as the arrays have them; where several overlap, as the last one."""
    owner = np.full((2, len(sources[0])), NOWHERE)
    for which, (size, source) in enumerate(zip(sizes, sources, strict=True)):
        has = source != NOWHERE
        owner[0, has] = which
        owner[1, has] = np.searchsorted(np.cumsum(size), source[has], side="right")
    changes = np.flatnonzero((np.diff(owner) != 0).any(axis=0)) + 1
    return tuple(int(b - a) for a, b in pairwise([0, *changes, owner.shape[1]]))


def _is_all(source: NDArray[np.intp], length: int) -> bool:
    return len(source) == length and bool((source == np.arange(length)).all())


def _alike(array: Any, source: Sources, chunks: Chunks) -> Any:
    """Return the array in the result's chunks along the axes that are the same."""
    wanted = {
        axis: sizes
        for axis, sizes in enumerate(chunks)
        if array.chunks[axis] != sizes and _is_all(source[axis], array.shape[axis])
    }
    return array.rechunk(wanted) if wanted else array


def _is_blockwise(array: Any, source: Sources, chunks: Chunks) -> bool:
    """Tell whether each block of the result is made of the blocks at the same place, all in the same way."""
    return all(
        len(sizes) == array.numblocks[axis] == 1 or _is_all(source[axis], array.shape[axis])
        for axis, sizes in enumerate(chunks)
    )


def _by_block(arrays: Sequence[Any], sources: Sequence[Sources], chunks: Chunks, dtype: Any, through: bool) -> Any:
    shape = [sizes[0] if len(sizes) == 1 else None for sizes in chunks]
    moves = [
        _whole_move(source, [n and own for n, own in zip(shape, array.shape, strict=True)])
        for array, source in zip(arrays, sources, strict=True)
    ]
    made = {"moves": moves, "shape": shape, "to": dtype, "through": through}
    meta = np.empty((0,) * len(shape), dtype)
    return da.map_blocks(fill, *arrays, **made, token="join", dtype=dtype, chunks=chunks, meta=meta)


def _by_graph(
    arrays: Sequence[Any], sources: Sequence[Sources], chunks: Chunks, dtype: Any, through: bool = False
) -> Any:
    name = f"join-{tokenize(*arrays, sources, chunks, dtype, through)}"
    shares = [
        [_shares(source[axis], array.chunks[axis], sizes) for axis, sizes in enumerate(chunks)]
        for array, source in zip(arrays, sources, strict=True)
    ]
    graph: dict[Any, Any] = {}
    for index in product(*(range(len(sizes)) for sizes in chunks)):
        shape = tuple(sizes[i] for sizes, i in zip(chunks, index, strict=True))
        parts = _parts(arrays, shares, index, shape, through)
        graph[name, *index] = _task((name, *index), parts, shape, dtype, through)
    layered = HighLevelGraph.from_collections(name, graph, dependencies=arrays)
    return da.Array(layered, name, chunks=chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype))


def _shares(source: NDArray[np.intp], chunks: tuple[int, ...], wanted: tuple[int, ...]) -> list[list[Share]]:
    """Return, for each block of the result along one axis, what comes from which block of the array."""
    ends = np.cumsum(chunks)
    owner = np.where(source == NOWHERE, NOWHERE, np.searchsorted(ends, source, side="right"))
    found = []
    for start, end in pairwise(np.cumsum((0, *wanted)).tolist()):
        inside = owner[start:end]
        places = [(i, np.flatnonzero(inside == i)) for i in np.unique(inside[inside != NOWHERE]).tolist()]
        found.append([(i, source[start:end][at] - (ends[i] - chunks[i]), at) for i, at in places])
    return found


def _parts(
    arrays: Sequence[Any],
    shares: Sequence[Sequence[list[list[Share]]]],
    index: tuple[int, ...],
    shape: tuple[int, ...],
    through: bool,
) -> list[Part]:
    """Return what one block is made of; not what a single block of a later array hides altogether."""
    found: list[Part] = []
    for array, axes in zip(reversed(arrays), reversed(shares), strict=True):
        own = list(_moves(array, [blocks[i] for blocks, i in zip(axes, index, strict=True)], shape))
        found = own + found
        if not through and any(_is_everything(there) for _, _, (there, _) in own):
            break
    return found


def _moves(array: Any, axes: Sequence[list[Share]], shape: tuple[int, ...]) -> Iterator[Part]:
    for shares in product(*axes):
        block = tuple(share[0] for share in shares)
        here = tuple(as_slice(share[1], array.chunks[axis][share[0]]) for axis, share in enumerate(shares))
        there = tuple(as_slice(share[2], n) for share, n in zip(shares, shape, strict=True))
        yield array, block, (there, here)


def _is_everything(index: Index) -> bool:
    return all(isinstance(part, slice) and part == slice(None) for part in index)


def _task(key: tuple[Any, ...], parts: list[Part], shape: tuple[int, ...], dtype: Any, through: bool) -> Any:
    if len(parts) == 1:
        array, block, (there, here) = parts[0]
        if array.dtype == dtype and _is_everything(there) and _is_everything(here):
            return Alias(key, (array.name, *block))
    if not parts:
        return Task(key, np.full, shape, np.nan, dtype)
    references = [TaskRef((array.name, *block)) for array, block, _ in parts]
    return Task(key, fill, *references, moves=[move for _, _, move in parts], shape=shape, to=dtype, through=through)
