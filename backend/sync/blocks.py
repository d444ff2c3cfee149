"""Lazy values computed and fetched block by block: no worker ever holds more of a result than its own blocks.

Dask's own way puts each result together on one worker first, whose memory then grows with the result.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.core import flatten
from dask.utils import ensure_dict

POLL_SECONDS = 0.25
# Blocks travel in batches of about so many bytes, or of so many blocks.
BATCH_BYTES = 64 * 2**20
BATCH_BLOCKS = 256
# A worker that stands still answers never: after so long it is asked again, or whoever has the block by then.
FETCH_SECONDS = 30.0

Index = tuple[int, ...]


class TaskFailed(Exception):
    """A task raised `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Interrupted(Exception):
    """The scheduler has dropped the tasks, or was lost with them."""


def collect(
    client: Any, collections: Sequence[Any], announce: Callable[[list[Any]], None], check: Callable[[], None]
) -> list[Any]:
    """Compute Dask collections as one graph.

    Parameters
    ----------
    client : distributed.Client
    collections : sequence of Dask collections
    announce : callable
        Called once, with the keys of all blocks, when the scheduler was sent the graph.
    check : callable
        Called a few times a second; whatever it raises ends the computation.

    Raises
    ------
    TaskFailed, Interrupted
    """
    values = [_taken_apart(collection) for collection in collections]
    takers = [taker for value in values for taker in value.takers]
    futures = _submit(client, takers)
    try:
        announce(list(futures))
        _receive(client, futures, takers, check)
    finally:
        for future in futures.values():  # no `cancel`: an equal request may wait for the same blocks
            future.release()
    return [value.rebuilt() for value in values]


class _Taker:
    """A lazy collection whose blocks come in one by one."""

    def __init__(self, lazy: Any) -> None:
        self.lazy = lazy
        self._blocks: dict[Any, Any] = {}

    def wanted(self) -> list[Any]:
        """Return the keys of all blocks."""
        return list(flatten(self.lazy.__dask_keys__()))

    def take(self, key: Any, block: Any) -> None:
        """Take the block of that key."""
        self._blocks[key] = block

    def value(self) -> Any:
        """Return the value when all blocks are there."""
        finish, arguments = self.lazy.__dask_postcompute__()
        return finish(_nested(self.lazy.__dask_keys__(), self._blocks), *arguments)


class _ArrayTaker(_Taker):
    """A lazy array of known shape: each block goes to its place at once."""

    def __init__(self, lazy: da.Array) -> None:
        super().__init__(lazy)
        self._whole: np.ndarray | None = None
        self._ends = [np.cumsum((0, *sizes)) for sizes in lazy.chunks]

    def take(self, key: Any, block: Any) -> None:
        place = tuple(slice(int(ends[i]), int(ends[i + 1])) for ends, i in zip(self._ends, key[1:], strict=True))
        shape, block = tuple(part.stop - part.start for part in place), np.asarray(block)
        if block.shape != shape:
            raise ValueError(f"the block {key} has the shape {block.shape}, its cube says {shape}")
        if self._whole is None:
            self._whole = np.empty(self.lazy.shape, block.dtype)
        elif self._whole.dtype != block.dtype:
            self._whole = self._whole.astype(np.result_type(self._whole.dtype, block.dtype), copy=False)
        self._whole[place] = block

    def value(self) -> np.ndarray:
        assert self._whole is not None
        return self._whole


class _Value:
    """A collection taken apart: what of it is lazy, and how to put it together again."""

    def __init__(self, takers: Sequence[_Taker], rebuild: Callable[[list[Any]], Any]) -> None:
        self.takers = list(takers)
        self._rebuild = rebuild

    def rebuilt(self) -> Any:
        """Return the collection with all that was lazy in it computed."""
        return self._rebuild([taker.value() for taker in self.takers])


def _taken_apart(collection: Any) -> _Value:
    if isinstance(collection, xr.DataArray):
        lazy = {name: variable for name, variable in collection.coords.variables.items() if _is_lazy(variable)}
        parts = ([collection.variable] if _is_lazy(collection.variable) else []) + list(lazy.values())
        return _Value([_taker(part.data) for part in parts], partial(_array_of, collection, list(lazy)))
    if isinstance(collection, xr.Dataset):
        names = [name for name, variable in collection.variables.items() if _is_lazy(variable)]
        takers = [_taker(collection.variables[name].data) for name in names]
        return _Value(takers, partial(_dataset_of, collection, names))
    return _Value([_taker(collection)], lambda values: values[0])


def _is_lazy(variable: Any) -> bool:
    return isinstance(variable.data, da.Array)


def _taker(lazy: Any) -> _Taker:
    placed = isinstance(lazy, da.Array) and lazy.ndim and isinstance(lazy._meta, np.ndarray)
    if placed and not isinstance(lazy._meta, np.ma.MaskedArray) and not any(map(math.isnan, lazy.shape)):
        return _ArrayTaker(lazy)
    return _Taker(lazy)


def _array_of(array: xr.DataArray, coords: list[Any], values: list[Any]) -> xr.DataArray:
    own = values[: len(values) - len(coords)]
    computed = array.copy(deep=False, data=own[0]) if own else array
    loaded = zip(coords, values[len(own) :], strict=True)
    return computed.assign_coords({name: array.coords[name].variable.copy(data=value) for name, value in loaded})


def _dataset_of(dataset: xr.Dataset, names: list[Any], values: list[Any]) -> xr.Dataset:
    computed = {n: dataset.variables[n].copy(data=v) for n, v in zip(names, values, strict=True)}
    coords = {name: variable for name, variable in computed.items() if name in dataset.coords}
    return dataset.assign({n: v for n, v in computed.items() if n not in coords}).assign_coords(coords)


def _nested(keys: Any, blocks: Mapping[Any, Any]) -> Any:
    return [_nested(key, blocks) for key in keys] if isinstance(keys, list) else blocks[keys]


def _submit(client: Any, takers: Sequence[_Taker]) -> dict[Any, Any]:
    """Send the graph to the scheduler, and return the future of each block by its key."""
    wanted = {key for taker in takers for key in taker.wanted()}
    found: dict[Any, Any] = {}
    for persisted in client.persist([taker.lazy for taker in takers]):
        graph = ensure_dict(persisted.__dask_graph__())
        found.update({key: graph[key] for key in wanted & graph.keys()})
    return found


def _receive(client: Any, futures: dict[Any, Any], takers: Sequence[_Taker], check: Callable[[], None]) -> None:
    """Fetch each block when it is there, give it to whoever wants it, and let go of it."""
    wanting: dict[Any, list[_Taker]] = {}
    for taker in takers:
        for key in taker.wanted():
            wanting.setdefault(key, []).append(taker)
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for future in futures.values():
        future.add_done_callback(lambda future: done.put(future.key))
    while wanting:
        check()
        for keys in _batches(_ready(done), wanting):
            for key, block in zip(keys, _fetched(client, [futures[key] for key in keys], check), strict=True):
                for taker in wanting.pop(key):
                    taker.take(key, block)
                futures.pop(key).release()


def _ready(done: queue.SimpleQueue[Any]) -> list[Any]:
    """Return the keys of blocks that are done, after a moment's waiting for the first."""
    keys = []
    with contextlib.suppress(queue.Empty):
        keys.append(done.get(timeout=POLL_SECONDS))
        while True:
            keys.append(done.get_nowait())
    return keys


def _batches(keys: Iterable[Any], wanting: Mapping[Any, Sequence[_Taker]]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for key in keys:
        batch.append(key)
        size += _mean_bytes(wanting[key][0].lazy)
        if size >= BATCH_BYTES or len(batch) >= BATCH_BLOCKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _mean_bytes(lazy: Any) -> int:
    if not isinstance(lazy, da.Array) or math.isnan(lazy.nbytes):
        return BATCH_BYTES // BATCH_BLOCKS
    return int(lazy.nbytes // max(lazy.npartitions, 1))


def _fetched(client: Any, futures: list[Any], check: Callable[[], None]) -> list[Any]:
    """Return the blocks of futures that are done; where a worker does not answer, ask again."""
    while True:
        try:
            blocks: list[Any] = client.sync(
                partial(client.gather, asynchronous=True), futures, callback_timeout=FETCH_SECONDS
            )
            return blocks
        except Exception as error:
            _raise_failure(futures, error)
            if not isinstance(error, OSError):  # which TimeoutError is, too
                raise TaskFailed(error) from error
        check()
        time.sleep(POLL_SECONDS)


def _raise_failure(futures: Iterable[Any], error: Exception) -> None:
    """Raise what the first future that failed says; nothing where none has."""
    for future in futures:
        if future.status == "error":
            raise TaskFailed(future.exception() or error) from error
        if future.status in ("cancelled", "lost"):
            raise Interrupted from error
