"""`apply_polygon`: each polygon's pixels are a cube of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides.polygons import apply_polygon
from tests.processes.graph.graphs import cube, values

A = values(2, 2, 6, 8, missing=0)


def square(west: float, north: float, size: float) -> dict[str, Any]:
    """Return a feature: pixels from the upper left corner, in units of pixels."""
    x, y, d = 500_000 + 10 * west, 5_650_000 - 10 * north, 10 * size
    ring = [[x, y], [x + d, y], [x + d, y - d], [x, y - d], [x, y]]
    return {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    return {"type": "FeatureCollection", "features": list(features), "crs": crs}


def minus_mean(data: xr.DataArray, *, named_parameters: Any, **_: Any) -> xr.DataArray:
    return data - data.mean(["y", "x"]) + (named_parameters["context"] or 0)


@pytest.mark.parametrize("chunks", [(2, 2, 6, 8), (1, 1, 4, 3)])
def test_each_polygon_is_processed_alone(chunks: tuple[int, ...], raise_if_computes: Callable[..., Any]) -> None:
    data = cube(A, chunks)
    result = apply_polygon(data, collection(square(0, 0, 3), square(4, 2, 2)), minus_mean, context=1)
    raise_if_computes()
    expected = np.full_like(A, np.nan)
    for part in (np.s_[:, :, :3, :3], np.s_[:, :, 2:4, 4:6]):
        expected[part] = A[part] - A[part].mean((2, 3), keepdims=True) + 1
    np.testing.assert_allclose(result.values, expected, rtol=1e-4, atol=1e-5)
    assert result.dims == data.dims


def test_the_value_outside() -> None:
    seen = []

    def look(data: xr.DataArray, **_: Any) -> xr.DataArray:
        seen.append(data.compute())
        return data

    triangle = square(0, 0, 4)
    triangle["geometry"]["coordinates"][0].pop(2)
    result = apply_polygon(cube(A), collection(triangle), look, mask_value=-9)
    assert (seen[0] == -9).any()
    assert (result.values[..., 5:, :] == -9).all()
    np.testing.assert_array_equal(result.values[..., 0, 0], A[..., 0, 0])


def test_polygons_that_overlap() -> None:
    with pytest.raises(OpenEOError) as caught:
        apply_polygon(cube(A), collection(square(0, 0, 3), square(2, 2, 3)), minus_mean)
    assert caught.value.code == "GeometriesOverlap"
    apply_polygon(cube(A), collection(square(0, 0, 3), square(3, 0, 3)), minus_mean)  # they only touch


def test_a_process_that_changes_the_cube() -> None:
    with pytest.raises(OpenEOError, match="dimensions"):
        apply_polygon(cube(A), collection(square(0, 0, 3)), lambda data, **_: data.mean("t"))


def test_slivers_without_a_pixels_centre_do_not_overlap() -> None:
    data = cube(A)
    result = apply_polygon(data, collection(square(0, 0, 3.2), square(2.9, 0, 3)), minus_mean)
    assert np.isfinite(result.values[..., :3, :6]).all()
    assert np.isnan(result.values[..., 3:, :]).all()


def test_polygons_beyond_the_cube_are_left_out() -> None:
    data = cube(A)
    result = apply_polygon(data, collection(square(0, 0, 3), square(500, 0, 3)), minus_mean)
    np.testing.assert_array_equal(result.values, apply_polygon(data, collection(square(0, 0, 3)), minus_mean).values)
    with pytest.raises(OpenEOError) as caught:
        apply_polygon(data, collection(square(500, 0, 3)), minus_mean)
    assert caught.value.code == "NoDataAvailable"


def test_bounding_boxes_may_overlap() -> None:
    upper, lower = square(0, 0, 6), square(0, 0, 6)
    upper["geometry"]["coordinates"][0].pop(2)
    _, second, third, fourth, _ = lower["geometry"]["coordinates"][0]
    lower["geometry"]["coordinates"][0] = [[x, y - 0.5] for x, y in (second, third, fourth, second)]
    data = cube(A, (1, 2, 4, 3))
    once = [apply_polygon(data, collection(one), minus_mean).values for one in (upper, lower)]
    both = apply_polygon(data, collection(upper, lower), minus_mean)
    np.testing.assert_array_equal(both.values, np.where(np.isnan(once[0]), once[1], once[0]))
