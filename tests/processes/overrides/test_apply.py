"""apply, apply_dimension and apply_neighborhood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides.apply import apply, apply_dimension, apply_neighborhood
from processes.overrides.arrays import array_create, array_labels
from tests.processes.overrides.conftest import DATES, equal, make_cube, nanmean, span


def test_apply_keeps_everything_but_values(cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    calls = []

    def process(x: Any, positional_parameters: dict[str, int], named_parameters: dict[str, Any]) -> Any:
        calls.append((positional_parameters, named_parameters))
        return np.abs(x - 100) * named_parameters["context"]

    result = apply(cube, process, context=2)
    assert calls == [({"x": 0}, {"context": 2})]
    assert result.dtype == np.float32
    assert result.dims == cube.dims
    assert result.attrs == {"title": "made"}
    assert result.odc.crs.epsg == 32631
    equal(result, np.abs(make_cube().values - 100) * 2, raise_if_computes)


@pytest.mark.parametrize(("returned", "value"), [(3, 3), (None, np.nan), (True, 1)])
def test_apply_spreads_a_constant(cube: xr.DataArray, returned: Any, value: float) -> None:
    result = apply(cube, lambda *_, **__: returned)
    assert isinstance(result.data, da.Array) == isinstance(cube.data, da.Array)
    equal(result, np.full(cube.shape, value))


@pytest.mark.parametrize("dimension", ["t", "bands", "x"])
def test_apply_dimension_of_the_same_length_keeps_labels(
    cube: xr.DataArray, dimension: str, raise_if_computes: Callable[[], None]
) -> None:
    def centred(data: Any, axis: int, keepdims: bool, **_: Any) -> Any:
        return data - nanmean(data, axis=axis, keepdims=keepdims)

    result = apply_dimension(cube, centred, dimension)
    assert result.dims == cube.dims
    assert np.array_equal(result[dimension], cube[dimension])
    values = make_cube().values
    axis = cube.get_axis_num(dimension)
    equal(result, values - nanmean(values, axis=axis, keepdims=True), raise_if_computes)
    assert result.odc.crs.epsg == 32631


def test_apply_dimension_of_another_length_counts_labels(cube: xr.DataArray) -> None:
    result = apply_dimension(cube, lambda data, **_: data[..., 1:3], "t")
    assert list(result["t"].values) == [0, 1]
    equal(result, make_cube().values[1:3])


@pytest.mark.parametrize("keeps", [True, False])
def test_apply_dimension_takes_one_value_with_or_without_the_axis(cube: xr.DataArray, keeps: bool) -> None:
    result = apply_dimension(cube, lambda data, axis, **_: span(data, axis, keeps), "y")
    assert list(result["y"].values) == [0]
    equal(result, span(make_cube().values, 2, True))


def test_apply_dimension_takes_an_array_as_result(cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    def statistics(data: Any, axis: int, keepdims: bool, **_: Any) -> Any:
        mean = nanmean(data, axis=axis, keepdims=keepdims)
        # The second lost the axis: some implementations do not know keepdims.
        return array_create([mean, span(data, axis, False), 7], axis=axis, keepdims=keepdims)

    result = apply_dimension(cube, statistics, "bands", target_dimension="stats")
    assert result.dims == ("t", "stats", "y", "x")
    assert list(result["stats"].values) == [0, 1, 2]
    assert "bands" not in result.coords
    values = make_cube().values
    mean, spans = nanmean(values, 1, False), span(values, 1, False)
    equal(result, np.stack([mean, spans, np.full_like(mean, 7)], axis=1), raise_if_computes)


def test_apply_dimension_broadcasts_labels() -> None:
    result = apply_dimension(make_cube(), lambda data, axis, dim_labels, **_: array_labels(data, axis, dim_labels), "t")
    assert (result.isel(t=2) == DATES[2]).all()


def test_target_dimension_with_one_label_is_replaced_with_more_refused() -> None:
    single = make_cube().isel(bands=[0])
    result = apply_dimension(single, lambda data, **_: data, "t", target_dimension="bands")
    assert result.dims == ("bands", "y", "x")
    assert list(result["bands"].values) == list(range(6))
    with pytest.raises(OpenEOError, match="3 labels"):
        apply_dimension(make_cube(), lambda data, **_: data, "t", target_dimension="bands")
    with pytest.raises(OpenEOError) as error:
        apply_dimension(single, lambda data, **_: data, "time")
    assert error.value.code == "DimensionNotAvailable"


def px(**sizes: Any) -> list[dict[str, Any]]:
    return [{"dimension": d, "value": v, "unit": "px"} for d, v in sizes.items()]


def centred_window(data: xr.DataArray, **_: Any) -> xr.DataArray:
    """The window less the mean of all that it and its overlap hold."""
    return data - data.mean(("t", "y", "x"))


def test_neighbourhoods_see_their_overlap_and_no_data_beyond(
    cube: xr.DataArray, raise_if_computes: Callable[[], None]
) -> None:
    result = apply_neighborhood(cube, centred_window, px(x=3, y=2, t=4), px(x=1, y=2, t=1))
    values = make_cube().values
    expected = np.empty_like(values)
    for t0 in range(0, 6, 4):
        for y0 in range(0, 6, 2):
            for x0 in range(0, 7, 3):
                around = values[max(t0 - 1, 0) : t0 + 5, :, max(y0 - 2, 0) : y0 + 4, max(x0 - 1, 0) : x0 + 4]
                inner = (slice(t0, t0 + 4), slice(None), slice(y0, y0 + 2), slice(x0, x0 + 3))
                expected[inner] = values[inner] - np.nanmean(around, axis=(0, 2, 3), keepdims=True)
    assert result.dtype == np.float32
    assert result.odc.crs.epsg == 32631
    assert np.array_equal(result["t"], cube["t"])
    assert result.attrs == {"title": "made"}
    np.testing.assert_allclose((raise_if_computes(), result.values)[1], expected, atol=1e-3)


def test_the_window_is_a_cube_with_continued_labels() -> None:
    seen: list[xr.DataArray] = []

    def look(data: xr.DataArray, **_: Any) -> Any:
        seen.append(data)
        return data.data

    cube = make_cube()
    result = apply_neighborhood(cube, look, px(x=7, y=3), px(y=1))
    equal(result, cube.values)
    assert seen[0].sizes == {"t": 6, "bands": 3, "y": 5, "x": 7}
    assert list(seen[0]["y"].values[:2]) == [5700065, 5700055]
    assert np.isnan(seen[0].values[:, :, 0]).all()
    assert np.array_equal(seen[0].values[:, :, -1], cube.values[:, :, 3], equal_nan=True)


def test_one_dimensional_neighbourhoods_are_labelled_arrays() -> None:
    cube = make_cube().isel(bands=[0]).chunk({"t": 2})
    calls = []

    def reverse(data: Any, axis: int, dim_labels: Any, **_: Any) -> Any:
        calls.append(dim_labels)
        return np.flip(data, axis)

    equal(apply_neighborhood(cube, reverse, px(x=1, y=1)), cube.values[::-1])
    assert len(calls) == 1
    assert np.array_equal(calls[0], DATES)


def test_sizes_in_metres_are_those_of_the_reference_system() -> None:
    shapes = []

    def look(data: xr.DataArray, **_: Any) -> Any:
        shapes.append(data.shape[2:])
        return data

    apply_neighborhood(
        make_cube(), look, [{"dimension": "x", "value": 40}, {"dimension": "y", "value": 60, "unit": "m"}]
    )
    assert shapes == [(6, 4), (6, 3)]


@pytest.mark.parametrize(
    ("size", "process", "code"),
    [
        (px(z=2), centred_window, "DimensionNotAvailable"),
        (px(x=0), centred_window, "ProcessParameterInvalid"),
        ([{"dimension": "t", "value": "5 days"}], centred_window, "ProcessParameterInvalid"),
        ([{"dimension": "x", "value": "P5D"}], centred_window, "ProcessParameterInvalid"),
        (px(x=3), lambda data, **_: data.isel(x=[0]), "DataCubePropertiesImmutable"),
    ],
)
def test_wrong_neighbourhoods_have_codes(size: list[dict[str, Any]], process: Callable[..., Any], code: str) -> None:
    with pytest.raises(OpenEOError) as error:
        apply_neighborhood(make_cube(), process, size)
    assert error.value.code == code


def test_durations_cut_windows_of_dates(cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    seen = []

    def look(data: xr.DataArray, **_: Any) -> xr.DataArray:
        seen.append(list(data["t"].values))
        return data - data.mean("t")

    size, overlap = [{"dimension": "t", "value": "P10D"}], [{"dimension": "t", "value": "P7D"}]
    result = apply_neighborhood(cube, look, size, overlap)
    # Windows from 2024-01-28, 02-07, (02-17 without any date) and 02-27; seven days more on both sides.
    around = [slice(0, 4), slice(1, 4), slice(4, 6)]
    assert seen == [list(DATES[a]) for a in around]
    values = make_cube().values
    means = [
        np.where(np.isnan(v).all(0), np.nan, np.nansum(v, 0) / np.maximum((~np.isnan(v)).sum(0), 1))
        for v in (values[a] for a in around)
    ]
    raise_if_computes()
    expected = np.concatenate([values[0:3] - means[0], values[3:4] - means[1], values[4:6] - means[2]])
    np.testing.assert_allclose(result.values, expected, atol=1e-3)
    assert np.array_equal(result["t"], cube["t"])
