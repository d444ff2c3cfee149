"""reduce_dimension and reduce_spatial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides.aggregate_spatial import aggregate_spatial
from processes.overrides.reduce import reduce_dimension, reduce_spatial
from tests.processes.overrides.conftest import BANDS, equal, make_cube, nanmean, scaled_mean, span


@pytest.mark.parametrize("dimension", ["t", "bands", "y"])
@pytest.mark.parametrize("reducer", [nanmean, span, scaled_mean])
def test_reduces_along_one_dimension(
    cube: xr.DataArray, dimension: str, reducer: Callable[..., Any], raise_if_computes: Callable[[], None]
) -> None:
    result = reduce_dimension(cube, reducer, dimension)
    reference = make_cube()
    axis = reference.get_axis_num(dimension)
    expected = np.apply_along_axis(lambda v: reducer(v, axis=0, keepdims=False), axis, reference.values)
    assert result.dims == tuple(d for d in cube.dims if d != dimension)
    equal(result, expected, raise_if_computes)


def test_keeps_what_it_knows_and_adds_nothing(cube: xr.DataArray) -> None:
    result = reduce_dimension(cube, nanmean, "t")
    assert result.attrs == {"title": "made"}
    assert result.name == "s2"
    assert list(result["bands"].values) == BANDS
    assert "t" not in result.coords
    assert result.odc.crs.epsg == 32631
    assert np.array_equal(result["y"], cube["y"])


def test_keeps_the_integer_type() -> None:
    result = reduce_dimension(make_cube("uint8"), lambda v, axis, **_: v.max(axis=axis), "t")
    assert result.dtype == np.uint8


def test_passes_labels_context_and_axis_once() -> None:
    calls: list[dict[str, Any]] = []

    def reducer(values: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return values[:, 0]

    reduce_dimension(make_cube().chunk({"t": 1}), reducer, "bands", context={"k": 1})
    (call,) = calls
    assert call["axis"] == 1
    assert call["keepdims"] is False
    assert list(call["dim_labels"]) == BANDS
    assert call["positional_parameters"] == {"data": 0}
    assert call["named_parameters"] == {"context": {"k": 1}}


def test_a_constant_fills_the_cube(cube: xr.DataArray) -> None:
    result = reduce_dimension(cube, lambda *_, **__: None, "t")
    assert result.shape == (3, 6, 7)
    assert np.isnan(result.values).all()
    assert isinstance(result.data, da.Array) == isinstance(cube.data, da.Array)


def test_a_missing_dimension_is_named() -> None:
    with pytest.raises(OpenEOError, match=r"'time'.*t, bands, y, x") as error:
        reduce_dimension(make_cube(), nanmean, "time")
    assert error.value.code == "DimensionNotAvailable"


def test_a_result_of_wrong_shape_is_told() -> None:
    with pytest.raises(OpenEOError, match="reducer"):
        reduce_dimension(make_cube(), lambda v, **_: v[:2], "t")


@pytest.mark.parametrize("reducer", [nanmean, span, scaled_mean])
def test_reduces_both_spatial_dimensions(
    cube: xr.DataArray, reducer: Callable[..., Any], raise_if_computes: Callable[[], None]
) -> None:
    result = reduce_spatial(cube, reducer)
    expected = np.array([[reducer(p.ravel(), axis=0, keepdims=False) for p in date] for date in make_cube().values])
    assert result.dims == ("t", "bands")
    assert "spatial_ref" not in result.coords
    equal(result, expected, raise_if_computes)


def test_a_vector_cube_keeps_its_geometries() -> None:
    shapes = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [3.0005, 51.4525]},
        "properties": {"n": 1},
    }
    vectors = aggregate_spatial(make_cube(), shapes, nanmean)
    result = reduce_dimension(vectors, nanmean, "t")
    assert result.dims == ("geometry", "bands")
    assert result.xvec.is_geom_variable("geometry", has_index=True)
    assert result["n"].values == [1]


def test_a_value_that_is_the_same_for_all_pixels_is_spread_in_chunks() -> None:
    cube = make_cube().chunk({"t": 1, "y": 2, "x": 3})
    result = reduce_dimension(cube, lambda v, **_: v[0, :, :1, :1].rechunk(1), "t")
    assert result.chunks == ((1, 1, 1), (2, 2, 2), (3, 3, 1))
    assert (result.isel(bands=0) == cube[0, 0, 0, 0]).all()
