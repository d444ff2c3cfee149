"""`merge_cubes` of vector cubes."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides.merge import merge_cubes
from processes.vectors.cubes import crs_of, make_cube


def vector(
    *shapes: Any, values: float = 1.0, band: str = "a", crs: str = "EPSG:4326", **properties: Any
) -> xr.DataArray:
    data = da.full((len(shapes), 1), values, chunks=1)
    return make_cube(shapes, crs, properties, data, {"bands": [band]})


POINT, OTHER = shapely.Point(0, 0), shapely.Point(5, 0)
SQUARE = shapely.box(0, 0, 2, 2)
SAME_SQUARE = shapely.Polygon([(2, 2), (0, 2), (0, 0), (1, 0), (2, 0)])  # another begin, and a corner that is none


class TestVectors:
    def test_geometries_that_are_the_same_set_of_points_are_one_label(self) -> None:
        merged = merge_cubes(vector(SQUARE, n=[1]), vector(SAME_SQUARE, values=2.0, band="b", m=["x"]))
        assert merged["geometry"].to_numpy().tolist() == [SQUARE]
        np.testing.assert_array_equal(merged.compute(scheduler="synchronous"), [[1.0, 2.0]])
        assert (merged["n"].item(), merged["m"].item()) == (1, "x")

    def test_features_are_put_after_each_other_with_what_is_known_of_them(self) -> None:
        merged = merge_cubes(vector(POINT, n=[1], k=[7]), vector(OTHER, values=2.0, n=[2]))
        assert merged["geometry"].to_numpy().tolist() == [POINT, OTHER]
        assert merged["n"].to_numpy().tolist() == [1, 2]
        np.testing.assert_array_equal(merged["k"], [7, np.nan])
        assert crs_of(merged, "geometry").to_epsg() == 4326
        np.testing.assert_array_equal(merged.compute(scheduler="synchronous"), [[1.0], [2.0]])

    def test_other_kinds_of_geometries_and_reference_systems_do_not_fit(self) -> None:
        multi = shapely.MultiPoint([(1, 1), (2, 2)])
        assert merge_cubes(vector(POINT), vector(multi)).sizes["geometry"] == 2
        for code, other in (
            ("IncompatibleGeometryTypes", vector(SQUARE)),
            ("IncompatibleDataCubes", vector(OTHER, crs="EPSG:32631")),
            ("OverlapResolverMissing", vector(POINT)),
        ):
            with pytest.raises(OpenEOError) as error:
                merge_cubes(vector(POINT), other)
            assert error.value.code == code
