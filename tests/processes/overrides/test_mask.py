"""Masks: rasters with fewer dimensions, other label orders and grids; polygons in 2, 3 and 4 dimensions."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import odc.geo.xr
import pyproj
import pytest
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox

from processes.errors import OpenEOError
from processes.overrides.mask import mask, mask_polygon

WEST, NORTH = 500_000.0, 5_650_000.0


# Nothing may compute while a graph is built.
pytestmark = pytest.mark.usefixtures("no_compute")


@pytest.fixture
def data() -> xr.DataArray:
    """A lazy cube (3 dates, 2 bands, 6, 8) of float32."""
    values = np.random.default_rng(1).random((3, 2, 6, 8), dtype=np.float32)
    box = GeoBox.from_bbox((WEST, NORTH - 60, WEST + 80, NORTH), "EPSG:32631", resolution=10)
    times = np.array(["2024-01-01", "2024-01-06", "2024-01-11"], dtype="datetime64[ns]")
    return xr.DataArray(
        da.from_array(values, chunks=(2, 2, 3, 4)),
        dims=("t", "bands", "y", "x"),
        coords={**odc.geo.xr.xr_coords(box), "t": times, "bands": ["B04", "B08"]},
    )


@pytest.fixture
def clouds(data: xr.DataArray) -> xr.DataArray:
    """A mask with all the dimensions of `data`."""
    flags = np.random.default_rng(2).random(data.shape) > 0.5
    return data.copy(data=da.from_array(flags, chunks=3))


def computed(cube: xr.DataArray) -> np.ndarray:
    return np.asarray(cube.data.compute(scheduler="sync"))


@pytest.mark.parametrize("dims", [("t", "bands", "y", "x"), ("t", "y", "x"), ("y", "x"), ("x", "y"), ("t",)])
@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_missing_dimensions_stand_for_all_labels(
    data: xr.DataArray, clouds: xr.DataArray, dims: tuple[str, ...], kind: Any
) -> None:
    part = clouds.isel({d: 0 for d in clouds.dims if d not in dims}, drop=True).transpose(*dims)
    result = mask(data, part.astype(kind) * kind(1))
    flags = xr.DataArray(computed(part), dims=dims).broadcast_like(
        xr.zeros_like(data[:, :, :, :].drop_vars(data.coords))
    )
    expected = np.where(flags.transpose(*data.dims).values, np.nan, computed(data))
    np.testing.assert_array_equal(computed(result), expected)
    assert result.dims == data.dims
    assert result.dtype == np.float32
    assert result.chunks == data.chunks
    assert result.odc.crs == data.odc.crs


def test_labels_are_matched(data: xr.DataArray, clouds: xr.DataArray) -> None:
    expected = computed(mask(data, clouds))
    np.testing.assert_array_equal(computed(mask(data, clouds.isel(t=[2, 0, 1], bands=[1, 0]))), expected)
    more = xr.concat([clouds, clouds.isel(t=[0]).assign_coords(t=[np.datetime64("2025-01-01", "ns")])], "t")
    np.testing.assert_array_equal(computed(mask(data, more)), expected)


def test_no_data_does_not_mask(data: xr.DataArray, clouds: xr.DataArray) -> None:
    np.testing.assert_array_equal(computed(mask(data, xr.where(clouds, np.nan, 0.0))), computed(data))


def test_replacements_keep_the_type(data: xr.DataArray, clouds: xr.DataArray) -> None:
    result = mask(data, clouds, 0.25)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(computed(result), np.where(computed(clouds), np.float32(0.25), computed(data)))
    classes = (data * 10).astype(np.uint8)
    assert mask(classes, clouds, 255).dtype == np.uint8
    low = mask(classes, clouds, -9999)
    assert low.dtype == np.int16
    assert computed(low).min() == -9999
    assert computed(mask(classes, clouds, 0.5))[computed(clouds)].tolist() == [0.5] * int(computed(clouds).sum())
    assert mask(classes, clouds).dtype == np.float32
    assert mask(clouds, clouds).dtype == np.float32


def test_a_coarser_mask_is_brought_to_the_pixels(data: xr.DataArray) -> None:
    box = GeoBox.from_bbox((WEST, NORTH - 60, WEST + 60, NORTH), "EPSG:32631", resolution=20)
    coarse = xr.DataArray(da.eye(3, chunks=3) > 0, dims=("y", "x"), coords=odc.geo.xr.xr_coords(box))
    result = computed(mask(data, coarse))
    expected = np.pad(np.kron(np.eye(3), np.ones((2, 2))), ((0, 0), (0, 2))) > 0  # outside of the mask: kept
    np.testing.assert_array_equal(np.isnan(result[0, 0]), expected)


@pytest.mark.parametrize("change", ["dimension", "label"])
def test_masks_that_do_not_fit(data: xr.DataArray, clouds: xr.DataArray, change: str) -> None:
    wrong = clouds.expand_dims(model=["a"]) if change == "dimension" else clouds.isel(bands=[0])
    with pytest.raises(OpenEOError, match="model" if change == "dimension" else "no B08") as caught:
        mask(data, wrong)
    assert caught.value.code == "IncompatibleDataCubes"


def square(left: float, bottom: float, right: float, top: float) -> dict[str, Any]:
    to_degrees = pyproj.Transformer.from_crs(32631, 4326, always_xy=True)
    ring = shapely.box(WEST + left, NORTH - bottom, WEST + right, NORTH - top).exterior.coords
    return {"type": "Polygon", "coordinates": [[to_degrees.transform(*point) for point in ring]]}


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("dims", [(), ("t",), ("bands",), ("t", "bands")])
def test_polygons_mask_cubes_of_any_dimensions(data: xr.DataArray, dims: tuple[str, ...], inverted: bool) -> None:
    cube = data.isel({d: 0 for d in ("t", "bands") if d not in dims}, drop=True)
    feature = {"type": "Feature", "geometry": square(20, 40, 50, 10), "properties": {}}
    within = np.zeros((6, 8), bool)
    within[1:4, 2:5] = True
    result = mask_polygon(cube, feature, inside=inverted)
    np.testing.assert_array_equal(computed(result), np.where(within ^ inverted, computed(cube), np.nan))
    assert (result.dims, result.dtype, result.chunks) == (cube.dims, np.float32, cube.chunks)
    filled = mask_polygon(cube, feature, replacement=-1, inside=inverted)
    np.testing.assert_array_equal(computed(filled), np.where(within ^ inverted, computed(cube), np.float32(-1)))


def test_several_polygons(data: xr.DataArray) -> None:
    shapes = [square(0, 10, 10, 0), square(70, 60, 80, 50)]
    features = [{"type": "Feature", "geometry": s, "properties": {}} for s in shapes]
    result = mask_polygon(data, {"type": "FeatureCollection", "features": features})
    rows, cols = np.nonzero(np.isfinite(computed(result)[0, 0]))
    assert list(zip(rows.tolist(), cols.tolist(), strict=True)) == [(0, 0), (5, 7)]


def test_what_polygons_cannot_mask(data: xr.DataArray) -> None:
    with pytest.raises(OpenEOError) as caught:
        mask_polygon(data.isel(x=0, drop=True), square(0, 10, 10, 0))
    assert caught.value.code == "DimensionMissing"
    with pytest.raises(OpenEOError, match="'replacement'"):
        mask_polygon(data, square(0, 10, 10, 0), "none")  # type: ignore[arg-type]
    with pytest.raises(OpenEOError, match="'mask'"):
        mask_polygon(data, {"type": "Nothing"})


def test_polygons_leave_no_data_untouched(data: xr.DataArray) -> None:
    gaps = data.where(data["x"] != data["x"][1])
    masked = mask_polygon(gaps, square(0, 30, 20, 0), replacement=-9)
    values, wanted = computed(masked), computed(gaps)
    assert np.isnan(wanted[..., 1]).all()
    np.testing.assert_array_equal(np.isnan(values), np.isnan(wanted))
    assert (values[..., -1] == -9).any()


def test_consecutive_dates_of_a_longer_mask_are_a_slice(data: xr.DataArray, clouds: xr.DataArray) -> None:
    few = data.isel(t=slice(1, None))
    np.testing.assert_array_equal(computed(mask(few, clouds)), computed(mask(data, clouds))[1:])
