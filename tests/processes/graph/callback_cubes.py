"""Callbacks of several nodes, the cube that they are tried on, and what plain NumPy makes of it."""

from __future__ import annotations

from collections.abc import Callable

import dask
import numpy as np
import xarray as xr

from tests.processes.graph.graphs import (
    callback,
    node,
    of,
    param,
    values,
)

Build = Callable[..., xr.DataArray]
A = values(12, 3, 6, 5)
CHUNKS = [(12, 3, 6, 5), (5, 2, 4, 3), (1, 1, 6, 5)]
DATA = param("data")
SPREAD = callback(
    high=node("max", data=DATA), low=node("min", data=DATA), d=node("subtract", x=of("high"), y=of("low"))
)
ANOMALY = callback(mean=node("mean", data=DATA), d=node("subtract", x=DATA, y=of("mean")))
LINE = callback(double=node("multiply", x=param("x"), y=2), plus=node("add", x=of("double"), y=1))
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[500_000, 5_649_960], [500_030, 5_649_960], [500_030, 5_650_000], [500_000, 5_650_000]]],
    "crs": {"type": "name", "properties": {"name": "EPSG:32631"}},
}
POLYGON["coordinates"][0].append(POLYGON["coordinates"][0][0])  # type: ignore[index]


def spread(array: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.nanmax(array, axis) - np.nanmin(array, axis)


def close(actual: xr.DataArray, expected: np.ndarray) -> None:
    assert dask.is_dask_collection(actual)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual.values, expected, rtol=1e-5, atol=1e-6)
