"""Dimensions flattened and taken apart again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides.cubes import labels_of
from processes.overrides.shape import flatten_dimensions, unflatten_dimension
from tests.processes.overrides.conftest import BANDS, equal, make_cube


def example() -> xr.DataArray:
    return xr.DataArray([[1, 2], [3, 4]], dims=("A", "B"), coords={"A": [2020, 2021], "B": ["B1", "B2"]})


def test_the_specifications_example() -> None:
    flat = flatten_dimensions(example(), ["A", "B"], "X")
    assert flat.dims == ("X",)
    assert flat["X"].values.tolist() == ["2020~B1", "2020~B2", "2021~B1", "2021~B2"]
    assert flat.values.tolist() == [1, 2, 3, 4]
    back = unflatten_dimension(flat, "X", ["A", "B"])
    assert back.dims == ("A", "B")
    assert back["A"].values.tolist() == ["2020", "2021"]
    assert back["B"].values.tolist() == ["B1", "B2"]
    assert back.values.tolist() == [[1, 2], [3, 4]]


def test_the_order_of_dimensions_is_the_one_asked_for() -> None:
    flat = flatten_dimensions(example(), ["B", "A"], "X", "/")
    assert flat["X"].values.tolist() == ["B1/2020", "B1/2021", "B2/2020", "B2/2021"]
    assert flat.values.tolist() == [1, 3, 2, 4]


def test_dates_and_bands(cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    flat = flatten_dimensions(cube, ["t", "bands"], "layer", "@")
    back = unflatten_dimension(flat, "layer", ["date", "band"], "@")
    assert flat.dims == ("layer", "y", "x")
    assert flat.odc.crs == back.odc.crs == cube.odc.crs
    assert labels_of(flat, "layer")[:2] == ["2024-01-28T06:00:00Z@B02", "2024-01-28T06:00:00Z@B03"]
    assert back.dims == ("date", "band", "y", "x")
    assert labels_of(back, "date") == labels_of(cube, "t")
    assert labels_of(back, "band") == BANDS
    raise_if_computes()
    equal(flat, cube.values.reshape(18, 6, 7))
    equal(back, cube.values)


def test_pixels(cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    flat = flatten_dimensions(cube, ["x", "y"], "pixel")
    back = unflatten_dimension(flat, "pixel", ["x", "y"])
    assert flat.dims == ("t", "bands", "pixel")
    assert flat.sizes["pixel"] == 42
    assert flat["pixel"].values[0] == f"{cube['x'].values[0]}~{cube['y'].values[0]}"
    assert "spatial_ref" not in flat.coords
    raise_if_computes()
    equal(flat, cube.values.swapaxes(2, 3).reshape(6, 3, 42))
    equal(back, cube.values.swapaxes(2, 3))


def test_labels_in_any_order() -> None:
    flat = flatten_dimensions(example(), ["A", "B"], "X")
    back = unflatten_dimension(flat.isel(X=[3, 0, 2, 1]), "X", ["A", "B"])
    assert back["A"].values.tolist() == ["2021", "2020"]
    assert back["B"].values.tolist() == ["B2", "B1"]
    assert back.values.tolist() == [[4, 3], [2, 1]]


def test_three_dimensions_of_chunks() -> None:
    cube = make_cube().chunk({"t": 2, "bands": 1, "y": 2, "x": 3})
    flat = flatten_dimensions(cube, ["bands", "t", "y"], "all")
    assert flat.dims == ("all", "x")
    back = unflatten_dimension(flat, "all", ["bands", "t", "y"])
    equal(back, make_cube().transpose("bands", "t", "y", "x").values)


@pytest.mark.parametrize(("dimensions", "target", "code"), [
    (["A", "C"], "X", "DimensionNotAvailable"),
    (["A", "B"], "A", "TargetDimensionExists"),
    (["A"], "B", "TargetDimensionExists"),
    (["A", "A"], "X", "ProcessParameterInvalid"),
    ([], "X", "ProcessParameterInvalid"),
])  # fmt: skip
def test_what_cannot_be_flattened(dimensions: list[str], target: str, code: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        flatten_dimensions(example(), dimensions, target)
    assert caught.value.code == code


def test_millions_of_labels_are_refused() -> None:
    import dask.array as da

    wide = xr.DataArray(da.zeros((2000, 2000)), dims=("y", "x"))
    with pytest.raises(OpenEOError, match="4000000 labels"):
        flatten_dimensions(wide, ["y", "x"], "pixel")


@pytest.mark.parametrize(("labels", "targets", "message"), [
    (["a~1", "a~2", "b~1", "b"], ["p", "q"], "'b' has 1 parts"),
    (["a~1", "a~2", "b~1", "b~2"], ["p", "q", "r"], "has 2 parts"),
    (["a~1", "a~2", "b~1", "c~2"], ["p", "q"], "there is no label for b and 2"),
    (["a~1", "a~2", "a~1", "a~2"], ["p", "q"], "there twice"),
    (["a~1", "a~2", "b~1", "b~2"], ["p", "p"], "two or more different"),
    (["a~1", "a~2", "b~1", "b~2"], ["p"], "two or more different"),
])  # fmt: skip
def test_what_cannot_be_taken_apart(labels: list[str], targets: list[str], message: str) -> None:
    cube = xr.DataArray(np.arange(4), dims="X", coords={"X": labels})
    with pytest.raises(OpenEOError, match=message) as caught:
        unflatten_dimension(cube, "X", targets)
    assert caught.value.code == "ProcessParameterInvalid"


@pytest.mark.parametrize("name", ["X", "Y"])
def test_dimensions_that_exist(name: str) -> None:
    cube = xr.DataArray(np.arange(4)[:, None], dims=("X", "Y"), coords={"X": ["a~1", "a~2", "b~1", "b~2"]})
    with pytest.raises(OpenEOError) as caught:
        unflatten_dimension(cube, "X", ["p", name])
    assert caught.value.code == "TargetDimensionExists"
    with pytest.raises(OpenEOError) as caught:
        unflatten_dimension(cube, "Z", ["p", "q"])
    assert caught.value.code == "DimensionNotAvailable"
