"""Arrays put together and searched. See `_axes` for what arrays are."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.overrides._axes import (
    is_array,
    labelled,
    nothing,
    on_axis,
    plain_list,
    positions,
    single,
)
from processes.overrides._dims import da
from processes.overrides.elementwise import holding
from processes.overrides.logic import plain_value

_MOST_ELEMENTS = 10_000_000


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
    plain = plain_list(data)
    if plain is not None:
        values, at, labels = np.empty(len(plain)), 0, None
    else:
        values, at, labels = on_axis(data, axis, dim_labels, keepdims)
    length = values.shape[at]
    position = _index_of(label, labels) if label is not None else index
    if position is None or not 0 <= position < length:
        if not return_nodata:
            raise _unavailable(index, label, labels, length)
        return None if plain is not None else nothing(values, at, keepdims)
    if plain is not None:
        return plain[int(position)]
    return single(values[(slice(None),) * at + (slice(int(position), int(position) + 1),)], at, keepdims)


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
    plain = plain_list(items)
    if plain is not None:
        _refuse_endless(len(plain), repeat)
        return plain * repeat
    values, at, _ = on_axis(items, axis, None, keepdims)
    _refuse_endless(values.size, repeat)
    return np.concatenate([values] * repeat, axis=at) if repeat > 1 else values


def _refuse_endless(size: int, repeat: int) -> None:
    """Refuse what would fill the memory before anyone can see what it costs."""
    if max(size, 1) * repeat > _MOST_ELEMENTS:
        reason = f"{repeat} times {size} elements are more than {_MOST_ELEMENTS}; repeat less often"
        raise invalid("repeat", "array_create", reason)


def array_concat(array1: Any, array2: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Append the second array to the first.

    "Array labels are kept only if both given arrays are labeled." Lists keep the type of each element. `OpenEOError`
    ArrayLabelConflict if a label is in both.
    """
    plain1, plain2 = plain_list(array1), plain_list(array2)
    if plain1 is not None and plain2 is not None:
        return plain1 + plain2
    if plain1 is not None or plain2 is not None:
        other, at, _ = on_axis(array2 if plain1 is not None else array1, axis, None, keepdims)
        whole = [_constants(p, other, at) if p is not None else other for p in (plain1, plain2)]
        return np.concatenate(whole, axis=at)
    first, at, labels1 = on_axis(array1, axis, None, keepdims)
    second, _, labels2 = on_axis(array2, axis, None, keepdims)
    joined = _concatenate([first, second], at)
    if labels1 is None or labels2 is None:
        return joined
    if both := set(labels1.tolist()) & set(labels2.tolist()):
        raise OpenEOError(
            "ArrayLabelConflict",
            f"The label(s) {', '.join(map(str, both))} are in 'array1' and in 'array2'. Rename them in one.",
        )
    return labelled(joined, np.concatenate([labels1, labels2]), array1)


def _concatenate(parts: list[Any], axis: int) -> Any:
    """Return arrays joined along an axis; those that are the same for all pixels are repeated for each."""
    rest = np.broadcast_shapes(*((*part.shape[:axis], 1, *part.shape[axis + 1 :]) for part in parts))
    shapes = [(*rest[:axis], part.shape[axis], *rest[axis + 1 :]) for part in parts]
    library = da if any(isinstance(part, da.Array) for part in parts) else np
    full = [part if part.shape == s else library.broadcast_to(part, s) for part, s in zip(parts, shapes, strict=True)]
    return library.concatenate(full, axis=axis)


def _constants(items: list[Any], like: Any, axis: int) -> Any:
    """Return a list as an axis of an array shaped like `like`."""
    plain = [np.nan if item is None else plain_value(item) for item in items]
    numbers = like.dtype.kind in "biuf" and all(isinstance(item, int | float) for item in plain)
    values = np.asarray(plain, holding(like.dtype, *plain) if numbers else None)
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
    plain = plain_list(data)
    if plain is not None and not is_array(value):
        return [*plain, value]
    if plain is not None:
        return array_create([*plain, value], axis=axis, keepdims=keepdims)
    values, at, _ = on_axis(data, axis, None, keepdims)
    if not is_array(value):
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
    if is_array(value):
        return values == (value if value.ndim == values.ndim else np.expand_dims(value, axis))
    value = value.item() if isinstance(value, np.generic | np.ndarray) else value
    kinds = {"b": bool, "U": str, "i": int | float, "u": int | float, "f": int | float}
    kind = kinds.get(values.dtype.kind)
    if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return np.zeros_like(values, dtype=bool)
    return values == value


def array_contains(data: Any, value: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Tell whether an array contains a value; "a no-data return value from `eq()` is handled as `false`"."""
    plain = plain_list(data)
    if plain is not None and not is_array(value):
        return any(_same(item, value) for item in plain)
    if plain is not None:  # is the value of each pixel among constants?
        return reduce(np.logical_or, (_matches(value, item, 0) for item in plain), np.zeros_like(value, dtype=bool))
    values, at, _ = on_axis(data, axis, None, keepdims)
    found = _matches(values, value, at).any(axis=at, keepdims=keepdims)
    return bool(found) if isinstance(found, np.generic) else found


def array_find(data: Any, value: Any, reverse: bool = False, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the first (or last) element that equals `value`, "or null if there is no match"."""
    plain = plain_list(data)
    if plain is not None and not is_array(value):
        hits = [i for i, item in enumerate(plain) if _same(item, value)]
        return (hits[-1] if reverse else hits[0]) if hits else None
    if plain is not None:
        return _find_among(plain, value, reverse)
    values, at, _ = on_axis(data, axis, None, keepdims)
    if not values.shape[at]:
        return nothing(values, at, keepdims)
    hits = _matches(values, value, at)
    place = np.where(hits, positions(values.shape[at], at, values.ndim), -1 if reverse else values.shape[at])
    found = place.max(axis=at, keepdims=keepdims) if reverse else place.min(axis=at, keepdims=keepdims)
    return np.where(hits.any(axis=at, keepdims=keepdims), found, np.nan)


def _find_among(constants: list[Any], value: Any, reverse: bool) -> Any:
    """Return, for the value of each pixel, where it is among constants: an array like `value`."""
    library: Any = da if isinstance(value, da.Array) else np
    found = library.full_like(value, np.nan, dtype=np.float64)
    places = range(len(constants)) if reverse else reversed(range(len(constants)))
    for place in places:  # what is found last stands
        found = library.where(_matches(value, constants[place], 0), float(place), found)
    return found


def array_labels(data: Any, axis: int | None = None, dim_labels: Any = None) -> Any:
    """Return the labels of a labelled array, 0, 1, 2, ... of any other; shaped to broadcast along the axis."""
    plain = plain_list(data)
    if plain is not None:
        return list(range(len(plain)))
    values, at, labels = on_axis(data, axis, dim_labels)
    if labels is None:
        return positions(values.shape[at], at, values.ndim)
    return labels.reshape([-1 if i == at else 1 for i in range(values.ndim)])
