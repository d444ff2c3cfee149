"""Resampling of x and y and of dates; lazy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import numpy as np
import pyproj
import pytest
import rasterio.warp
import xarray as xr
from affine import Affine
from odc.geo.xr import assign_crs
from rasterio.enums import Resampling

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


SIDE = 60
NOISE = np.random.default_rng(0).random((1, SIDE, SIDE)).astype(np.float32)


def noise(chunk: int) -> xr.DataArray:
    """One date of noise in UTM 32N, pixels of 10 m, in square blocks."""
    coords = {"y": 5_000_000 - 10 * np.arange(SIDE) - 5.0, "x": 600_000 + 10 * np.arange(SIDE) + 5.0}
    whole = assign_crs(xr.DataArray(NOISE, dims=("t", "y", "x"), coords=coords), "EPSG:32632")
    return whole.chunk({"t": 1, "y": chunk, "x": chunk})


@pytest.mark.parametrize("method", ["near", "bilinear", "cubic", "cubicspline", "lanczos", "average", "max", "sum"])
@pytest.mark.parametrize("resolution", [5, 7, 20, 33])
def test_blocks_leave_no_seams(method: str, resolution: int) -> None:
    whole = resample_spatial(noise(SIDE), resolution, method=method)
    for chunk in (10, 16):
        parts = resample_spatial(noise(chunk), resolution, method=method)
        assert parts.data.npartitions > 1
        np.testing.assert_allclose(parts.values, whole.values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["bilinear", "cubic", "lanczos"])
@pytest.mark.parametrize("resolution", [5, 20, 30])
def test_smoothing_methods_give_what_gdalwarp_gives(method: str, resolution: int) -> None:
    side = SIDE * 10 // resolution
    expected = np.full((side, side), np.nan, np.float32)
    to = Affine(resolution, 0, 600_000, 0, -resolution, 5_000_000)
    crs = {"src_crs": "EPSG:32632", "dst_crs": "EPSG:32632"}
    at = {"src_transform": Affine(10, 0, 600_000, 0, -10, 5_000_000), "dst_transform": to}
    rasterio.warp.reproject(NOISE[0], expected, resampling=Resampling[method], src_nodata=np.nan, **crs, **at)
    result = resample_spatial(noise(16), resolution, method=method)
    np.testing.assert_allclose(result.values[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("crs", [4326, 3035, 32633])
def test_the_nearest_pixel_in_another_reference_system_is_that_which_holds_the_centre(crs: int) -> None:
    result = resample_spatial(noise(16), projection=crs)
    x, y = np.meshgrid(result.x, result.y)
    back = pyproj.Transformer.from_crs(crs, 32632, always_xy=True).transform(x, y)
    column, row = np.floor((back[0] - 600_000) / 10), np.floor((5_000_000 - back[1]) / 10)
    held = (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE)
    assert 0.3 < held.mean() < 1
    expected = np.full(x.shape, np.nan, np.float32)
    expected[held] = NOISE[0, row[held].astype(int), column[held].astype(int)]
    np.testing.assert_array_equal(result.values[0], expected)


@pytest.mark.parametrize("method", ["bilinear", "cubic", "average"])
def test_another_reference_system_leaves_no_seams(method: str) -> None:
    whole, parts = (resample_spatial(noise(chunk), projection=3035, method=method) for chunk in (SIDE, 10))
    # Positions are interpolated for each block: hence not to the last digit.
    np.testing.assert_allclose(parts.values, whole.values, rtol=0, atol=1e-3)


def test_far_from_a_cube_there_is_no_data() -> None:
    far = noise(16).assign_coords(x=noise(16).x + 1e6)
    result = resample_cube_spatial(noise(16), far)
    assert np.isnan(result.values).all()


@pytest.mark.parametrize("side", [42, 43, 44, 45])
def test_sums_add_up(side: int) -> None:
    part = noise(16).isel(x=slice(side), y=slice(side))
    gaps = part.where(part > 0.1)
    result = resample_spatial(gaps, 20, method="sum")
    np.testing.assert_allclose(result.sum(), gaps.sum(), rtol=1e-5)
    expected = np.nansum(gaps.values[0, :40, :40].reshape(20, 2, 20, 2), axis=(1, 3))
    np.testing.assert_allclose(result.values[0, :20, :20], expected, atol=1e-5)
