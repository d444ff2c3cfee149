"""Polygons as spatial extent."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
import shapely.geometry
import xarray as xr
import xvec  # noqa: F401  (registers the accessor)

from processes.errors import OpenEOError
from processes.sources import CollectionSource, LoadRequest, mask_outside, parse_footprint
from tests.processes.sources.archives import NORTH, WEST

UTM = "EPSG:32633"
TRIANGLE = shapely.Polygon([(WEST, NORTH), (WEST + 200, NORTH - 100), (WEST + 55, NORTH - 250)])
HOLED = shapely.box(WEST + 100, NORTH - 300, WEST + 300, NORTH - 50).difference(
    shapely.box(WEST + 150, NORTH - 200, WEST + 200, NORTH - 100)
)
TO_DEGREES = pyproj.Transformer.from_crs(UTM, 4326, always_xy=True)
DEGREES = [shapely.transform(g, TO_DEGREES.transform, interleaved=False) for g in (TRIANGLE, HOLED)]


def feature(geometry: Any) -> dict[str, Any]:
    shape = None if geometry is None else shapely.geometry.mapping(geometry)
    return {"type": "Feature", "properties": {}, "geometry": shape}


def collection(*geometries: Any, **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": [feature(g) for g in geometries], **more}


def vector_cube() -> xr.DataArray:
    cube = xr.DataArray([1.0, 2.0], dims="geometry", coords={"geometry": np.array([TRIANGLE, HOLED])})
    return cube.xvec.set_geom_indexes("geometry", crs=UTM)


def touching(cube: xr.DataArray, *areas: Any) -> np.ndarray:
    x, y = np.meshgrid(cube.x, cube.y)
    return np.any([shapely.intersects_xy(area, x, y) for area in areas], axis=0)


FORMS: dict[str, Any] = {
    "polygons of features": lambda: collection(*DEGREES),
    "a multipolygon": lambda: shapely.geometry.mapping(shapely.MultiPolygon(DEGREES)),
    "with empty ones": lambda: collection(DEGREES[0], shapely.Polygon(), DEGREES[1], None),
    "in the cube's crs": lambda: collection(
        TRIANGLE, HOLED, crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    ),
    "a GeoDataFrame": lambda: gpd.GeoDataFrame(geometry=[TRIANGLE, HOLED], crs=UTM),
    "a vector cube": vector_cube,
}


@pytest.mark.parametrize("form", FORMS)
def test_pixels_whose_centres_touch_no_polygon_are_no_data(
    stored: CollectionSource, form: str, no_compute: None
) -> None:
    footprint = parse_footprint(FORMS[form]())
    cube = stored.load(LoadRequest(footprint.bbox, bands=("B04",)))
    masked = mask_outside(cube, footprint, None)
    inside = np.broadcast_to(touching(cube, TRIANGLE, HOLED), cube.shape)
    assert inside.any()
    assert not inside.all()
    expected = np.where(inside, cube.compute(scheduler="sync"), np.nan)
    np.testing.assert_array_equal(masked.compute(scheduler="sync").values, expected)
    assert masked.dims == cube.dims
    assert masked.dtype == "float32"
    assert masked.rio.crs == cube.rio.crs


def test_the_cube_covers_the_polygons_bounding_box(stored: CollectionSource) -> None:
    footprint = parse_footprint(FORMS["in the cube's crs"]())
    cube = stored.load(LoadRequest(footprint.bbox))
    assert cube.rio.bounds() == (WEST, NORTH - 300, WEST + 300, NORTH)


def test_classes_keep_their_type_and_their_own_no_data(stored: CollectionSource) -> None:
    footprint = parse_footprint(feature(DEGREES[0]))
    cube = stored.load(LoadRequest(footprint.bbox, bands=("SCL",)))
    masked = mask_outside(cube, footprint, 0).compute()
    assert masked.dtype == "uint8"
    np.testing.assert_array_equal(masked.values[:, 0], np.where(touching(cube, TRIANGLE), cube.values[:, 0], 0))


def test_edges_count_as_inside(stored: CollectionSource) -> None:
    square = shapely.box(WEST + 5, NORTH - 25, WEST + 25, NORTH - 5)
    crs = {"type": "name", "properties": {"name": UTM}}
    footprint = parse_footprint({**shapely.geometry.mapping(square), "crs": crs})
    cube = stored.load(LoadRequest(footprint.bbox, bands=("B04",)))
    assert cube.shape[2:] == (3, 3)
    assert mask_outside(cube, footprint, None).notnull().all().compute()


def test_a_polygon_that_crosses_itself_is_mended() -> None:
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    assert parse_footprint(shapely.geometry.mapping(bow)).geometry.area == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "it holds Point"),
        ({"type": "GeometryCollection", "geometries": []}, "it holds GeometryCollection"),
        (collection(), "no polygon that is not empty"),
        (collection(shapely.Polygon()), "no polygon that is not empty"),
        ({"type": "Polygon"}, "not valid GeoJSON"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1]]]}, "not valid GeoJSON"),
        ({"type": "FeatureCollection", "features": [{"type": "Feature"}]}, "not valid GeoJSON"),
        ("POLYGON ((0 0, 1 1, 1 0, 0 0))", "not valid GeoJSON"),
        (collection(DEGREES[0], crs={"properties": {"name": "nonsense"}}), "crs 'nonsense' is not known"),
        (xr.DataArray([1.0], dims="x", coords={"x": [1]}), "a dimension of geometries"),
    ],
)
def test_what_is_no_polygon_is_refused(value: Any, words: str) -> None:
    with pytest.raises(OpenEOError, match=words) as failure:
        parse_footprint(value)
    assert failure.value.code == "ProcessParameterInvalid"
