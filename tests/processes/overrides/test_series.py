"""Gaps filled and values accumulated: lists and any axis of arrays, lazy or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from processes.overrides import series


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([None, 1, None, 6, None, -8], [None, 1, 3.5, 6, -1, -8]),
        ([None, 1, None, None], [None, 1, None, None]),
        ([None, None], [None, None]),
        ([1, None, float("inf")], [1, float("inf"), float("inf")]),
        ([], []),
    ],
)
def test_interpolation_of_lists(data: list[Any], expected: list[Any]) -> None:
    assert series.array_interpolate_linear(data) == expected


def test_labels_say_where_the_elements_lie() -> None:
    data = np.array([0, np.nan, 10.0])
    dates = np.array(["2022-01-01", "2022-01-02", "2022-01-11"], "datetime64[ns]")
    assert series.array_interpolate_linear(data, 0, dates).tolist() == [0, 1, 10]
    assert series.array_interpolate_linear(data, 0, [0, 4, 5]).tolist() == [0, 8, 10]
    assert series.array_interpolate_linear(data, 0, ["a", "b", "c"]).tolist() == [0, 5, 10]


@pytest.mark.parametrize(
    ("function", "data", "ignore", "expected"),
    [
        (series.cumsum, [1, 3, None, 3, 1], True, [1, 4, None, 7, 8]),
        (series.cumsum, [1, 3, None, 3, 1], False, [1, 4, None, None, None]),
        (series.cumproduct, [2, 3, None, 4], True, [2, 6, None, 24]),
        (series.cummin, [5, None, 3, 4], True, [5, None, 3, 3]),
        (series.cummax, [1, None, 3, 2], False, [1, None, None, None]),
    ],
)
def test_accumulated_lists(function: Callable[..., Any], data: Any, ignore: bool, expected: Any) -> None:
    assert function(data, ignore) == expected


numbers = st.one_of(st.floats(-100, 100, width=32), st.just(np.float32(np.nan)))


@given(
    array=arrays.arrays(np.float32, arrays.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=numbers),
    axis=st.integers(0, 2),
    chunk=st.integers(1, 5),
    name=st.sampled_from(["array_interpolate_linear", "cumsum", "cummin", "cummax"]),
)
@settings(max_examples=40, deadline=None)
def test_any_chunks_and_any_axis_give_what_single_series_give(
    array: np.ndarray, axis: int, chunk: int, name: str
) -> None:
    function = getattr(series, name)
    lazy = function(da.from_array(array, chunks=chunk), axis=axis)
    assert isinstance(lazy, da.Array)
    assert lazy.dtype == np.float32
    expected = np.apply_along_axis(lambda one: function(one, axis=0), axis, array)
    np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-5, atol=1e-5)
    if name == "array_interpolate_linear":
        valid = ~np.isnan(array)
        np.testing.assert_array_equal(lazy.compute()[valid], array[valid])
