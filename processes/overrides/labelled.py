"""Arrays with labels: made, searched, modified and joined.

A labelled array is what callbacks get along a dimension: a `PerPixel` with labels. Made of constants, it is the same
for all pixels and has no dimension but its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.graph.pixels import PerPixel, aligned, array_of, common_dims, has_pixels
from processes.overrides import arrays
from processes.overrides._axes import on_axis, plain_list
from processes.overrides.cubes import labels_array
from processes.overrides.elementwise import holding
from processes.sources import parse_instant


def array_create_labeled(data: Any, labels: Any) -> PerPixel:
    """Return an array with the values of `data` and with `labels`; ArrayLengthMismatch if these are not as many."""
    if not isinstance(data, PerPixel | list | tuple | np.ndarray):
        raise invalid("data", "array_create_labeled", f"it must be an array, not {data!r}")
    values, names = array_of(data), _label_list(labels)
    if len(values) != len(names):
        raise OpenEOError(
            "ArrayLengthMismatch",
            f"'array_create_labeled' got {len(values)} values in 'data' and {len(names)} in 'labels'; "
            "give one label for each value.",
        )
    if len(set(names)) != len(names):
        raise invalid("labels", "array_create_labeled", f"{', '.join(map(str, names[:20]))} are not all different")
    return replace(values, labels=labels_array(names))


array_create_labeled.takes_pixels = True  # type: ignore[attr-defined]


def _label_list(labels: Any) -> list[Any]:
    """Return labels as a list; they may come from ``array_labels``, as values that are the same for all pixels."""
    if not isinstance(labels, PerPixel):
        return list(labels)
    variable = labels.variable.squeeze([dim for dim in labels.variable.dims if dim != labels.dim])
    if variable.dims != (labels.dim,):
        raise invalid("labels", "array_create_labeled", "the labels must be the same for all pixels")
    return _plain_labels(variable.to_numpy())


def array_find_label(data: Any, label: float | str, axis: int | None = None, dim_labels: Any = None) -> int | None:
    """Return the index of a label, null if it "doesn't exist or the array is not labeled"."""
    if plain_list(data) is not None:
        return None
    _, _, labels = on_axis(data, axis, dim_labels)
    if labels is None:
        return None
    found = np.flatnonzero(_equals(labels, label))
    return int(found[0]) if len(found) else None


def _equals(labels: NDArray[Any], label: float | str) -> NDArray[np.bool_]:
    """Tell which labels are the one asked for; numbers are no texts, dates may be written in any ISO 8601 way."""
    if labels.dtype.kind == "M":
        return np.asarray(labels == _date(label))
    return np.array([isinstance(one, str) == isinstance(label, str) and one == label for one in labels.tolist()], bool)


def _date(label: float | str) -> np.datetime64:
    try:
        return parse_instant(label, "label", "array_find_label")
    except OpenEOError:
        return np.datetime64("NaT")


def array_modify(data: Any, values: Any, index: int, length: int = 0) -> Any:
    """Return the array with `length` elements from `index` on replaced by `values`.

    "Array labels are kept only if both arrays given in `data` and `values` are labeled or one of them is empty."

    Raises
    ------
    OpenEOError
        ArrayElementNotAvailable if `index` is larger than the array, ArrayLabelConflict if both have a label.
    """
    count = len(data)
    if index > count:
        raise OpenEOError(
            "ArrayElementNotAvailable",
            f"'array_modify' got the index {index} for an array of {count} elements; give one from 0 to {count}.",
        )
    end = min(index + length, count)
    if not has_pixels(data) and not has_pixels(values):
        plain = list(data)
        return [*plain[:index], *values, *plain[end:]]
    return _spliced(array_of(data), array_of(values), index, end, "'data' and in 'values' of 'array_modify'")


array_modify.takes_pixels = True  # type: ignore[attr-defined]


def array_append(
    data: Any, value: Any, label: float | str | None = None, axis: int | None = None, keepdims: bool = False
) -> Any:
    """Append a value, with a label if the array has some, by default "the natural next array index as number".

    `axis` and `keepdims` are for plain arrays, see `_axes`.

    Raises
    ------
    OpenEOError
        LabelExists, ArrayNotLabeled (a label for an array without any).
    """
    if not has_pixels(data) and not has_pixels(value):
        return arrays.array_append(data, value, label, axis, keepdims)
    array = array_of(data)
    added = value if isinstance(value, PerPixel) and value.dim is not None else array_of([value])
    if array.labels is not None:
        added = replace(added, labels=_next_label(array.labels, label))
    elif label is not None:
        message = f"'array_append' got the label '{label}' but the array has no labels. Leave it out."
        raise OpenEOError("ArrayNotLabeled", message)
    return _spliced(array, added, len(array), len(array), "'data' of 'array_append' already")


array_append.takes_pixels = True  # type: ignore[attr-defined]


def array_concat(array1: Any, array2: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Append the second array to the first; "labels are kept only if both given arrays are labeled".

    `axis` and `keepdims` are for plain arrays, see `_axes`.

    Raises
    ------
    OpenEOError
        ArrayLabelConflict if a label is in both.
    """
    if not has_pixels(array1) and not has_pixels(array2):
        return arrays.array_concat(array1, array2, axis, keepdims)
    first, second = array_of(array1), array_of(array2)
    if first.labels is None or second.labels is None:
        first, second = replace(first, labels=None), replace(second, labels=None)
    return _spliced(first, second, len(first), len(first), "'array1' and in 'array2' of 'array_concat'")


