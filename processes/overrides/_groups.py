"""Groups of labels of a temporal dimension, each reduced to one."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import xarray as xr

from processes.overrides._dims import (
    Callback,
    da,
    rebuild,
    reduce_axis,
    within,
)


def aggregate_groups(
    cube: xr.DataArray, t: str, groups: list[np.ndarray], names: np.ndarray, reducer: Callback, context: Any
) -> xr.DataArray:
    """Reduce each group of labels of `t`; the results stand in its place, labelled `names`."""
    axis, labels = cube.get_axis_num(t), np.asarray(cube[t].values)
    coords, parts = cube.coords.to_dataset(), []
    for empty, run in groupby(groups, key=lambda group: not len(group)):
        if empty:
            parts.append(_no_data(cube, axis, len(list(run)), reducer, context))
            continue
        for group in run:
            chosen = _take(cube.data, group, axis)
            called = within(reducer, cube.dims, coords.isel({t: group}).variables)
            parts.append(np.expand_dims(reduce_axis(chosen, called, axis, labels[group], context), axis))
    join = da.concatenate if isinstance(cube.data, da.Array) else np.concatenate
    return rebuild(cube, join(parts, axis=axis), map(str, cube.dims), {t: names})


def _take(values: Any, group: np.ndarray, axis: int) -> Any:
    """Return the elements at ascending positions; a slice where they are neighbours, which spares Dask a shuffle."""
    run = group[-1] - group[0] + 1 == len(group)
    chosen = slice(int(group[0]), int(group[-1]) + 1) if run else group
    return values[(slice(None),) * axis + (chosen,)]


def _no_data(cube: xr.DataArray, axis: int, count: int, reducer: Callback, context: Any) -> Any:
    """Return what the reducer makes of no data, `count` times along `axis`.

    It gets one no-data value, since many reducers cannot take an axis of length 0: null for mean, 0 for count.
    """
    template = _take(cube.data, np.array([0]), axis)
    dtype = cube.dtype if cube.dtype.kind in "fc" else np.result_type(cube.dtype, np.float32)
    full = da.full if isinstance(template, da.Array) else np.full
    chunks = {"chunks": template.chunks} if isinstance(template, da.Array) else {}
    label = np.array(["NaT"], "datetime64[ns]")
    coords = {name: coord for name, coord in cube.coords.items() if cube.dims[axis] not in coord.dims}
    called = within(reducer, cube.dims, {**coords, cube.dims[axis]: xr.Variable(cube.dims[axis], label)})
    result = reduce_axis(full(template.shape, np.nan, dtype=dtype, **chunks), called, axis, label, context)
    single = np.expand_dims(result, axis)
    broadcast = da.broadcast_to if isinstance(single, da.Array) else np.broadcast_to
    return broadcast(single, (*single.shape[:axis], count, *single.shape[axis + 1 :]))
