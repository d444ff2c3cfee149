"""Processes on arrays: plain lists, labelled arrays, and one axis of all pixels of a cube at once.

Plain lists are lists in and lists out, with None as no-data. Inside of callbacks the array is one axis of a NumPy or
Dask array; there `axis` names it, `dim_labels` holds its labels while its length is the original one, and with
`keepdims` results of a single value keep the axis. No-data is NaN; nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides._dims import Callback, chunks_of, da, invalid, spread

_ARRAYS = (np.ndarray, da.Array)


def _is_array(value: Any) -> bool:
    return isinstance(value, _ARRAYS) and value.ndim > 0


def _is_null(value: Any) -> bool:
    """Tell whether one value is no-data."""
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _plain(data: Any) -> list[Any] | None:
    """Return a list without arrays in it, None for everything else."""
    if isinstance(data, list | tuple) and not any(_is_array(item) for item in data):
        return list(data)
    return None


def _on_axis(data: Any, axis: int | None, labels: Any, keepdims: bool = False) -> tuple[Any, int, np.ndarray | None]:
    """Return an array, its axis and the labels along it, None if there are none.

    Labels that are not as many as the elements belong to the array that this one was made from.
    """
    if isinstance(data, xr.DataArray):
        at = 0 if axis is None else axis
        dim = data.dims[at]
        return data.data, at, np.asarray(data[dim].values) if dim in data.coords else None
    if isinstance(data, list | tuple):
        data, at = _join(list(data), axis, keepdims)
    else:
        at = (data.ndim - 1 if data.ndim == 1 else 0) if axis is None else axis
    known = labels is not None and len(labels) == data.shape[at]
    return data, at, np.asarray(labels) if known else None


def _join(items: list[Any], axis: int | None, keepdims: bool) -> tuple[Any, int]:
    """Return a list whose items are arrays (or numbers) as one array, and its axis.

    With `keepdims` each item still has the axis, as one element or more; one that lost it gets it back.
    """
    at = axis or 0
    size = max(item.ndim for item in items if _is_array(item))
    full = keepdims and axis is not None and size > at
    lazy = any(isinstance(item, da.Array) for item in items)
    library = da if lazy else np
    values = [
        np.asarray(np.nan if item is None else item) if not isinstance(item, da.Array) else item for item in items
    ]
    if not full:
        return library.stack(library.broadcast_arrays(*values), axis=at), at
    values = [v[..., np.newaxis] if v.ndim == size - 1 and v.ndim == at and v.ndim else v for v in values]
    shapes = [(*v.shape[:at], 1, *v.shape[at + 1 :]) if v.ndim == size else v.shape for v in values]
    lead = np.broadcast_shapes(*shapes)
    parts = []
    for v in values:
        length = v.shape[at] if v.ndim == size else 1
        parts.append(library.broadcast_to(v, (*lead[:at], length, *lead[at + 1 :])))
    return library.concatenate(parts, axis=at), at


def _labelled(values: Any, labels: np.ndarray | None, data: Any) -> Any:
    """Return a labelled array if `data` was one, else the plain values."""
    if isinstance(data, xr.DataArray) and labels is not None and values.ndim == 1:
        return xr.DataArray(values, dims=data.dims, coords={data.dims[0]: labels})
    return values


def _along(function: Callable[[Any], Any], values: Any, axis: int, length: int | None = None, dtype: Any = None) -> Any:
    """Apply `function`, which needs all of an axis, to each block; `length` is that of the axis afterwards."""
    if not isinstance(values, da.Array):
        return function(values)
    whole = values.rechunk({axis: -1})
    size = values.shape[axis] if length is None else length
    chunks = tuple((size,) if i == axis else c for i, c in enumerate(whole.chunks))
    kind = values.dtype if dtype is None else dtype
    return whole.map_blocks(function, dtype=kind, chunks=chunks, meta=np.empty((0,) * values.ndim, kind))


def _isnull(values: Any) -> Any:
    """Return where an array has no data."""
    if values.dtype.kind in "fc":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind == "O":
        return np.vectorize(_is_null, otypes=[bool])(values)
    return np.zeros_like(values, dtype=bool)


def _single(values: Any, axis: int, keepdims: bool) -> Any:
    """Return an axis of length 1 as it is or without it."""
    return values if keepdims else values[(slice(None),) * axis + (0,)]


def _nothing(values: Any, axis: int, keepdims: bool) -> Any:
    """Return no-data of the shape that one element has."""
    shape = tuple(1 if i == axis else n for i, n in enumerate(values.shape))
    if isinstance(values, da.Array):
        chunks = tuple((1,) if i == axis else c for i, c in enumerate(values.chunks))
        return _single(da.full(shape, np.nan, chunks=chunks), axis, keepdims)
    return _single(np.full(shape, np.nan), axis, keepdims)


def _positions(length: int, axis: int, ndim: int) -> np.ndarray:
    """Return 0, 1, 2, ... in a shape that broadcasts along the axis."""
    return np.arange(length).reshape([-1 if i == axis else 1 for i in range(ndim)])


def array_element(
    data: Any,
    index: int | None = None,
    label: Any = None,
    return_nodata: bool = False,
    axis: int | None = None,
    keepdims: bool = False,
    dim_labels: Any = None,
) -> Any:
    """Return the element with the zero-based index or the label.

    "By default this process throws an `ArrayElementNotAvailable` exception if the index or label is invalid. If you
    want to return the no-data value instead, set" `return_nodata`. Negative indices are invalid.

    Raises
    ------
    OpenEOError
        ArrayElementParameterMissing, ArrayElementParameterConflict, ArrayNotLabeled, ArrayElementNotAvailable.
    """
    if index is None and label is None:
        raise OpenEOError(
            "ArrayElementParameterMissing", "'array_element' needs parameter 'index' or 'label'. Set one."
        )
    if index is not None and label is not None:
        raise OpenEOError(
            "ArrayElementParameterConflict",
            f"'array_element' got both 'index' ({index}) and 'label' ({label}). Set only one of them.",
        )
    plain = _plain(data)
    if plain is not None:
        values, at, labels = np.empty(len(plain)), 0, None
    else:
        values, at, labels = _on_axis(data, axis, dim_labels, keepdims)
    length = values.shape[at]
    position = _index_of(label, labels) if label is not None else index
    if position is None or not 0 <= position < length:
        if not return_nodata:
            raise _unavailable(index, label, labels, length)
        return None if plain is not None else _nothing(values, at, keepdims)
    if plain is not None:
        return plain[int(position)]
    return _single(values[(slice(None),) * at + (slice(int(position), int(position) + 1),)], at, keepdims)


def _index_of(label: Any, labels: np.ndarray | None) -> int | None:
    """Return the position of a label; dates may be written in any ISO 8601 way."""
    if labels is None:
        raise OpenEOError(
            "ArrayNotLabeled",
            f"'array_element' got the label '{label}' but the array has no labels. Use parameter 'index' instead.",
        )
    wanted = label
    if labels.dtype.kind == "M":
        try:
            wanted = np.datetime64(str(label).removesuffix("Z"))
        except ValueError:
            return None
    found = [i for i, one in enumerate(labels) if _same(one, wanted)]
    return found[0] if found else None


def _unavailable(index: Any, label: Any, labels: np.ndarray | None, length: int) -> OpenEOError:
    asked = f"label '{label}'" if label is not None else f"index {index}"
    there = (
        ", ".join(map(str, labels[:10])) if label is not None and labels is not None else f"indices 0 to {length - 1}"
    )
    return OpenEOError(
        "ArrayElementNotAvailable",
        f"The array of {length} elements has no element with the {asked}; it has {there if length else 'none'}. "
        "Ask for one of these or set 'return_nodata' to true.",
    )


def array_create(data: Any = None, repeat: int = 1, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return an array with `data` "repeatedly added after each other"; arrays as elements become one axis."""
    if repeat < 1:
        raise invalid("repeat", "array_create", f"{repeat} must be 1 or more")
    items = [] if data is None else data
    plain = _plain(items)
    if plain is not None:
        return plain * repeat
    values, at, _ = _on_axis(items, axis, None, keepdims)
    return np.concatenate([values] * repeat, axis=at) if repeat > 1 else values