array_concat.takes_pixels = True  # type: ignore[attr-defined]


def _next_label(labels: NDArray[Any], label: float | str | None) -> NDArray[Any]:
    """Return the label of one more element, a date among dates."""
    new = len(labels) if label is None else label
    if _equals(labels, new).any():
        raise OpenEOError("LabelExists", f"An element is labelled '{new}' already. Give another label in 'label'.")
    date = _date(new) if labels.dtype.kind == "M" else np.datetime64("NaT")
    return np.asarray(labels_array([new])) if np.isnat(date) else np.array([date])


def _spliced(array: PerPixel, added: PerPixel, start: int, end: int, where: str) -> PerPixel:
    """Return the array with `added` in place of the elements from `start` to `end`.

    `where` says in a message which two arrays must not have the same label.
    """
    labels = _labels(array, added, start, end, where)
    dim = str(array.dim)
    parts = [_part(array, 0, start), added.rename(dim), _part(array, end, len(array))]
    joined = _joined([part for part in parts if len(part)] or parts[:1], dim)
    return replace(joined, labels=labels)


def _part(array: PerPixel, start: int, end: int) -> PerPixel:
    return PerPixel(array.variable.isel({array.dim: slice(start, end)}), array.dim)


def _joined(parts: Sequence[PerPixel], dim: str) -> PerPixel:
    """Return arrays one after the other; what is the same for all pixels is repeated, and does not widen the type."""
    variables = [part.variable for part in parts]
    dims = (*(d for d in common_dims(variables) if d != dim), dim)
    rest = {d: max(v.sizes.get(d, 1) for v in variables) for d in dims if d != dim}
    dtype = _common_type(variables)
    whole = [aligned(v, {**rest, dim: v.sizes[dim]}).data.astype(dtype) for v in variables]
    library = da if any(isinstance(one, da.Array) for one in whole) else np
    return PerPixel(xr.Variable(dims, library.concatenate(whole, axis=-1)), dim)


def _common_type(variables: Sequence[xr.Variable]) -> np.dtype[Any]:
    """Return the type that holds all elements; elements that are no numbers stay what they are."""
    pixels = [v.dtype for v in variables if v.ndim > 1]
    kinds = {"n" if v.dtype.kind in "iuf" else v.dtype.kind for v in variables}
    if len(kinds) > 1:
        return np.dtype(object)
    if not pixels or kinds != {"n"}:
        return np.result_type(*(v.dtype for v in variables))
    return holding(np.result_type(*pixels), *(x for v in variables if v.ndim == 1 for x in v.to_numpy().tolist()))


def _labels(array: PerPixel, added: PerPixel, start: int, end: int, where: str) -> NDArray[Any] | None:
    """Return the labels of a modified array, None where they are lost."""
    ours, theirs = array.labels, added.labels
    if not len(added):
        return None if ours is None else np.concatenate([ours[:start], ours[end:]])
    if not len(array):
        return theirs
    if ours is None or theirs is None:
        return None
    both = [label for label in theirs.tolist() if label in ours.tolist()]
    if both:
        raise OpenEOError(
            "ArrayLabelConflict",
            f"The label(s) {', '.join(map(str, both))} are in {where}; rename them.",
        )
    parts = [ours[:start], theirs, ours[end:]]
    if ours.dtype.kind == theirs.dtype.kind:
        return np.concatenate(parts)
    return np.asarray(labels_array([label for part in parts for label in _plain_labels(part)]))


def _plain_labels(labels: NDArray[Any]) -> list[Any]:
    """Return labels as texts and numbers; dates as text."""
    if labels.dtype.kind == "M":
        return [f"{text}Z" for text in np.datetime_as_string(labels, unit="s")]
    return list(labels.tolist())
