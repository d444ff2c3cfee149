"""Arrays by the order of their elements: first, last, sort, order, rearrange. See `_axes` for what arrays are."""

from __future__ import annotations

from typing import Any

import numpy as np

from processes.overrides._axes import (
    along_axis,
    is_null,
    masked,
    nothing,
    on_axis,
    plain_list,
    positions,
    single,
    where_null,
)
from processes.overrides._dims import da


def first(data: Any, ignore_nodata: bool = True, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the first element, by default the first that is not no-data; an empty array gives no-data."""
    return _end(data, ignore_nodata, axis, keepdims, last_one=False)


def last(data: Any, ignore_nodata: bool = True, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the last element, by default the last that is not no-data; an empty array gives no-data."""
    return _end(data, ignore_nodata, axis, keepdims, last_one=True)


def _end(data: Any, ignore_nodata: bool, axis: int | None, keepdims: bool, last_one: bool) -> Any:
    plain = plain_list(data)
    if plain is not None:
        valid = [x for x in plain if not (ignore_nodata and is_null(x))]
        return (valid[-1] if last_one else valid[0]) if valid else None
    values, at, _ = on_axis(data, axis, None, keepdims)
    if values.shape[at] == 0:
        return nothing(values, at, keepdims)
    if not ignore_nodata or values.dtype.kind in "iub":
        where = slice(-1, None) if last_one else slice(0, 1)
        return single(values[(slice(None),) * at + (where,)], at, keepdims)

    def pick(block: Any) -> Any:
        block = np.flip(block, at) if last_one else block
        return np.take_along_axis(block, np.expand_dims((~where_null(block)).argmax(axis=at), at), at)

    return single(along_axis(pick, values, at, length=1), at, keepdims)


def order(data: Any, asc: bool = True, nodata: bool | None = None, axis: int | None = None) -> Any:
    """Return the permutation that sorts an array; ties keep their order.

    No-data goes to the end (`nodata` true) or to the start (false); null removes it from lists. Along an axis of a
    cube, where all pixels keep the same length, null means no-data instead of the positions, at the end.
    """
    plain = plain_list(data)
    if plain is not None:
        return _order_list(plain, asc, nodata)
    values, at, _ = on_axis(data, axis, None)
    permutation = along_axis(lambda block: _order_block(block, at, asc, nodata), values, at, dtype=np.int64)
    if nodata is not None or values.dtype.kind in "iub":
        return permutation
    valid = (~where_null(values)).sum(axis=at, keepdims=True)
    if values.ndim == 1 and not isinstance(values, da.Array):
        return permutation[: int(valid[0])]
    return masked(permutation.astype(float), positions(values.shape[at], at, values.ndim) < valid)


def _order_list(items: list[Any], asc: bool, nodata: bool | None) -> list[int]:
    null = [i for i, x in enumerate(items) if is_null(x)]
    valid = [i for i in range(len(items)) if i not in set(null)]
    # Sorting in reverse keeps the order of ties, too.
    valid.sort(key=lambda i: items[i], reverse=not asc)
    return valid if nodata is None else valid + null if nodata else null + valid


def _order_block(block: Any, axis: int, asc: bool, nodata: bool | None) -> Any:
    """Return the permutation of one block with all of its axis; no-data at the end unless `nodata` is false."""
    null = where_null(block)
    if asc:
        permutation = np.argsort(block, axis=axis, kind="stable")
    else:
        # Backwards twice: descending, ties in their order.
        flipped = np.argsort(np.flip(block, axis), axis=axis, kind="stable")
        permutation = block.shape[axis] - 1 - np.flip(flipped, axis)
    side = np.take_along_axis(null, permutation, axis)
    rank = np.argsort(~side if nodata is False else side, axis=axis, kind="stable")
    return np.take_along_axis(permutation, rank, axis).astype(np.int64)


def rearrange(data: Any, order: Any, axis: int | None = None) -> Any:
    """Return the elements at the positions of a permutation: a list, or one per pixel as `order()` gives it."""
    plain, positions = plain_list(data), plain_list(order)
    if plain is not None:
        return [plain[int(i)] for i in (positions if positions is not None else np.asarray(order).tolist())]
    values, at, _ = on_axis(data, axis, None)
    if positions is not None or (order.ndim == 1 and not isinstance(order, da.Array)):
        chosen = np.asarray(positions if positions is not None else order, dtype=int)
        return values[(slice(None),) * at + (chosen,)]
    length = order.shape[at]
    if not isinstance(values, da.Array) and not isinstance(order, da.Array):
        return _by_position(values, order, at)
    values, order = da.asarray(values), da.asarray(order)
    other = tuple(c for i, c in enumerate(values.chunks) if i != at)
    spans = (*other[:at], (length,), *other[at:])
    dtype = values.dtype if order.dtype.kind in "iu" else np.result_type(values.dtype, np.float32)
    whole = values.rechunk({at: -1})
    return da.map_blocks(_by_position, whole, order.rechunk(spans), at, dtype=dtype, chunks=spans)


def _by_position(values: Any, order: Any, axis: int) -> Any:
    """Take elements along an axis; no-data as position gives no-data."""
    if order.dtype.kind in "iu":
        return np.take_along_axis(values, order, axis)
    null = np.isnan(order)
    return masked(np.take_along_axis(values, np.where(null, 0, order).astype(np.int64), axis), ~null)


def sort(data: Any, asc: bool = True, nodata: bool | None = None, axis: int | None = None) -> Any:
    """Return the sorted array; no-data as in `order()`, removed from lists, at the end along an axis of a cube."""
    plain = plain_list(data)
    if plain is not None:
        return [plain[i] for i in _order_list(plain, asc, nodata)]
    values, at, _ = on_axis(data, axis, None)
    if values.ndim == 1 and not isinstance(values, da.Array) and nodata is None:
        values = values[~where_null(values)]
    return along_axis(lambda b: np.take_along_axis(b, _order_block(b, at, asc, nodata), at), values, at)
