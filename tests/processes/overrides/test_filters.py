"""Filters: labels, time and space, on lazy and NumPy cubes, with and without a halo."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import odc.geo.xr
import pyproj
import pytest
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox

from processes.environment import Environment, Halo
from processes.errors import OpenEOError
from processes.overrides import filters

WEST, NORTH = 500_000.0, 5_650_000.0
TIMES = np.array(["2024-01-01", "2024-01-06T10:30:00", "2024-01-11", "2024-01-21"], dtype="datetime64[ns]")


# Nothing may compute while a graph is built.
pytestmark = pytest.mark.usefixtures("no_compute")


@pytest.fixture(params=["lazy", "numpy"])
def cube(request: pytest.FixtureRequest) -> xr.DataArray:
    """A cube (4 dates, 3 bands, 8, 10) of float32, pixels of 10 m."""
    values = np.random.default_rng(1).random((4, 3, 8, 10), dtype=np.float32)
    box = GeoBox.from_bbox((WEST, NORTH - 80, WEST + 100, NORTH), "EPSG:32631", resolution=10)
    return xr.DataArray(
        values if request.param == "numpy" else da.from_array(values, chunks=(2, 3, 4, 5)),
        dims=("t", "bands", "y", "x"),
        coords={**odc.geo.xr.xr_coords(box), "t": TIMES, "bands": ["B02", "B04", "B08"]},
    )


def environment(pixels: int, days: float) -> Environment:
    return Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), halo=Halo(pixels, days))  # type: ignore[arg-type]


def computed(cube: xr.DataArray) -> np.ndarray:
    return np.asarray(cube.data.compute(scheduler="sync") if dask.is_dask_collection(cube.data) else cube.data)


def square(left: float, bottom: float, right: float, top: float) -> dict[str, Any]:
    """Return a GeoJSON polygon whose edges are meters from the upper left corner."""
    to_degrees = pyproj.Transformer.from_crs(32631, 4326, always_xy=True)
    ring = shapely.box(WEST + left, NORTH - bottom, WEST + right, NORTH - top).exterior.coords
    return {"type": "Polygon", "coordinates": [[to_degrees.transform(*point) for point in ring]]}


def test_bands_are_in_the_order_asked_for(cube: xr.DataArray) -> None:
    chosen = filters.filter_bands(cube, ["B08", "B02", "B08"])
    assert chosen["bands"].values.tolist() == ["B08", "B02"]
    np.testing.assert_array_equal(computed(chosen), computed(cube)[:, [2, 0]])


def test_names_go_before_common_names_and_wavelengths_join_in(cube: xr.DataArray) -> None:
    known = cube.assign_coords(
        common_name=("bands", ["blue", "B02", "nir"]), center_wavelength=("bands", [0.49, 0.665, 0.842])
    )
    assert filters.filter_bands(known, ["nir", "B02"])["bands"].values.tolist() == ["B08", "B02"]
    both = filters.filter_bands(known, ["nir"], [[0.4, 0.7]])
    assert both["bands"].values.tolist() == ["B08", "B02", "B04"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((["B03"],), "LabelNotAvailable", "B02, B04, B08"),
        (([], []), "BandFilterParameterMissing", "requires"),
        (([], [[0.7, 0.4]]), "ProcessParameterInvalid", "pair"),
        (([], [[0.4, 0.7]]), "ProcessParameterInvalid", "pass 'bands'"),
    ],
)
def test_bands_that_cannot_be_chosen(cube: xr.DataArray, arguments: Any, code: str, says: str) -> None:
    with pytest.raises(OpenEOError, match=says) as caught:
        filters.filter_bands(cube, *arguments)
    assert caught.value.code == code


def test_a_cube_without_bands(cube: xr.DataArray) -> None:
    with pytest.raises(OpenEOError) as caught:
        filters.filter_bands(cube.isel(bands=0, drop=True), ["B02"])
    assert caught.value.code == "DimensionMissing"


def test_labels_are_passed_to_the_condition_one_by_one(cube: xr.DataArray) -> None:
    seen = []

    def condition(value: Any, *, positional_parameters: Any, named_parameters: Any) -> bool | None:
        seen.append(value)
        assert positional_parameters == {"value": 0}
        assert named_parameters == {"context": "B0"}
        return None if value == "B08" else value.startswith("B0")

    assert filters.filter_labels(cube, condition, "bands", "B0")["bands"].values.tolist() == ["B02", "B04"]
    assert seen == ["B02", "B04", "B08"]


def test_dates_are_passed_as_text(cube: xr.DataArray) -> None:
    late = filters.filter_labels(cube, lambda value, **_: value >= "2024-01-06T10:30:00Z", "t")
    assert late["t"].values.tolist() == TIMES[1:].tolist()
    with pytest.raises(OpenEOError) as caught:
        filters.filter_labels(cube, lambda value, **_: True, "band")
    assert caught.value.code == "DimensionNotAvailable"


@pytest.mark.parametrize(
    ("extent", "kept"),
    [
        (["2024-01-01", "2024-01-11"], slice(0, 2)),
        (["2024-01-06T10:30:00Z", "2024-01-06T10:30:01Z"], slice(1, 2)),
        (["2024-01-06T11:30:00+01:00", None], slice(1, 4)),
        ([None, "2024-01-21"], slice(0, 3)),
    ],
)
def test_time_is_half_open(cube: xr.DataArray, extent: Any, kept: slice) -> None:
    for dimension in (None, "t"):
        result = filters.filter_temporal(cube, extent, dimension)
        assert result["t"].values.tolist() == TIMES[kept].tolist()
    np.testing.assert_array_equal(computed(result), computed(cube)[kept])


def test_a_halo_widens_time_on_both_sides(cube: xr.DataArray) -> None:
    result = filters.filter_temporal(cube, ["2024-01-11", "2024-01-12"], env=environment(0, 5))
    assert result["t"].values.tolist() == TIMES[1:3].tolist()
    result = filters.filter_temporal(cube, ["2024-01-11", "2024-01-12"], env=environment(0, 9.1))
    assert result["t"].values.tolist() == TIMES[1:4].tolist()


def test_dates_as_text_are_dates(cube: xr.DataArray) -> None:
    text = cube.assign_coords(t=["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"])
    assert (
        filters.filter_temporal(text, ["2024-02-01", "2024-04-01"])["t"].values.tolist()
        == text["t"][1:3].values.tolist()
    )
    with pytest.raises(OpenEOError, match="no dates"):
        filters.filter_temporal(cube.assign_coords(t=["djf", "mam", "jja", "son"]), ["2024-02-01", None])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((["2024-02-01", "2024-01-01"],), "TemporalExtentEmpty"),
        ((["2024-01-01", None], "time"), "DimensionNotAvailable"),
        ((["2025-01-01", "2025-02-01"],), "NoDataAvailable"),
        (([None, None],), "ProcessParameterInvalid"),
        ((None,), "ProcessParameterInvalid"),
    ],
)
def test_extents_that_cannot_be_used(cube: xr.DataArray, arguments: Any, code: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        filters.filter_temporal(cube, *arguments)
    assert caught.value.code == code


def box(left: float, bottom: float, right: float, top: float) -> dict[str, Any]:
    return {"west": WEST + left, "south": NORTH - bottom, "east": WEST + right, "north": NORTH - top, "crs": 32631}


@pytest.mark.parametrize(
    ("edges", "rows", "cols"),
    [
        ((20, 50, 60, 10), slice(1, 5), slice(2, 6)),
        ((15, 45, 55, 15), slice(1, 5), slice(1, 6)),  # centres on the edge are inside
        ((15.1, 44.9, 54.9, 15.1), slice(2, 4), slice(2, 5)),
        ((-500, 500, 500, -500), slice(0, 8), slice(0, 10)),
    ],
)
def test_pixels_whose_centres_lie_inside(cube: xr.DataArray, edges: Any, rows: slice, cols: slice) -> None:
    result = filters.filter_bbox(cube, box(*edges))
    np.testing.assert_array_equal(computed(result), computed(cube)[..., rows, cols])
    np.testing.assert_array_equal(result["x"], cube["x"][cols])
    assert result.odc.crs == cube.odc.crs


def test_a_box_in_degrees(cube: xr.DataArray) -> None:
    to_degrees = pyproj.Transformer.from_crs(32631, 4326, always_xy=True)
    bounds = to_degrees.transform_bounds(WEST + 20, NORTH - 50, WEST + 60, NORTH - 10)
    result = filters.filter_bbox(cube, dict(zip(("west", "south", "east", "north"), bounds, strict=True)))
    assert result.shape[2:] == (4, 4)
    world = filters.filter_bbox(cube, {"west": -180, "south": -90, "east": 180, "north": 90})
    assert world.shape == cube.shape


def test_a_halo_widens_space_on_each_side(cube: xr.DataArray) -> None:
    result = filters.filter_bbox(cube, box(20, 50, 60, 10), env=environment(2, 0))
    np.testing.assert_array_equal(computed(result), computed(cube)[..., 0:7, 0:8])


@pytest.mark.parametrize("elsewhere", [box(200, 500, 300, 400), {"west": 100, "south": 1, "east": 101, "north": 2}])
def test_boxes_without_pixels(cube: xr.DataArray, elsewhere: Any) -> None:
    with pytest.raises(OpenEOError, match="No pixel's centre") as caught:
        filters.filter_bbox(cube, elsewhere)
    assert caught.value.code == "NoDataAvailable"


def test_cubes_without_space_or_crs(cube: xr.DataArray) -> None:
    with pytest.raises(OpenEOError) as caught:
        filters.filter_bbox(cube.isel(x=0, drop=True), box(0, 10, 10, 0))
    assert caught.value.code == "DimensionMissing"
    with pytest.raises(OpenEOError, match="no coordinate reference system"):
        filters.filter_bbox(cube.drop_vars(["spatial_ref", "x", "y"]), box(0, 10, 10, 0))


@pytest.mark.parametrize("kind", ["Polygon", "Feature", "FeatureCollection", "GeometryCollection"])
def test_polygons_crop_and_mask(cube: xr.DataArray, kind: str) -> None:
    polygons = [square(10, 30, 30, 10), square(50, 60, 70, 50)]
    features = [{"type": "Feature", "geometry": p, "properties": {}} for p in polygons]
    geometries, expected = {
        "Polygon": (polygons[0], (2, 2, 4)),
        "Feature": (features[0], (2, 2, 4)),
        "FeatureCollection": ({"type": kind, "features": features}, (5, 6, 6)),
        "GeometryCollection": ({"type": kind, "geometries": polygons}, (5, 6, 6)),
    }[kind]
    result = filters.filter_spatial(cube, geometries)
    assert result.shape[2:] == expected[:2]
    assert result.dtype == np.float32
    assert dask.is_dask_collection(result.data)
    values = computed(result)
    assert np.isfinite(values[0, 0]).sum() == expected[2]
    np.testing.assert_array_equal(values[:, :, 0, 0], computed(cube)[:, :, 1, 1])


def test_polygons_elsewhere(cube: xr.DataArray) -> None:
    with pytest.raises(OpenEOError) as caught:
        filters.filter_spatial(cube, square(1000, 1100, 1100, 1000))
    assert caught.value.code == "NoDataAvailable"
    with pytest.raises(OpenEOError) as caught:
        filters.filter_spatial(cube, {"type": "Point", "coordinates": [30, 51]})
    assert caught.value.code == "NoDataAvailable"


def utm(kind: str, coordinates: Any) -> dict[str, Any]:
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    return {"type": kind, "coordinates": coordinates, "crs": crs}


def test_points_and_lines_take_the_closest_pixels(cube: xr.DataArray) -> None:
    point = filters.filter_spatial(cube, utm("Point", [WEST + 34, NORTH - 21]))
    assert point.shape[2:] == (1, 1)
    np.testing.assert_array_equal(computed(point)[..., 0, 0], computed(cube)[..., 2, 3])
    assert dask.is_dask_collection(point.data) == dask.is_dask_collection(cube.data)
    line = filters.filter_spatial(cube, utm("LineString", [[WEST + 5, NORTH - 5], [WEST + 25, NORTH - 25]]))
    np.testing.assert_array_equal(np.isfinite(computed(line)[0, 0]), np.eye(3, dtype=bool))
    ring = shapely.box(WEST + 30, NORTH - 60, WEST + 50, NORTH - 40).exterior.coords
    both = {
        "type": "GeometryCollection",
        "geometries": [utm("Point", [WEST + 4, NORTH - 4]), utm("Polygon", [list(ring)])],
        "crs": utm("Point", [])["crs"],
    }
    kept = np.isfinite(computed(filters.filter_spatial(cube, both))[0, 0])
    assert kept.shape == (6, 5)
    assert kept[0, 0]
    assert kept[4:, 3:].all()
    assert kept.sum() == 5


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "Feature"},
        {"type": "Feature", "geometry": {"type": "Circle"}, "properties": {}},
        {"type": "FeatureCollection", "features": [3]},
        {"type": "Point", "coordinates": ["a"]},
        {"type": "Point", "coordinates": [1, 2], "crs": {"properties": {"name": "nonsense"}}},
    ],
)
def test_broken_geojson(cube: xr.DataArray, broken: Any) -> None:
    with pytest.raises(OpenEOError, match="'geometries' in process 'filter_spatial'") as caught:
        filters.filter_spatial(cube, broken)
    assert caught.value.code == "ProcessParameterInvalid"