def array_concat(array1: Any, array2: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Append the second array to the first.

    "Array labels are kept only if both given arrays are labeled." Lists keep the type of each element. `OpenEOError`
    ArrayLabelConflict if a label is in both.
    """
    plain1, plain2 = _plain(array1), _plain(array2)
    if plain1 is not None and plain2 is not None:
        return plain1 + plain2
    if plain1 is not None or plain2 is not None:
        other, at, _ = _on_axis(array2 if plain1 is not None else array1, axis, None, keepdims)
        whole = [_constants(p, other, at) if p is not None else other for p in (plain1, plain2)]
        return np.concatenate(whole, axis=at)
    first, at, labels1 = _on_axis(array1, axis, None, keepdims)
    second, _, labels2 = _on_axis(array2, axis, None, keepdims)
    joined = _concatenate([first, second], at)
    if labels1 is None or labels2 is None:
        return joined
    if both := set(labels1.tolist()) & set(labels2.tolist()):
        raise OpenEOError(
            "ArrayLabelConflict",
            f"The label(s) {', '.join(map(str, both))} are in 'array1' and in 'array2'. Rename them in one.",
        )
    return _labelled(joined, np.concatenate([labels1, labels2]), array1)


def _concatenate(parts: list[Any], axis: int) -> Any:
    """Return arrays joined along an axis; those that are the same for all pixels are repeated for each."""
    rest = np.broadcast_shapes(*((*part.shape[:axis], 1, *part.shape[axis + 1 :]) for part in parts))
    shapes = [(*rest[:axis], part.shape[axis], *rest[axis + 1 :]) for part in parts]
    library = da if any(isinstance(part, da.Array) for part in parts) else np
    full = [part if part.shape == s else library.broadcast_to(part, s) for part, s in zip(parts, shapes, strict=True)]
    return library.concatenate(full, axis=axis)


def _constants(items: list[Any], like: Any, axis: int) -> Any:
    """Return a list as an axis of an array shaped like `like`."""
    values = np.asarray([np.nan if item is None else item for item in items])
    shaped = values.reshape([-1 if i == axis else 1 for i in range(like.ndim)])
    shape = tuple(len(items) if i == axis else n for i, n in enumerate(like.shape))
    if not isinstance(like, da.Array):
        return np.broadcast_to(shaped, shape)
    return da.broadcast_to(
        shaped, shape, chunks=tuple((len(items),) if i == axis else c for i, c in enumerate(like.chunks))
    )


def array_append(data: Any, value: Any, label: Any = None, axis: int | None = None, keepdims: bool = False) -> Any:
    """Append a value. `OpenEOError` LabelExists, ArrayNotLabeled (a label for an array without any)."""
    if isinstance(data, xr.DataArray):
        return _append_labelled(data, value, label)
    if label is not None:
        raise OpenEOError(
            "ArrayNotLabeled", f"'array_append' got the label '{label}' but the array has no labels. Leave it out."
        )
    plain = _plain(data)
    if plain is not None and not _is_array(value):
        return [*plain, value]
    if plain is not None:
        return array_create([*plain, value], axis=axis, keepdims=keepdims)
    values, at, _ = _on_axis(data, axis, None, keepdims)
    if not _is_array(value):
        return np.concatenate([values, _constants([value], values, at)], axis=at)
    added = value if value.ndim == values.ndim else np.expand_dims(value, at)
    return _concatenate([values, added], at)


def _append_labelled(data: xr.DataArray, value: Any, label: Any) -> xr.DataArray:
    labels = np.asarray(data[data.dims[0]].values).tolist()
    new = len(labels) if label is None else label
    if new in labels:
        raise OpenEOError("LabelExists", f"An element is labelled '{new}' already. Give another label in 'label'.")
    kinds = {isinstance(one, str) for one in [*labels, new]}
    named = np.asarray([*labels, new], dtype=object if len(kinds) > 1 else None)
    values = np.concatenate([data.data, np.asarray([np.nan if value is None else value])])
    return xr.DataArray(values, dims=data.dims, coords={data.dims[0]: named})


def _same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal, "data types MUST be checked strictly"; no-data equals nothing."""
    kinds = [(bool, np.bool_), (int, float, np.integer, np.floating), (str, np.str_), (np.datetime64,)]
    for kind in kinds:
        if isinstance(left, kind):
            return isinstance(right, kind) and (kind[0] is bool or not isinstance(right, bool)) and bool(left == right)
    return False


def _matches(values: Any, value: Any, axis: int) -> Any:
    """Return where elements equal `value`, which may itself be an array without the axis."""
    if _is_array(value):
        return values == (value if value.ndim == values.ndim else np.expand_dims(value, axis))
    value = value.item() if isinstance(value, np.generic | np.ndarray) else value
    kinds = {"b": bool, "U": str, "i": int | float, "u": int | float, "f": int | float}
    kind = kinds.get(values.dtype.kind)
    if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return np.zeros_like(values, dtype=bool)
    return values == value


def array_contains(data: Any, value: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Tell whether an array contains a value; "a no-data return value from `eq()` is handled as `false`"."""
    plain = _plain(data)
    if plain is not None and not _is_array(value):
        return any(_same(item, value) for item in plain)
    values, at, _ = _on_axis(np.asarray(plain) if plain is not None else data, axis, None, keepdims)
    found = _matches(values, value, at).any(axis=at, keepdims=keepdims)
    return bool(found) if isinstance(found, np.generic) else found


def array_find(data: Any, value: Any, reverse: bool = False, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the first (or last) element that equals `value`, "or null if there is no match"."""
    plain = _plain(data)
    if plain is not None and not _is_array(value):
        hits = [i for i, item in enumerate(plain) if _same(item, value)]
        return (hits[-1] if reverse else hits[0]) if hits else None
    values, at, _ = _on_axis(np.asarray(plain) if plain is not None else data, axis, None, keepdims)
    hits = _matches(values, value, at)
    place = np.where(hits, _positions(values.shape[at], at, values.ndim), -1 if reverse else values.shape[at])
    found = place.max(axis=at, keepdims=keepdims) if reverse else place.min(axis=at, keepdims=keepdims)
    return np.where(hits.any(axis=at, keepdims=keepdims), found, np.nan)


def array_labels(data: Any, axis: int | None = None, dim_labels: Any = None) -> Any:
    """Return the labels of a labelled array, 0, 1, 2, ... of any other; shaped to broadcast along the axis."""
    plain = _plain(data)
    if plain is not None:
        return list(range(len(plain)))
    values, at, labels = _on_axis(data, axis, dim_labels)
    if labels is None:
        return _positions(values.shape[at], at, values.ndim)
    return labels.reshape([-1 if i == at else 1 for i in range(values.ndim)])


def _call(process: Callback, x: Any, index: Any, label: Any, context: Any) -> Any:
    return process(
        x, positional_parameters={"x": 0}, named_parameters={"index": index, "label": label, "context": context}
    )


def _each(data: Any, process: Callback, context: Any, axis: int | None, dim_labels: Any) -> tuple[Any, Any, int, Any]:
    """Call an element-wise process once for a whole array; return its result, the array, its axis and labels."""
    values, at, labels = _on_axis(data, axis, dim_labels)
    index = _positions(values.shape[at], at, values.ndim)
    label = None if labels is None else labels.reshape(index.shape)
    result = _call(process, values, index, label, context)
    result = np.asarray(np.nan if result is None else result) if not isinstance(result, _ARRAYS) else result
    return result, values, at, labels


def array_apply(
    data: Any, process: Callback, context: Any = None, axis: int | None = None, dim_labels: Any = None
) -> Any:
    """Apply a process to each element; "the number of elements are the same as for the original array"."""
    plain = _plain(data)
    if plain is not None:
        return [_call(process, x, i, None, context) for i, x in enumerate(plain)]
    result, values, _, labels = _each(data, process, context, axis, dim_labels)
    return _labelled(spread(result, values.shape, chunks_of(values), "process"), labels, data)


def array_filter(
    data: Any, condition: Callback, context: Any = None, axis: int | None = None, dim_labels: Any = None
) -> Any:
    """Keep only the elements for which the condition returns `true`.

    A condition on `index` or `label` shortens the axis. One on the values of many pixels would shorten each pixel's
    array differently: there the other elements become no-data, which reducers ignore.
    """
    plain = _plain(data)
    if plain is not None:
        return [x for i, x in enumerate(plain) if _call(condition, x, i, None, context) in (True, np.True_)]
    result, values, at, labels = _each(data, condition, context, axis, dim_labels)
    wanted = np.equal(result, True).astype(bool)
    if isinstance(wanted, da.Array):
        return _masked(values, wanted)
    shared = _same_for_all(wanted, values.shape, at)
    if shared is None:
        return _masked(values, wanted)
    chosen = np.flatnonzero(shared)
    kept = values[(slice(None),) * at + (chosen,)]
    return _labelled(kept, None if labels is None else labels[chosen], data)


def _same_for_all(wanted: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray | None:
    """Return what a condition says along the axis, (n,), None if it says different things for different pixels."""
    full = np.moveaxis(np.broadcast_to(wanted, shape), axis, -1).reshape(-1, shape[axis])
    return full[0] if len(full) and (full == full[:1]).all() else None


def _masked(values: Any, wanted: Any) -> Any:
    """Return the values where wanted, else no-data; integers become floats for it."""
    library = da if isinstance(values, da.Array) or isinstance(wanted, da.Array) else np
    dtype = values.dtype if values.dtype.kind in "fc" else np.result_type(values.dtype, np.float32)
    return library.where(wanted, values.astype(dtype), np.array(np.nan, dtype))


def first(data: Any, ignore_nodata: bool = True, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the first element, by default the first that is not no-data; an empty array gives no-data."""
    return _end(data, ignore_nodata, axis, keepdims, last_one=False)


def last(data: Any, ignore_nodata: bool = True, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the last element, by default the last that is not no-data; an empty array gives no-data."""
    return _end(data, ignore_nodata, axis, keepdims, last_one=True)


def _end(data: Any, ignore_nodata: bool, axis: int | None, keepdims: bool, last_one: bool) -> Any:
    plain = _plain(data)
    if plain is not None:
        valid = [x for x in plain if not (ignore_nodata and _is_null(x))]
        return (valid[-1] if last_one else valid[0]) if valid else None
    values, at, _ = _on_axis(data, axis, None, keepdims)
    if values.shape[at] == 0:
        return _nothing(values, at, keepdims)
    if not ignore_nodata or values.dtype.kind in "iub":
        where = slice(-1, None) if last_one else slice(0, 1)
        return _single(values[(slice(None),) * at + (where,)], at, keepdims)

    def pick(block: Any) -> Any:
        block = np.flip(block, at) if last_one else block
        return np.take_along_axis(block, np.expand_dims((~_isnull(block)).argmax(axis=at), at), at)

    return _single(_along(pick, values, at, length=1), at, keepdims)


def count(
    data: Any, condition: Any = None, context: Any = None, axis: int | None = None, keepdims: bool = False
) -> Any:
    """Count elements: the valid ones by default, all for `true`, else those "only if the condition returns `true`"."""
    if condition is False:
        raise invalid("condition", "count", "false is no condition; leave it out, set it to true or give a process")
    plain = _plain(data)
    if plain is not None:
        return sum(_counts(x, condition, context) for x in plain)
    values, at, _ = _on_axis(data, axis, None, keepdims)
    if condition is True:
        wanted = np.ones_like(values, dtype=bool)
    elif condition is None:
        wanted = np.isfinite(values) if values.dtype.kind in "fc" else ~_isnull(values)
    else:
        result = condition(values, positional_parameters={"x": 0}, named_parameters={"context": context})
        result = result if isinstance(result, _ARRAYS) else np.asarray(result)
        wanted = spread(np.equal(result, True).astype(bool), values.shape, chunks_of(values), "condition")
    return wanted.sum(axis=at, keepdims=keepdims)


def _counts(x: Any, condition: Any, context: Any) -> bool:
    if condition is True:
        return True
    if condition is None:
        return x is not None and not (isinstance(x, float) and not np.isfinite(x))
    kept = condition(x, positional_parameters={"x": 0}, named_parameters={"context": context})
    return kept is not None and bool(np.equal(kept, True))


def order(data: Any, asc: bool = True, nodata: bool | None = None, axis: int | None = None) -> Any:
    """Return the permutation that sorts an array; ties keep their order.

    No-data goes to the end (`nodata` true) or to the start (false); null removes it from lists. Along an axis of a
    cube, where all pixels keep the same length, null means no-data instead of the positions, at the end.
    """
    plain = _plain(data)
    if plain is not None:
        return _order_list(plain, asc, nodata)
    values, at, _ = _on_axis(data, axis, None)
    permutation = _along(lambda block: _order_block(block, at, asc, nodata), values, at, dtype=np.int64)
    if nodata is not None or values.dtype.kind in "iub":
        return permutation
    valid = (~_isnull(values)).sum(axis=at, keepdims=True)
    if values.ndim == 1 and not isinstance(values, da.Array):
        return permutation[: int(valid[0])]
    return _masked(permutation.astype(float), _positions(values.shape[at], at, values.ndim) < valid)


def _order_list(items: list[Any], asc: bool, nodata: bool | None) -> list[int]:
    null = [i for i, x in enumerate(items) if _is_null(x)]
    valid = [i for i in range(len(items)) if i not in set(null)]
    # Sorting in reverse keeps the order of ties, too.
    valid.sort(key=lambda i: items[i], reverse=not asc)
    return valid if nodata is None else valid + null if nodata else null + valid


def _order_block(block: Any, axis: int, asc: bool, nodata: bool | None) -> Any:
    """Return the permutation of one block with all of its axis; no-data at the end unless `nodata` is false."""
    null = _isnull(block)
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
    plain, positions = _plain(data), _plain(order)
    if plain is not None:
        return [plain[int(i)] for i in (positions if positions is not None else np.asarray(order).tolist())]
    values, at, _ = _on_axis(data, axis, None)
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
    return _masked(np.take_along_axis(values, np.where(null, 0, order).astype(np.int64), axis), ~null)


def sort(data: Any, asc: bool = True, nodata: bool | None = None, axis: int | None = None) -> Any:
    """Return the sorted array; no-data as in `order()`, removed from lists, at the end along an axis of a cube."""
    plain = _plain(data)
    if plain is not None:
        return [plain[i] for i in _order_list(plain, asc, nodata)]
    values, at, _ = _on_axis(data, axis, None)
    if values.ndim == 1 and not isinstance(values, da.Array) and nodata is None:
        values = values[~_isnull(values)]
    return _along(lambda b: np.take_along_axis(b, _order_block(b, at, asc, nodata), at), values, at)
