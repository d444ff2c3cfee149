"""A cube as rows of features, block by block: what fitting on whole cubes needs, whatever the chunks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

da: Any = dask.array


def feature_blocks(cube: xr.DataArray, dimension: str) -> tuple[Any, list[str]]:
    """Return the values (..., features), lazy and with all features in one block, and the other dimensions' names."""
    rest = [str(d) for d in cube.dims if d != dimension]
    values = da.asarray(cube.transpose(*rest, dimension).data)
    return values.rechunk({values.ndim - 1: -1}), rest


def complete_rows(block: NDArray[Any]) -> NDArray[np.float64]:
    """Return the rows (n, features) of a block (..., features) in which no number is missing."""
    rows = np.asarray(block, np.float64).reshape(-1, block.shape[-1])
    return rows[np.isfinite(rows).all(axis=1)]


def sample_rows(values: Any, count: int, seed: int) -> Any:
    """Return a task that samples up to `count` complete rows of lazy `values` (..., features), uniformly.

    Which rows, and their order, depends on the seed and on where a row lies in the cube: chunks do not matter. Every
    row draws a number from its position and the seed, and those with the smallest numbers are taken.
    """
    pick, merge = dask.delayed(_pick, pure=True), dask.delayed(_merge, pure=True)
    shape = values.shape[:-1]
    parts = [pick(block, start, shape, count, seed) for block, start in _blocks(values)]
    while len(parts) > 1:
        parts = [merge(parts[i : i + 16], count) for i in range(0, len(parts), 16)]
    return dask.delayed(_rows, pure=True)(parts[0])


def _blocks(values: Any) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield each block as a task, and the position of its first row in the cube."""
    delayed = values.to_delayed().ravel()
    starts = product(*(np.cumsum([0, *sizes[:-1]]).tolist() for sizes in values.chunks[:-1]))
    yield from zip(delayed, starts, strict=True)


def _pick(
    block: NDArray[Any], start: tuple[int, ...], shape: tuple[int, ...], count: int, seed: int
) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    rows = np.asarray(block, np.float64).reshape(-1, block.shape[-1])
    places = np.zeros((1,) * len(shape), np.uint64)
    for axis, (first, length) in enumerate(zip(start, shape, strict=True)):
        along = np.arange(first, first + block.shape[axis], dtype=np.uint64)
        places = places * np.uint64(length) + along.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    complete = np.isfinite(rows).all(axis=1)
    return _smallest(_scattered(places.reshape(-1)[complete], seed), rows[complete], count)


def _merge(
    parts: list[tuple[NDArray[np.uint64], NDArray[np.float64]]], count: int
) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    return _smallest(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), count)


def _smallest(
    numbers: NDArray[np.uint64], rows: NDArray[np.float64], count: int
) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    order = np.argsort(numbers)[:count]
    return numbers[order], rows[order]


def _rows(part: tuple[NDArray[np.uint64], NDArray[np.float64]]) -> NDArray[np.float64]:
    return part[1]


def _scattered(places: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return a pseudo-random number for each place, a different one for each (the mixing step of SplitMix64)."""
    x = places + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scattered: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return scattered
