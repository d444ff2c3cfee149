"""Values of cubes read part by part, be they in memory or, lazy, in a file: never more is in memory at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import dask
import numpy as np

PART_BYTES = 16 * 2**20


def read(values: Any) -> np.ndarray[Any, Any]:
    """Return values in memory; lazy ones are read by this thread alone."""
    return np.asarray(dask.compute(values, scheduler="synchronous")[0] if dask.is_dask_collection(values) else values)


def parts_of(
    shape: Sequence[int], grain: Sequence[int], itemsize: int, most: int | None = None
) -> Iterator[tuple[slice, ...]]:
    """Cut an array into parts of at most `most` bytes.

    Parameters
    ----------
    shape : sequence of int
    grain : sequence of int
        Parts are whole grains of this shape, one at least, and grow along the last axis first.
    itemsize : int
        Bytes of a value.
    most : int, optional
        By default `PART_BYTES`.
    """
    steps = [min(size, step) for size, step in zip(shape, grain, strict=True)]
    room = PART_BYTES if most is None else most
    for axis in reversed(range(len(shape))):
        times = max(room // (math.prod(steps) * itemsize), 1)
        steps[axis] = min(steps[axis] * times, shape[axis])
    ranges = [range(0, size, step) for size, step in zip(shape, steps, strict=True)]
    for starts in itertools.product(*ranges):
        ends = zip(starts, steps, shape, strict=True)
        yield tuple(slice(start, min(start + step, size)) for start, step, size in ends)
