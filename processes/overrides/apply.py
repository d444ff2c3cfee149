"""Processes applied to values, to all values along a dimension, and to neighbourhoods."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import (
    Callback,
    as_values,
    chunks_of,
    da,
    dates_of,
    is_temporal,
    labels_of,
    rebuild,
    require_cube,
    require_dimension,
    spatial_dimensions,
    spread,
    within,
)

# Each window is one call of the callback and so one branch of the task graph.
MAX_WINDOWS = 4096

# Per dimension a number of labels or a duration.
Measures = dict[str, Any]

DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def apply(data: xr.DataArray, process: Callback, context: Any = None) -> xr.DataArray:
    """Apply a process to each value.

    "The dimension properties (name, type, labels, reference system and resolution) remain unchanged."
    """
    cube = require_cube(data, "apply")
    called = within(process, cube.dims, cube.coords)
    result = called(cube.data, positional_parameters={"x": 0}, named_parameters={"context": context})
    values = spread(as_values(result), cube.shape, chunks_of(cube.data), "process")
    return rebuild(cube, values, map(str, cube.dims))


def apply_dimension(
    data: xr.DataArray,
    process: Callback,
    dimension: str,
    target_dimension: str | None = None,
    context: Any = None,
) -> xr.DataArray:
    """Apply a process to all values along a dimension.

    "The dimension labels are preserved when the target dimension is the source dimension and the number of values in
    the source dimension is equal to the number of values computed by the process. Otherwise, the dimension labels
    will be incrementing integers starting from zero", unless users' code has given labels of its own. `OpenEOError`
    DimensionNotAvailable if the dimension lacks.
    """
    cube = require_cube(data, "apply_dimension")
    source = require_dimension(cube, dimension, "apply_dimension")
    target = source if target_dimension is None else target_dimension
    if target != source:
        cube = _without_target(cube, target)
    ordered = cube.transpose(..., source)
    called = within(process, ordered.dims, ordered.coords)
    values = _along_last(ordered.data, called, labels_of(ordered, source), context)
    dims = [target if d == source else str(d) for d in cube.dims]
    kept = target == source and values.shape[-1] == cube.sizes[source]
    labels = {} if kept else {target: np.arange(values.shape[-1])}
    told = getattr(called, "labels", {}).get(source)
    labels = labels if told is None or len(told) != values.shape[-1] else {target: told}
    order = [*(str(d) for d in ordered.dims[:-1]), target]
    return rebuild(ordered, values, order, labels).transpose(*dims)


def _without_target(cube: xr.DataArray, target: str) -> xr.DataArray:
    """Return the cube without the target dimension, which may have one label only."""
    if cube.sizes.get(target, 1) > 1:
        raise invalid(
            "target_dimension",
            "apply_dimension",
            f"dimension '{target}' exists with {cube.sizes[target]} labels; name a new one or one with a single label",
        )
    return cube.squeeze(target, drop=True) if target in cube.dims else cube


def _along_last(values: Any, process: Callback, labels: np.ndarray, context: Any) -> Any:
    """Call `process` for the last axis; its result keeps that axis, of any length.

    `keepdims` is true so that `subtract(data, mean(data))` broadcasts as the same expression on lists would.
    """
    axis = values.ndim - 1
    result = as_values(
        process(
            values,
            positional_parameters={"data": 0},
            named_parameters={"context": context},
            axis=axis,
            keepdims=True,
            dim_labels=labels,
        )
    )
    lead = values.shape[:-1]
    if result.ndim == axis and result.shape == lead and axis > 0:
        # A reducer dropped the axis: one value.
        result = result[..., np.newaxis]
    length = result.shape[-1] if result.ndim else 1
    if length == 0:
        raise invalid("process", "apply_dimension", "it returned an empty array; it must return at least one element")
    chunks = chunks_of(values)
    return spread(result, (*lead, length), None if chunks is None else (*chunks[:-1], (length,)), "process")


def apply_neighborhood(
    data: xr.DataArray,
    process: Callback,
    size: Sequence[Mapping[str, Any]],
    overlap: Sequence[Mapping[str, Any]] | None = None,
    context: Any = None,
) -> xr.DataArray:
    """Apply a process to windows of `size` that see `overlap` more on each side.

    "The overlap region must be included in the data cube or array returned by `process`, but any changed values will
    be ignored. The missing overlap at the borders of the original data cube is made available as no-data values." The
    callback's `data` is a cube; "if the given size and overlap result in a one-dimensional data cube it is converted
    to a labeled array". Windows at the far edge may be smaller than `size`; those of a duration begin on the first day
    and hold what dates there are, without no-data beyond.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, DataCubePropertiesImmutable, ProcessParameterInvalid (sizes, units, too many windows).
    """
    cube = require_cube(data, "apply_neighborhood")
    spatial_dimensions(cube)
    sizes: Measures = {str(d): cube.sizes[d] for d in cube.dims} | _measures(cube, size, "size")
    depth: Measures = dict.fromkeys(sizes, 0) | _measures(cube, overlap or [], "overlap")
    long = [d for d in sizes if sizes[d] != 1 or depth[d] != 0]
    if not long or (len(long) == 1 and depth[long[0]] == 0 and sizes[long[0]] == cube.sizes[long[0]]):
        return _as_series(cube, process, long[0] if long else str(cube.dims[-1]), context)
    return _windows(cube, process, sizes, depth, context)


def _as_series(cube: xr.DataArray, process: Callback, dimension: str, context: Any) -> xr.DataArray:
    """One-dimensional neighbourhoods of all values of a dimension: one call for all of them."""
    result = apply_dimension(cube, within(process, (), {}, keeps_size=True), dimension, context=context)
    if result.sizes != cube.sizes:
        raise _changed(dict(cube.sizes), dict(result.sizes))
    return result


def _windows(cube: xr.DataArray, process: Callback, sizes: Measures, depth: Measures, context: Any) -> xr.DataArray:
    spans = [_spans(cube, str(d), sizes[str(d)], depth[str(d)]) for d in cube.dims]
    shape = tuple(len(s) for s in spans)
    if np.prod(shape) > MAX_WINDOWS:
        raise invalid(
            "size",
            "apply_neighborhood",
            f"it makes {int(np.prod(shape))} windows, at most {MAX_WINDOWS} are possible; ask for larger windows",
        )
    padded = _padded(cube, {d: n if isinstance(n, int) else 0 for d, n in depth.items()})
    blocks = np.empty(shape, dtype=object)
    for index, window in zip(np.ndindex(shape), itertools.product(*spans), strict=True):
        outer = dict(zip(cube.dims, (w[0] for w in window), strict=True))
        blocks[index] = _one_window(padded.isel(outer), process, context)[tuple(w[1] for w in window)]
    join = da.block if isinstance(cube.data, da.Array) else np.block
    return rebuild(cube, join(blocks.tolist()), map(str, cube.dims))


def _spans(cube: xr.DataArray, dimension: str, size: Any, depth: Any) -> list[tuple[slice, slice]]:
    """Return the windows along a dimension: where they lie in the padded cube, and what in them is not overlap."""
    if isinstance(size, int):
        ends = [(begin, min(begin + size, cube.sizes[dimension])) for begin in range(0, cube.sizes[dimension], size)]
        return [(slice(a, b + 2 * depth), slice(depth, depth + b - a)) for a, b in ends]
    dates = pd.DatetimeIndex(dates_of(cube, dimension))
    if not dates.is_monotonic_increasing:
        raise invalid(
            "size", "apply_neighborhood", f"the dates of '{dimension}' do not ascend; give a number of labels"
        )
    spans, start = [], dates[0].normalize()
    while start <= dates[-1]:
        end = start + size
        a, b = dates.searchsorted([start, end])
        first, last = dates.searchsorted([start - depth, end + depth]) if depth != 0 else (a, b)
        if b > a:
            spans.append((slice(int(first), int(last)), slice(int(a - first), int(b - first))))
        start = end
    return spans


def _one_window(window: xr.DataArray, process: Callback, context: Any) -> Any:
    """Call `process` for one window and return its values, overlap included."""
    named = {"context": context}
    long = [d for d in window.dims if window.sizes[d] > 1]
    if len(long) == 1:
        # One-dimensional: a labelled array, its axis last.
        flat = window.squeeze([d for d in window.dims if d not in long])
        labels = labels_of(window, str(long[0]))
        called = within(process, flat.dims, flat.coords, keeps_size=True)
        result = called(
            flat.data,
            positional_parameters={"data": 0},
            named_parameters=named,
            axis=0,
            keepdims=True,
            dim_labels=labels,
        )
        values = as_values(result)
        values = values.reshape(window.shape) if values.size == window.size else values
    else:
        result = process(window, positional_parameters={"data": 0}, named_parameters=named)
        if isinstance(result, xr.DataArray) and set(result.dims) == set(window.dims):
            result = result.transpose(*window.dims)
        values = as_values(result)
    if values.ndim == 0:
        values = spread(values, window.shape, chunks_of(window.data), "process")
    if values.shape != window.shape:
        raise _changed(dict(window.sizes), values.shape)
    return values


def _padded(cube: xr.DataArray, depth: dict[str, int]) -> xr.DataArray:
    """Return the cube with `depth` no-data values on each side; integers become floats for it."""
    if not any(depth.values()):
        return cube
    dtype = cube.dtype if cube.dtype.kind in "fc" else np.result_type(cube.dtype, np.float32)
    values = cube.data.astype(dtype)
    widths = [(depth[str(d)],) * 2 for d in cube.dims]
    pad = da.pad if isinstance(values, da.Array) else np.pad
    labels = {str(d): _padded_labels(labels_of(cube, str(d)), depth[str(d)]) for d in cube.dims if depth[str(d)]}
    return rebuild(cube, pad(values, widths, constant_values=np.nan), map(str, cube.dims), labels)


def _padded_labels(labels: np.ndarray, n: int) -> np.ndarray:
    """Return labels continued at their own step on both sides; text is continued by empty text."""
    if labels.dtype.kind in "iufM" and len(labels) > 1:
        before = labels[0] - (labels[1] - labels[0]) * np.arange(n, 0, -1)
        after = labels[-1] + (labels[-1] - labels[-2]) * np.arange(1, n + 1)
        return np.concatenate([before, labels, after])
    if labels.dtype.kind in "iufM":
        return np.concatenate([labels.repeat(n), labels, labels.repeat(n)])
    return np.concatenate([[""] * n, labels, [""] * n])


def _measures(cube: xr.DataArray, measures: Sequence[Mapping[str, Any]], parameter: str) -> Measures:
    """Return `size` or `overlap` per dimension: numbers of labels, or durations along time."""
    result: Measures = {}
    for measure in measures:
        name = require_dimension(cube, measure.get("dimension"), "apply_neighborhood", parameter)
        value, unit = measure.get("value"), measure.get("unit")
        if isinstance(value, str) and is_temporal(cube, name):
            result[name] = _duration(value, parameter)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            result[name] = _labels(cube, name, value, unit, parameter)
        elif value is not None:
            raise invalid(parameter, "apply_neighborhood", f"'{value}' is no number of labels of '{name}'")
    return result


def _labels(cube: xr.DataArray, name: str, value: float, unit: str | None, parameter: str) -> int:
    count = round(value if unit == "px" or name not in spatial_dimensions(cube) else value / _step(cube, name, unit))
    if count < (1 if parameter == "size" else 0):
        raise invalid(parameter, "apply_neighborhood", f"{value} for dimension '{name}' is too small")
    return min(count, cube.sizes[name]) if parameter == "size" else count


def _duration(text: str, parameter: str) -> Any:
    """Return an ISO 8601 duration such as P5D or P1M as a step of the calendar."""
    match = DURATION.fullmatch(text)
    units = {} if match is None else {unit: float(n) for unit, n in match.groupdict().items() if n}
    if not any(units.values()):
        raise invalid(parameter, "apply_neighborhood", f"'{text}' is no duration above zero; write, say, P5D")
    return pd.DateOffset(**{unit: int(n) if n.is_integer() else n for unit, n in units.items()})


def _step(cube: xr.DataArray, dimension: str, unit: str | None) -> float:
    """Return the pixel size, in metres or, without a unit, in that of the reference system."""
    crs = cube.odc.crs
    if unit == "m" and crs is not None and not crs.projected:
        raise invalid("size", "apply_neighborhood", f"the cube is in {crs}, not in metres; give sizes in px")
    labels = labels_of(cube, dimension)
    return abs(float(labels[1] - labels[0])) if len(labels) > 1 else 1.0


def _changed(expected: Any, found: Any) -> OpenEOError:
    return OpenEOError(
        "DataCubePropertiesImmutable",
        f"The value passed for parameter 'process' in 'apply_neighborhood' returned {found} where {expected} went in. "
        "Let it keep all dimensions and labels, the overlap included.",
    )
