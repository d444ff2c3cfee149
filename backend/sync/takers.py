"""Lazy values taken apart into Dask collections, and put together again from their blocks as these come in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.core import flatten

from backend.sync import spool as spools
from backend.sync.spool import Spool, Stored


class Taker:
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


class ArrayTaker(Taker):
    """A lazy array of known shape: each block goes to its place at once."""

    def __init__(self, lazy: da.Array) -> None:
        super().__init__(lazy)
        self._whole: np.ndarray | None = None
        self._ends = [np.cumsum((0, *sizes)) for sizes in lazy.chunks]

    def take(self, key: Any, block: Any) -> None:
        place, block = self._placed(key, block)
        if self._whole is None:
            self._whole = np.empty(self.lazy.shape, block.dtype)
        elif self._whole.dtype != block.dtype:
            self._whole = self._whole.astype(np.result_type(self._whole.dtype, block.dtype), copy=False)
        self._whole[place] = block

    def value(self) -> Any:
        assert self._whole is not None
        return self._whole

    def _placed(self, key: Any, block: Any) -> tuple[tuple[slice, ...], np.ndarray]:
        """Return where a block belongs; ValueError where it does not fit there."""
        place = tuple(slice(int(ends[i]), int(ends[i + 1])) for ends, i in zip(self._ends, key[1:], strict=True))
        shape, block = tuple(part.stop - part.start for part in place), np.asarray(block)
        if block.shape != shape:
            raise ValueError(f"the block {key} has the shape {block.shape}, its cube says {shape}")
        return place, block


class SpooledTaker(ArrayTaker):
    """A lazy array whose blocks go to a file, and which stays lazy."""

    def __init__(self, lazy: da.Array, spool: Spool) -> None:
        super().__init__(lazy)
        self._spool = spool
        self._stored: dict[tuple[int, ...], Stored] = {}

    def take(self, key: Any, block: Any) -> None:
        _, block = self._placed(key, block)
        self._stored[key[1:]] = self._spool.append(block)

    def value(self) -> Any:
        return self._spool.array(self._stored, self.lazy.chunks)


class Value:
    """A collection taken apart: what of it is lazy, and how to put it together again."""

    def __init__(self, takers: Sequence[Taker], rebuild: Callable[[list[Any]], Any]) -> None:
        self.takers = list(takers)
        self._rebuild = rebuild

    def rebuilt(self) -> Any:
        """Return the collection with all that was lazy in it computed."""
        return self._rebuild([taker.value() for taker in self.takers])


def taken_apart(collection: Any, spool: Spool | None) -> Value:
    if isinstance(collection, xr.DataArray):
        lazy = {name: variable for name, variable in collection.coords.variables.items() if _is_lazy(variable)}
        parts = ([collection.variable] if _is_lazy(collection.variable) else []) + list(lazy.values())
        return Value([_taker(part.data, spool) for part in parts], partial(_array_of, collection, list(lazy)))
    if isinstance(collection, xr.Dataset):
        names = [name for name, variable in collection.variables.items() if _is_lazy(variable)]
        takers = [_taker(collection.variables[name].data, spool) for name in names]
        return Value(takers, partial(_dataset_of, collection, names))
    return Value([_taker(collection, spool)], lambda values: values[0])


def _is_lazy(variable: Any) -> bool:
    return isinstance(variable.data, da.Array)


def _taker(lazy: Any, spool: Spool | None) -> Taker:
    placed = isinstance(lazy, da.Array) and lazy.ndim and isinstance(lazy._meta, np.ndarray)
    if not placed or isinstance(lazy._meta, np.ma.MaskedArray) or any(map(math.isnan, lazy.shape)):
        return Taker(lazy)
    if spool is not None and lazy.nbytes > spools.SPOOL_BYTES and not lazy.dtype.hasobject:
        return SpooledTaker(lazy, spool)
    return ArrayTaker(lazy)


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
