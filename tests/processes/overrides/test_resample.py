"""Resampling of x and y and of dates; lazy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides.resample import resample_cube_spatial, resample_cube_temporal, resample_spatial
from tests.processes.graph.graphs import cube, values

A = values(3, 2, 8, 6, missing=0)


@pytest.fixture
def data() -> xr.DataArray:
    return cube(A, (1, 2, 4, 3))


def test_half_the_resolution_averages(data: xr.DataArray) -> None:
    result = resample_spatial(data, resolution=20, method="average")
    assert dask.is_dask_collection(result)
    assert result.dims == data.dims
    assert (result.odc.crs, result.dtype) == (data.odc.crs, np.float32)
    np.testing.assert_allclose(result.x[:2], [500_010, 500_030])
    np.testing.assert_allclose(result.y[:2], [5_649_990, 5_649_970])
    expected = A.reshape(3, 2, 4, 2, 3, 2).mean((3, 5))
    np.testing.assert_allclose(result.values, expected, rtol=1e-5, atol=1e-6)


def test_two_resolutions(data: xr.DataArray) -> None:
    result = resample_spatial(data, resolution=[30, 20])
    assert (result.sizes["x"], result.sizes["y"]) == (2, 4)


@pytest.mark.parametrize(
    ("align", "x", "y"),
    [
        ("upper-left", 500_020, 5_649_980),
        ("lower-left", 500_020, 5_649_980),
        ("upper-right", 500_000, 5_649_980),
        ("lower-right", 500_000, 5_649_980),
    ],
)
def test_the_corner_that_stays(data: xr.DataArray, align: str, x: float, y: float) -> None:
    result = resample_spatial(data, resolution=40, align=align)
    assert dict(result.sizes) == {"t": 3, "bands": 2, "y": 2, "x": 2}
    assert (float(result.x[0]), float(result.y[0])) == (x, y)


def test_another_projection_and_back(data: xr.DataArray) -> None:
    there = resample_spatial(data, projection=4326)
    assert there.dims == data.dims
    assert there.odc.crs == "EPSG:4326"
    back = resample_cube_spatial(there, data)
    np.testing.assert_array_equal(back.x, data.x)
    np.testing.assert_array_equal(back.y, data.y)
    inner = np.s_[:, :, 2:-2, 2:-2]
    assert (np.abs(back.values - A)[inner] == 0).mean() > 0.5


def test_nothing_asked_for_is_an_error(data: xr.DataArray) -> None:
    with pytest.raises(OpenEOError, match="set one of them"):
        resample_spatial(data)


def test_outside_of_the_cube_there_is_no_data(data: xr.DataArray) -> None:
    result = resample_cube_spatial(data.isel(x=slice(0, 3)).astype("uint8"), data)
    assert result.dtype == np.float32
    assert np.isnan(result.values[..., 3:]).all()
    np.testing.assert_array_equal(result.values[..., :3], data.astype("uint8").values[..., :3])


def test_the_same_grid_changes_nothing(data: xr.DataArray) -> None:
    assert resample_cube_spatial(data, data + 1) is data


def dated(data: xr.DataArray, *dates: str) -> xr.DataArray:
    like = data.isel(t=[0] * len(dates))
    return like.assign_coords(t=np.array(dates, "datetime64[ns]"))


def test_the_nearest_date_the_earlier_of_two(data: xr.DataArray, raise_if_computes: Callable[..., Any]) -> None:
    # Dates are 5, 15 and 25 January.
    target = dated(data, "2022-01-10", "2022-01-11", "2022-03-01")
    result = resample_cube_temporal(data, target)
    raise_if_computes()
    np.testing.assert_array_equal(result.t, target.t)
    np.testing.assert_array_equal(result.values, A[[0, 1, 2]])


def test_the_nearest_valid_value_within_some_days(raise_if_computes: Callable[..., Any]) -> None:
    array = A.copy()
    array[1, 0, 0, 0] = np.nan
    data = cube(array, (1, 2, 4, 3))
    result = resample_cube_temporal(data, dated(data, "2022-01-16", "2022-03-01"), valid_within=10)
    raise_if_computes()
    expected = np.stack([array[1], np.full_like(array[1], np.nan)])
    expected[0, 0, 0, 0] = array[2, 0, 0, 0]
    np.testing.assert_array_equal(result.values, expected)


def test_cubes_without_dates(data: xr.DataArray) -> None:
    with pytest.raises(OpenEOError) as caught:
        resample_cube_temporal(data, data.assign_coords(t=["a", "b", "c"]))
    assert caught.value.code == "DimensionMismatch"
    with pytest.raises(OpenEOError) as caught:
        resample_cube_temporal(data, data, dimension="time")
    assert caught.value.code == "DimensionNotAvailable"


@pytest.mark.parametrize("method", ["near", "mode", "min", "max"])
def test_classes_stay_integers_where_the_cube_covers_the_grid(method: str) -> None:
    classes = cube(np.arange(48, dtype="uint8").reshape(1, 1, 8, 6) % 11, (1, 1, 4, 3))
    fine = resample_spatial(classes, resolution=5, method=method)
    assert fine.dtype == np.uint8
    np.testing.assert_array_equal(fine.values, classes.values.repeat(2, axis=2).repeat(2, axis=3))
    assert resample_spatial(classes, projection=4326, method=method).dtype == np.float32
    assert resample_spatial(classes, resolution=20, method="average").dtype == np.float32
    wider = resample_spatial(classes, resolution=100, method=method)
    beyond = resample_cube_spatial(classes.isel(x=slice(0, 3)), classes, method)
    assert (wider.dtype, beyond.dtype) == (np.uint8, np.float32)
    assert np.isnan(beyond.values[..., 3:]).all()
