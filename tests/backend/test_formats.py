"""Result formats for pixels: what is written is read again with the libraries that users read it with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from PIL import Image

from backend.results import FORMATS, ResultFormat, default_format, find_format
from backend.results.gtiff import _side
from backend.results.parts import parts_of
from processes.errors import OpenEOError
from tests.backend.fakes import cube
from tests.backend.saving import refused, save


def test_names_are_case_insensitive_and_unknown_ones_list_the_known() -> None:
    assert find_format("gtiff").name == find_format("GTIFF").name == "GTiff"
    with pytest.raises(OpenEOError, match="GTiff, netCDF, PNG, JSON, CSV") as error:
        find_format("GeoTIFF")
    assert error.value.code == "FileTypeInvalid"


def test_default_is_gtiff_for_rasters_and_json_for_the_rest() -> None:
    assert default_format(cube()).name == "GTiff"
    assert default_format(cube().isel(t=0, bands=0)).name == "GTiff"
    for value in (cube().mean("x"), 3, [1], True, {"a": 1}, None):
        assert default_format(value).name == "JSON"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_unknown_options_are_refused_by_name(form: ResultFormat) -> None:
    error = refused(form.name, cube(1, ("a",)), nonsense=1)
    assert error.code == "ProcessParameterInvalid"
    assert "nonsense" in error.message


# --- GTiff


def test_gtiff_is_a_described_cog(tmp_path: Path) -> None:
    data = cube(size=1100, chunk=550)
    path = save("GTiff", data, tmp_path)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["compress"] == "deflate"
        assert file.profile["tiled"]
        assert file.block_shapes[0] == (512, 512)
        assert file.overviews(1) == [2, 4]
        assert file.crs.to_epsg() == 32631
        assert file.transform[:6] == (10, 0, 500_000, 0, -10, 5_650_000)
        assert math.isnan(file.nodata)
        assert file.dtypes == ("float32",) * 4
        assert file.descriptions == ("2022-06-01 B04", "2022-06-01 B08", "2022-06-06 B04", "2022-06-06 B08")
        np.testing.assert_array_equal(file.read(), data.values.reshape(4, 1100, 1100))
        tags = file.tags(1)
    band = data.values[0, 0].astype(np.float64)
    assert float(tags["STATISTICS_MINIMUM"]) == np.nanmin(band) == 1
    assert float(tags["STATISTICS_MAXIMUM"]) == np.nanmax(band)
    assert float(tags["STATISTICS_MEAN"]) == pytest.approx(np.nanmean(band))
    assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(np.nanstd(band))
    assert float(tags["STATISTICS_VALID_PERCENT"]) == pytest.approx(100, abs=0.01)


def test_gtiff_of_one_date_names_only_the_bands(tmp_path: Path) -> None:
    with rasterio.open(save("GTiff", cube(1), tmp_path)) as file:
        assert file.descriptions == ("B04", "B08")


def test_gtiff_without_t_and_bands(tmp_path: Path) -> None:
    data = cube().isel(t=0, bands=1, drop=True)
    with rasterio.open(save("GTiff", data, tmp_path)) as file:
        np.testing.assert_array_equal(file.read(1), data.values)


def test_gtiff_turns_south_up_cubes_and_other_orders(tmp_path: Path) -> None:
    data = cube(1)
    turned = data.isel(y=slice(None, None, -1), x=slice(None, None, -1)).transpose("x", "bands", "y", "t")
    with rasterio.open(save("GTiff", turned, tmp_path)) as file:
        assert file.transform[:6] == (10, 0, 500_000, 0, -10, 5_650_000)
        np.testing.assert_array_equal(file.read(), data.values[0])


def test_gtiff_keeps_classes_and_their_nodata(tmp_path: Path) -> None:
    classes = xr.zeros_like(cube(1, ("SCL",)), dtype=np.uint8).assign_attrs(nodata=0) + np.uint8(0)
    classes = classes.assign_attrs(nodata=0)
    classes[..., 1, 1] = 4
    with rasterio.open(save("GTiff", classes, tmp_path)) as file:
        assert file.dtypes == ("uint8",)
        assert file.nodata == 0
        tags = file.tags(1)
    assert (tags["STATISTICS_MINIMUM"], tags["STATISTICS_VALID_PERCENT"]) == ("4.0", "1.562")


@pytest.mark.parametrize(
    ("dtype", "stored"), [(bool, "uint8"), (np.int64, "int32"), (np.float16, "float32"), (np.float64, "float64")]
)
def test_gtiff_stores_other_types(tmp_path: Path, dtype: Any, stored: str) -> None:
    data = (cube(1).fillna(0) % 2).astype(dtype)
    with rasterio.open(save("GTiff", data, tmp_path)) as file:
        assert set(file.dtypes) == {stored}
        np.testing.assert_array_equal(file.read(), data.values[0])


def test_gtiff_of_nothing_but_nodata_has_no_statistics(tmp_path: Path) -> None:
    with rasterio.open(save("GTiff", cube(1) * np.nan, tmp_path)) as file:
        assert file.tags(1) == {"STATISTICS_VALID_PERCENT": "0"}


def test_gtiff_of_one_row_takes_its_height_from_its_width(tmp_path: Path) -> None:
    with rasterio.open(save("GTiff", cube(1).isel(y=[3]), tmp_path)) as file:
        assert file.transform[:6] == (10, 0, 500_000, 0, -10, 5_650_000 - 30)


def test_gtiff_of_one_pixel_wants_the_grid_it_came_from(tmp_path: Path) -> None:
    one = cube(1).isel(y=[3], x=[2])
    assert "one pixel" in refused("GTiff", one).message
    one["spatial_ref"].attrs["GeoTransform"] = "500000.0 10.0 0.0 5650000.0 0.0 -10.0"
    with rasterio.open(save("GTiff", one, tmp_path)) as file:
        assert file.transform[:6] == (10, 0, 500_020, 0, -10, 5_649_970)


def test_gtiff_refuses_what_it_cannot_hold() -> None:
    assert "bands, y, x" not in refused("GTiff", cube().mean("x")).message
    assert refused("GTiff", cube().mean("x")).code == "FormatUnsuitable"
    assert "no data cube" in refused("GTiff", 4).message
    assert refused("GTiff", cube().isel(x=slice(0, 0))).code == "DataCubeEmpty"
    uneven = cube().isel(x=[0, 1, 3, 7])
    assert "evenly spaced" in refused("GTiff", uneven).message


@pytest.mark.parametrize(("bands", "side"), [(1, 512), (16, 512), (17, 256), (490, 64), (65535, 16)])
def test_gtiff_has_smaller_tiles_for_many_bands(bands: int, side: int) -> None:
    """GDAL holds several tiles of all bands at once."""
    assert _side(bands, np.dtype(np.float32)) == side


@pytest.mark.parametrize(("shape", "grain", "most"), [((7, 9), (2, 4), 16), ((7, 9), (1, 1), 5), ((3, 5), (4, 4), 1)])
def test_parts_are_the_whole_and_of_whole_grains(shape: tuple[int, int], grain: tuple[int, int], most: int) -> None:
    seen = np.zeros(shape, int)
    for part in parts_of(shape, grain, 1, most):
        seen[part] += 1
        assert seen[part].size <= max(most, math.prod(grain))
        assert all(cut.start % step == 0 for cut, step in zip(part, grain, strict=True))
    assert (seen == 1).all()


# --- PNG


def test_png_of_three_bands_is_rgba_with_transparent_nodata(tmp_path: Path) -> None:
    data = cube(1, ("r", "g", "b"), size=16)
    image = Image.open(save("PNG", data, tmp_path, minimum=0, maximum=767))
    assert image.mode == "RGBA"
    pixels = np.asarray(image)
    assert pixels[0, 0, 3] == 0
    assert (pixels[..., 3] > 0).sum() == 16 * 16 - 1
    expected = np.round(data.values[0, :, 5, 7] * 255 / 767)
    np.testing.assert_array_equal(pixels[5, 7, :3], expected)


def test_png_of_one_band_is_grey_and_stretched_to_percentiles(tmp_path: Path) -> None:
    data = cube(1, ("a",), size=16).isel(bands=0, t=0, drop=True)
    image = Image.open(save("PNG", data, tmp_path))
    assert image.mode == "LA"
    pixels = np.asarray(image)
    low, high = np.nanpercentile(data.values, (2, 98))
    np.testing.assert_array_equal(pixels[8, 3, 0], np.round((data.values[8, 3] - low) / (high - low) * 255))
    assert pixels[-1, -1, 0] == 255


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.0, 12.4, 101.0, 255.0], [0, 12, 101, 255]),  # as linear_scale_range makes them
        ([140.0] * 4, [140] * 4),
        ([0.0, 50.0, 75.0, 100.0], [0, 125, 192, 255]),  # per cent are stretched
        ([-1.0, 50.0, 101.0, 255.0], [0, 50, 104, 255]),
        ([0.0, 50.0, 101.0, 256.0], [0, 49, 103, 255]),
    ],
)
def test_png_keeps_values_that_were_made_for_it(tmp_path: Path, values: list[float], shown: list[int]) -> None:
    data = xr.DataArray(np.array(values).reshape(2, 2), dims=("y", "x"), coords={"y": [1, 0], "x": [0, 1]})
    pixels = np.asarray(Image.open(save("PNG", data.rio.write_crs("EPSG:32632"), tmp_path)))
    np.testing.assert_allclose(pixels[..., 0].ravel(), shown, atol=1)


def test_png_keeps_bytes_and_takes_a_fourth_band_as_opacity(tmp_path: Path) -> None:
    data = (cube(1, ("r", "g", "b", "a")).fillna(7) % 256).astype(np.uint8)
    pixels = np.asarray(Image.open(save("PNG", data, tmp_path)))
    np.testing.assert_array_equal(pixels, np.moveaxis(data.values[0], 0, -1))


@pytest.mark.parametrize("value", [3.0, np.nan])
def test_png_of_constant_or_missing_values(tmp_path: Path, value: float) -> None:
    pixels = np.asarray(Image.open(save("PNG", xr.full_like(cube(1, ("a",)), value), tmp_path)))
    assert (pixels[..., 1] == (0 if math.isnan(value) else 255)).all()


def test_png_says_what_to_reduce() -> None:
    assert "reduce_dimension" in refused("PNG", cube(2, ("a",))).message
    assert "2 bands" in refused("PNG", cube(1)).message
    assert refused("PNG", cube(1, ("a",)), minimum=3, maximum=3).code == "ProcessParameterInvalid"
    assert refused("PNG", cube(1, ("a",)), minimum="3").code == "ProcessParameterInvalid"


# --- netCDF


def test_netcdf_has_a_variable_per_band(tmp_path: Path) -> None:
    data = cube()
    data.attrs = {"note": "kept", "dict": {"a": 1}, "none": None, "flag": True, "_FillValue": -1}
    with xr.open_dataset(save("netCDF", data, tmp_path), engine="netcdf4") as read:
        assert list(read.data_vars) == ["B04", "B08"]
        assert read["B08"].dims == ("t", "y", "x")
        np.testing.assert_array_equal(read["B08"].values, data.sel(bands="B08").values)
        np.testing.assert_array_equal(read["t"].values, data["t"].values)
        assert read.rio.crs.to_epsg() == 32631
        assert read["x"].attrs["standard_name"] == "projection_x_coordinate"
        assert read["B04"].attrs["note"] == "kept"
        assert read.attrs["Conventions"].startswith("CF-")
        assert "_FillValue" not in read["x"].encoding
        assert read["B04"].encoding["zlib"]


def test_netcdf_as_one_variable_opens_as_an_array(tmp_path: Path) -> None:
    data = cube()
    with xr.open_dataarray(save("netCDF", data, tmp_path, variables="one"), engine="netcdf4") as read:
        assert read.dims == ("t", "bands", "y", "x")
        assert read["bands"].values.tolist() == ["B04", "B08"]
        np.testing.assert_array_equal(read.values, data.values)
        assert read.rio.crs.to_epsg() == 32631


def test_netcdf_of_a_single_band_opens_as_an_array(tmp_path: Path) -> None:
    data = cube(1, ("B04",)).transpose("x", "y", "t", "bands")
    with xr.open_dataarray(save("netCDF", data, tmp_path), engine="netcdf4") as read:
        assert read.name == "B04"
        assert read.dims[-2:] == ("y", "x")


def test_netcdf_writes_text_labels_booleans_and_awkward_names(tmp_path: Path) -> None:
    data = (cube(bands=("t", "8/A")) > 3).assign_coords(t=["spring", "summer"])
    with xr.open_dataset(save("netCDF", data, tmp_path), engine="netcdf4") as read:
        assert list(read.data_vars) == ["band_t", "band_8_A"]
        assert read["t"].values.tolist() == ["spring", "summer"]
        assert read["band_t"].dtype == np.int8


def test_netcdf_without_spatial_dimensions(tmp_path: Path) -> None:
    data = cube().mean(["x", "y"])
    with xr.open_dataset(save("netCDF", data, tmp_path), engine="netcdf4") as read:
        np.testing.assert_allclose(read["B04"].values, data.values[:, 0], rtol=1e-6)


def test_netcdf_refuses_geometries_and_scalars() -> None:
    points = xr.DataArray([1.0], dims="geometry", coords={"geometry": [shapely.Point(0, 0)]})
    assert "geometries" in refused("netCDF", points).message
    assert refused("netCDF", 3).code == "FormatUnsuitable"
    assert refused("netCDF", cube(), variables="two").code == "ProcessParameterInvalid"
