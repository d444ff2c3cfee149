"""Processes called for each element of an array: array_apply, array_filter, count. See `_axes` for what arrays are."""

from __future__ import annotations

from typing import Any

import numpy as np

from processes.errors import invalid
from processes.overrides._axes import (
    ARRAYS,
    labelled,
    masked,
    on_axis,
    plain_list,
    positions,
    where_null,
)
from processes.overrides._dims import Callback, chunks_of, da, spread


def _call(process: Callback, x: Any, index: Any, label: Any, context: Any) -> Any:
    return process(
        x, positional_parameters={"x": 0}, named_parameters={"index": index, "label": label, "context": context}
    )


def _each(data: Any, process: Callback, context: Any, axis: int | None, dim_labels: Any) -> tuple[Any, Any, int, Any]:
    """Call an element-wise process once for a whole array; return its result, the array, its axis and labels."""
    values, at, labels = on_axis(data, axis, dim_labels)
    index = positions(values.shape[at], at, values.ndim)
    label = None if labels is None else labels.reshape(index.shape)
    result = _call(process, values, index, label, context)
    result = np.asarray(np.nan if result is None else result) if not isinstance(result, ARRAYS) else result
    return result, values, at, labels


def array_apply(
    data: Any, process: Callback, context: Any = None, axis: int | None = None, dim_labels: Any = None
) -> Any:
    """Apply a process to each element; "the number of elements are the same as for the original array"."""
    plain = plain_list(data)
    if plain is not None:
        return [_call(process, x, i, None, context) for i, x in enumerate(plain)]
    result, values, _, labels = _each(data, process, context, axis, dim_labels)
    return labelled(spread(result, values.shape, chunks_of(values), "process"), labels, data)


def array_filter(
    data: Any, condition: Callback, context: Any = None, axis: int | None = None, dim_labels: Any = None
) -> Any:
    """Keep only the elements for which the condition returns `true`.

    A condition on `index` or `label` shortens the axis. One on the values of many pixels would shorten each pixel's
    array differently: there the other elements become no-data, which reducers ignore.
    """
    plain = plain_list(data)
    if plain is not None:
        return [x for i, x in enumerate(plain) if _call(condition, x, i, None, context) in (True, np.True_)]
    if isinstance(data, np.ndarray) and data.ndim > 1:
        # Lazily, what depends on the values can be told from what does not, even where there is one pixel only.
        kept = array_filter(da.asarray(data), condition, context, axis, dim_labels)
        return kept.compute(scheduler="sync")
    result, values, at, labels = _each(data, condition, context, axis, dim_labels)
    wanted = np.equal(result, True).astype(bool)
    if isinstance(wanted, da.Array):
        return masked(values, wanted)
    shared = _same_for_all(wanted, values.shape, at)
    if shared is None:
        return masked(values, wanted)
    chosen = np.flatnonzero(shared)
    kept = values[(slice(None),) * at + (chosen,)]
    return labelled(kept, None if labels is None else labels[chosen], data)


def _same_for_all(wanted: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray | None:
    """Return what a condition says along the axis, (n,), None if it says different things for different pixels."""
    full = np.moveaxis(np.broadcast_to(wanted, shape), axis, -1).reshape(-1, shape[axis])
    return full[0] if len(full) and (full == full[:1]).all() else None


def count(
    data: Any, condition: Any = None, context: Any = None, axis: int | None = None, keepdims: bool = False
) -> Any:
    """Count elements: the valid ones by default, all for `true`, else those "only if the condition returns `true`"."""
    if condition is False:
        raise invalid("condition", "count", "false is no condition; leave it out, set it to true or give a process")
    plain = plain_list(data)
    if plain is not None:
        return sum(_counts(x, condition, context) for x in plain)
    values, at, _ = on_axis(data, axis, None, keepdims)
    if condition is True:
        wanted = np.ones_like(values, dtype=bool)
    elif condition is None:
        wanted = np.isfinite(values) if values.dtype.kind in "fc" else ~where_null(values)
    else:
        result = condition(values, positional_parameters={"x": 0}, named_parameters={"context": context})
        result = result if isinstance(result, ARRAYS) else np.asarray(result)
        wanted = spread(np.equal(result, True).astype(bool), values.shape, chunks_of(values), "condition")
    return wanted.sum(axis=at, keepdims=keepdims)


def _counts(x: Any, condition: Any, context: Any) -> bool:
    if condition is True:
        return True
    if condition is None:
        return x is not None and not (isinstance(x, float) and not np.isfinite(x))
    kept = condition(x, positional_parameters={"x": 0}, named_parameters={"context": context})
    return kept is not None and bool(np.equal(kept, True))
