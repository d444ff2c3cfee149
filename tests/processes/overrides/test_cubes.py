"""Dimensions and labels; nothing but coordinates is looked at, and the inputs stay as they are."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import odc.geo.xr
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox

from processes.errors import OpenEOError
from processes.overrides import cubes

# Nothing may compute while a graph is built.
pytestmark = pytest.mark.usefixtures("no_compute")


@pytest.fixture
def cube() -> xr.DataArray:
    """A lazy cube (2 dates, 3 bands, 4, 5) of uint16."""
    values = np.random.default_rng(1).integers(1, 1000, (2, 3, 4, 5), dtype=np.uint16)
    grid = odc.geo.xr.xr_coords(GeoBox.from_bbox((0, 0, 50, 40), "EPSG:32631", resolution=10))
    times = np.array(["2024-01-01", "2024-01-06T10:30:00"], dtype="datetime64[ns]")
    return xr.DataArray(
        da.from_array(values, chunks=(1, 3, 2, 5)),
        dims=("t", "bands", "y", "x"),
        coords={**grid, "t": times, "bands": ["B04", "B08", "SCL"]},
    )


def code(caught: pytest.ExceptionInfo[OpenEOError]) -> str:
    return caught.value.code


def computed(cube: xr.DataArray) -> np.ndarray:
    return np.asarray(cube.data.compute(scheduler="sync") if dask.is_dask_collection(cube.data) else cube.data)


def test_dimensions_are_added_where_they_belong(cube: xr.DataArray) -> None:
    assert cubes.add_dimension(cube, "model", "a").dims == ("t", "bands", "model", "y", "x")
    flat = cube.isel(t=0, bands=0, drop=True)
    dated = cubes.add_dimension(cubes.add_dimension(flat, "bands", "B04", "bands"), "t", "2024-03-01", "temporal")
    assert dated.dims == ("t", "bands", "y", "x")
    assert dated["t"].values.tolist() == [np.datetime64("2024-03-01", "ns").astype(int)]
    assert dated["bands"].values.tolist() == ["B04"]
    assert dated.odc.crs == cube.odc.crs
    np.testing.assert_array_equal(computed(dated)[0, 0], computed(cube)[0, 0])


def test_a_cube_can_be_made_from_nothing() -> None:
    empty = cubes.create_data_cube()
    assert empty.dims == ()
    made = cubes.add_dimension(cubes.add_dimension(empty, "x", 1.5, "spatial"), "other", 3)
    assert dict(made.sizes) == {"other": 1, "x": 1}


def test_dimensions_that_exist_cannot_be_added(cube: xr.DataArray) -> None:
    with pytest.raises(OpenEOError, match="'t' exists") as caught:
        cubes.add_dimension(cube, "t", "2024-01-01", "temporal")
    assert code(caught) == "DimensionExists"
    spatial = cubes.add_dimension(cube, "z", 0, "spatial")
    with pytest.raises(OpenEOError) as caught:
        cubes.add_dimension(spatial, "w", 0, "spatial")
    assert code(caught) == "DimensionExists"
    with pytest.raises(OpenEOError, match="'strange' is none of") as caught:
        cubes.add_dimension(cube, "w", 0, "strange")


def test_only_dimensions_with_one_label_can_be_dropped(cube: xr.DataArray) -> None:
    dropped = cubes.drop_dimension(cube.isel(bands=[1]), "bands")
    assert dropped.dims == ("t", "y", "x")
    assert "bands" not in dropped.coords
    with pytest.raises(OpenEOError, match="has 3 labels") as caught:
        cubes.drop_dimension(cube, "bands")
    assert code(caught) == "DimensionLabelCountMismatch"
    with pytest.raises(OpenEOError, match="there are t, bands, y, x") as caught:
        cubes.drop_dimension(cube, "band")
    assert code(caught) == "DimensionNotAvailable"


def test_rename_dimension(cube: xr.DataArray) -> None:
    renamed = cubes.rename_dimension(cube, "bands", "channel")
    assert renamed.dims == ("t", "channel", "y", "x")
    assert renamed["channel"].values.tolist() == ["B04", "B08", "SCL"]
    assert cube.dims == ("t", "bands", "y", "x")
    for source, target, expected in [("b", "c", "DimensionNotAvailable"), ("bands", "t", "DimensionExists")]:
        with pytest.raises(OpenEOError) as caught:
            cubes.rename_dimension(cube, source, target)
        assert code(caught) == expected


def test_some_labels_are_renamed_in_any_order(cube: xr.DataArray) -> None:
    renamed = cubes.rename_labels(cube, "bands", ["classes", "red"], ["SCL", "B04"])
    assert cubes.dimension_labels(renamed, "bands") == ["red", "B08", "classes"]
    assert cubes.dimension_labels(cube, "bands") == ["B04", "B08", "SCL"]
    np.testing.assert_array_equal(computed(renamed), computed(cube))
    swapped = cubes.rename_labels(cube, "bands", ["B08", "B04"], ["B04", "B08"])
    assert cubes.dimension_labels(swapped, "bands") == ["B08", "B04", "SCL"]


def test_enumerated_labels_need_no_source(cube: xr.DataArray) -> None:
    numbered = cube.assign_coords(bands=[0, 1, 2])
    assert cubes.dimension_labels(cubes.rename_labels(numbered, "bands", ["a", "b", "c"]), "bands") == ["a", "b", "c"]
    assert cubes.dimension_labels(cubes.rename_labels(numbered, "bands", ["a"]), "bands") == ["a", 1, 2]
    without = cubes.rename_labels(numbered, "bands", source=["a", "b", "c"])
    assert cubes.dimension_labels(without, "bands") == ["a", "b", "c"]
    bare = cube.drop_vars("bands")
    assert cubes.dimension_labels(cubes.rename_labels(bare, "bands", ["a", "b", "c"]), "bands") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [
        (["a", "b", "c"], [], "LabelsNotEnumerated"),
        (["a"], ["B04", "B08"], "LabelMismatch"),
        (["a"], ["red"], "LabelNotAvailable"),
        (["B08"], ["B04"], "LabelExists"),
        (["a", "a"], ["B04", "B08"], "LabelExists"),
    ],
)
def test_labels_that_cannot_be_renamed(cube: xr.DataArray, target: Any, source: Any, expected: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        cubes.rename_labels(cube, "bands", target, source)
    assert code(caught) == expected


def test_more_targets_than_enumerated_labels_are_an_error(cube: xr.DataArray) -> None:
    with pytest.raises(OpenEOError) as caught:
        cubes.rename_labels(cube.assign_coords(bands=[0, 1, 2]), "bands", list("abcd"))
    assert code(caught) == "LabelMismatch"


def test_labels_are_plain_and_dates_are_text(cube: xr.DataArray) -> None:
    assert cubes.dimension_labels(cube, "t") == ["2024-01-01T00:00:00Z", "2024-01-06T10:30:00Z"]
    assert cubes.dimension_labels(cube, "x") == [5, 15, 25, 35, 45]
    renamed = cubes.rename_labels(cube, "t", ["before"], ["2024-01-01T00:00:00Z"])
    assert cubes.dimension_labels(renamed, "t") == ["before", "2024-01-06T10:30:00Z"]


def test_ndvi_of_integers_by_band_name(cube: xr.DataArray) -> None:
    index = cubes.ndvi(cube, nir="B08", red="B04")
    values = computed(cube).astype(float)
    assert index.dims == ("t", "y", "x")
    assert index.dtype == np.float32
    expected = (values[:, 1] - values[:, 0]) / (values[:, 1] + values[:, 0])
    np.testing.assert_allclose(computed(index), expected, rtol=1e-5)
    assert index.odc.crs == cube.odc.crs


def test_ndvi_by_common_name_as_a_further_band(cube: xr.DataArray) -> None:
    named = cube.assign_coords(common_name=("bands", ["red", "nir", ""]))
    more = cubes.ndvi(named, target_band="ndvi")
    assert cubes.dimension_labels(more, "bands") == ["B04", "B08", "SCL", "ndvi"]
    assert more["common_name"].values.tolist() == ["red", "nir", "", ""]
    assert more.dims == cube.dims
    np.testing.assert_allclose(computed(more)[:, 3], computed(cubes.ndvi(named)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "NirBandAmbiguous"),
        ({"nir": "B08"}, "RedBandAmbiguous"),
        ({"nir": "B08", "red": "B04", "target_band": "SCL"}, "BandExists"),
    ],
)
def test_ndvi_without_its_bands(cube: xr.DataArray, arguments: dict[str, str], expected: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        cubes.ndvi(cube, **arguments)
    assert code(caught) == expected
    with pytest.raises(OpenEOError) as caught:
        cubes.ndvi(cube.isel(bands=0, drop=True))
    assert code(caught) == "DimensionAmbiguous"


def test_other_things_than_cubes_are_errors() -> None:
    with pytest.raises(OpenEOError, match="must be a data cube, not list") as caught:
        cubes.dimension_labels([1], "t")  # type: ignore[arg-type]
    assert code(caught) == "ProcessParameterInvalid"
