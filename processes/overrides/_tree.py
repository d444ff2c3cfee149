"""Reductions of floats that lie in several blocks: one task for each block, which keeps what is needed of it.

What is kept are some numbers in float64, side by side along the first reduced axis: how many values are valid, and one
or two more. They are joined block by block and finished at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from processes.overrides._dims import da
from processes.overrides.logic import missing

Block = NDArray[Any]
Axes = tuple[int, ...]


class Keeper(Protocol):
    """What a reducer keeps of a block; arrays keep the reduced axes."""

    parts: ClassVar[int]

    def start(self, block: Block, axes: Axes) -> Sequence[Block]:
        """Return what is kept of a block, of length 1 along the axes; first the number of valid values."""
        ...

    def join(self, kept: Sequence[Block], axes: Axes) -> Sequence[Block]:
        """Return what is kept of several blocks from what was kept of each."""
        ...

    def finish(self, kept: Sequence[Block]) -> Block:
        """Return the result of what was kept of all; where there is no valid value it does not matter."""
        ...


@dataclass(frozen=True)
class Fold:
    """Keeps a sum or product; `mean` divides it by the number of values."""

    operation: np.ufunc
    neutral: float
    mean: bool = False
    parts: ClassVar[int] = 2

    def start(self, block: Block, axes: Axes) -> Sequence[Block]:
        gone = missing(block)
        values = np.where(gone, self.neutral, block)
        return [_number(gone, axes), self.operation.reduce(values, axis=axes, keepdims=True, dtype=np.float64)]

    def join(self, kept: Sequence[Block], axes: Axes) -> Sequence[Block]:
        count, value = kept
        return [count.sum(axis=axes, keepdims=True), self.operation.reduce(value, axis=axes, keepdims=True)]

    def finish(self, kept: Sequence[Block]) -> Block:
        count, value = kept
        return value / count if self.mean else value


@dataclass(frozen=True)
class Spread:
    """Keeps mean and squared deviations from it, which loses nothing where these are small beside it (Chan et al.)."""

    root: bool
    parts: ClassVar[int] = 3

    def start(self, block: Block, axes: Axes) -> Sequence[Block]:
        gone = missing(block)
        count = _number(gone, axes)
        wide = np.where(gone, 0, block).astype(np.float64)
        mean = wide.sum(axis=axes, keepdims=True) / np.maximum(count, 1)
        squares = np.where(gone, 0, (wide - mean) ** 2).sum(axis=axes, keepdims=True)
        return [count, mean, squares]

    def join(self, kept: Sequence[Block], axes: Axes) -> Sequence[Block]:
        count, mean, squares = kept
        whole = count.sum(axis=axes, keepdims=True)
        middle = (count * mean).sum(axis=axes, keepdims=True) / np.maximum(whole, 1)
        between = np.where(count > 0, count * (mean - middle) ** 2, 0)
        return [whole, middle, (squares + between).sum(axis=axes, keepdims=True)]

    def finish(self, kept: Sequence[Block]) -> Block:
        count, _, squares = kept
        # A sample of one has no variance.
        spread = np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan)
        return np.sqrt(spread) if self.root else spread


def tree_reduced(keeper: Keeper, values: Any, ignore_nodata: bool, axes: Axes, keepdims: bool) -> Any:
    """Return a lazy array of floats, in several blocks, reduced along `axes` (ascending), in its own type.

    NaN where no value is valid or, unless `ignore_nodata`, where one is not.
    """
    dtype, size = values.dtype, int(np.prod([values.shape[a] for a in axes]))
    return da.reduction(
        values,
        chunk=partial(_started, keeper),
        combine=partial(_joined, keeper),
        aggregate=partial(_finished, keeper, dtype, 1 if ignore_nodata else size),
        axis=axes,
        keepdims=keepdims,
        dtype=dtype,
        meta=np.empty((0,) * (values.ndim if keepdims else values.ndim - len(axes)), dtype),
    )


def _number(gone: Block, axes: Axes) -> Block:
    return np.asarray((~gone).sum(axis=axes, keepdims=True), np.float64)


def _started(keeper: Keeper, block: Block, axis: Axes, keepdims: bool) -> Block:
    with np.errstate(all="ignore"):
        return np.concatenate(keeper.start(block, axis), axis=axis[0])


def _joined(keeper: Keeper, packed: Block, axis: Axes, keepdims: bool) -> Block:
    with np.errstate(all="ignore"):
        return np.concatenate(keeper.join(_unpacked(keeper, packed, axis[0]), axis), axis=axis[0])


def _finished(keeper: Keeper, to: Any, least: int, packed: Block, axis: Axes, keepdims: bool) -> Block:
    with np.errstate(all="ignore"):
        kept = keeper.join(_unpacked(keeper, packed, axis[0]), axis)
        made = np.where(kept[0] < least, np.nan, keeper.finish(kept)).astype(to)
    return made if keepdims else np.squeeze(made, axis=axis)


def _unpacked(keeper: Keeper, packed: Block, axis: int) -> list[Block]:
    lead = (slice(None),) * axis
    return [packed[(*lead, slice(part, None, keeper.parts))] for part in range(keeper.parts)]
