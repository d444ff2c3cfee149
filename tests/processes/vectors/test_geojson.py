"""`load_geojson` by its specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr

from processes.errors import OpenEOError
from processes.vectors import load_geojson
from processes.vectors.cubes import crs_of

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
POINT = {"type": "Point", "coordinates": [2, 3]}


def feature(geometry: Any = None, id: Any = None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties, **({} if id is None else {"id": id})}


def collection(*features: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), **more}


@pytest.mark.parametrize("geometry", [SQUARE, POINT, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}])
def test_a_geometry_becomes_a_label(geometry: dict[str, Any]) -> None:
    cube = load_geojson(geometry)
    assert cube.dims == ("geometry",)
    assert shapely.equals(cube["geometry"].item(), shapely.geometry.shape(geometry))
    assert crs_of(cube, "geometry").to_epsg() == 4326
    assert cube.isnull().all()


def test_properties_are_preserved() -> None:
    cube = load_geojson(collection(feature(SQUARE, "a", crop="maize", area=3, ok=True), feature(POINT, "b", crop=None)))
    assert cube["crop"].values.tolist() == ["maize", ""]
    np.testing.assert_array_equal(cube["area"], [3, np.nan])
    assert cube["id"].values.tolist() == ["a", "b"]
    assert cube.sizes == {"geometry": 2}


def test_one_long_text_does_not_make_all_texts_long() -> None:
    features = [feature(POINT, note="x" * 2_000_000), *(feature(POINT, note="y") for _ in range(500))]
    notes = load_geojson(collection(*features))["note"]
    assert notes.nbytes < 2**24
    assert notes.values[1] == "y"


def test_one_property_of_single_values() -> None:
    cube = load_geojson(collection(feature(SQUARE, area=3), feature(POINT), feature(POINT, area=4.5)), ["area"])
    assert cube.dims == ("geometry", "properties")
    assert cube["properties"].values.tolist() == ["area"]
    np.testing.assert_array_equal(cube.values, [[3], [np.nan], [4.5]])


def test_one_property_of_arrays() -> None:
    cube = load_geojson(collection(feature(SQUARE, v=[1, 2, 3]), feature(POINT, v=[4]), feature(POINT)), ["v"])
    assert cube["properties"].values.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(cube.values, [[1, 2, 3], [4, np.nan, np.nan], [np.nan] * 3])


def test_several_properties() -> None:
    cube = load_geojson(collection(feature(SQUARE, a=1, b=2, c=9), feature(POINT, b=4)), ["b", "a"])
    assert cube["properties"].values.tolist() == ["b", "a"]
    np.testing.assert_array_equal(cube.values, [[2, 1], [4, np.nan]])
    assert cube["c"].values.tolist()[0] == 9


def test_properties_of_text() -> None:
    cube = load_geojson(feature(POINT, name="x"), ["name", "other"])
    assert cube.values.tolist() == [["x", None]]


def test_properties_do_not_apply_to_a_bare_geometry() -> None:
    assert load_geojson(SQUARE, ["a"]).dims == ("geometry",)


def test_the_reference_system_of_the_former_version() -> None:
    cube = load_geojson(collection(feature(POINT), crs={"type": "name", "properties": {"name": "EPSG:32631"}}))
    assert crs_of(cube, "geometry").to_epsg() == 32631


def test_features_without_geometry_stay_as_empty_ones() -> None:
    cube = load_geojson(collection(feature(None, a=1), feature(POINT, a=2)))
    assert [shape.is_empty for shape in cube["geometry"].values] == [True, False]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"type": "GeometryCollection", "geometries": [POINT]}, "GeometryCollection"),
        (feature({"type": "GeometryCollection", "geometries": [POINT]}), "GeometryCollection"),
        ({"type": "Ball", "coordinates": []}, "Ball"),
        ({"type": "Polygon"}, "coordinates"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "valid GeoJSON"),
        ({"type": "FeatureCollection"}, "features"),
        ({"type": "Point", "coordinates": [1e400, 0]}, "finite"),
        (collection(feature(POINT), crs={"properties": {"name": "+proj=longlat"}}), "crs"),
        (collection("feature"), "valid GeoJSON"),
    ],
)
def test_what_cannot_be_read_is_told(data: dict[str, Any], told: str) -> None:
    with pytest.raises(OpenEOError, match=told) as error:
        load_geojson(data)
    assert error.value.code == "ProcessParameterInvalid"
    assert "'data'" in error.value.message


def test_arrays_in_several_properties_are_refused() -> None:
    with pytest.raises(OpenEOError, match="single values") as error:
        load_geojson(feature(POINT, a=[1], b=2), ["a", "b"])
    assert error.value.code == "ProcessParameterInvalid"


def test_the_cube_is_taken_where_vector_cubes_are(no_compute: None) -> None:
    """As a spatial extent, and by `aggregate_spatial`."""
    import dask.array as da
    import odc.geo.xr  # noqa: F401

    from processes.overrides.aggregate_spatial import aggregate_spatial
    from processes.sources import parse_footprint

    cube = load_geojson(collection(feature(SQUARE, name="a")))
    assert parse_footprint(cube).bbox.bounds == (0, 0, 1, 1)
    centres = np.linspace(0.05, 1.95, 20)
    raster = xr.DataArray(da.ones((20, 20)), dims=("y", "x"), coords={"y": centres[::-1], "x": centres})
    result = aggregate_spatial(raster.odc.assign_crs("EPSG:4326"), cube, lambda data, **_: data.sum(axis=-1))
    assert result.sizes["geometry"] == 1
