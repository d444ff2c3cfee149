"""Processes on lists, labelled arrays and along one axis of cubes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides import arrays, each, order
from processes.registry import OVERRIDES
from tests.processes.overrides.conftest import BANDS, DATES, make_cube

NULLS = [6, -1, 2, None, 7, 4, None, 8, 3, 9, 9]


def times_two_plus_one(x: Any, **_: Any) -> Any:
    return 2 * x + 1


def by(name: str, wanted: Any) -> Callable[..., Any]:
    """A condition on `index` or `label`."""
    return lambda x, named_parameters, **_: named_parameters[name] == wanted


@pytest.mark.parametrize(
    ("process", "arguments", "expected"),
    [
        ("array_element", {"data": [9, 8, 7, 6, 5], "index": 2}, 7),
        ("array_element", {"data": ["A", "B", "C"], "index": 0}, "A"),
        ("array_element", {"data": [], "index": 0, "return_nodata": True}, None),
        ("array_element", {"data": [1], "index": -1, "return_nodata": True}, None),
        ("array_create", {}, []),
        ("array_create", {"data": ["this", "is"]}, ["this", "is"]),
        ("array_create", {"data": [None], "repeat": 3}, [None, None, None]),
        ("array_create", {"data": [1, 2, 3], "repeat": 2}, [1, 2, 3, 1, 2, 3]),
        ("array_concat", {"array1": [1.5, 2.5], "array2": [5]}, [1.5, 2.5, 5]),
        ("array_concat", {"array1": ["a", "b"], "array2": [1, 2]}, ["a", "b", 1, 2]),
        ("array_append", {"data": [1, 2], "value": 3}, [1, 2, 3]),
        ("array_append", {"data": ["a"], "value": None}, ["a", None]),
        ("array_contains", {"data": [1, 2, 3], "value": 2}, True),
        ("array_contains", {"data": ["A", "B", "C"], "value": "b"}, False),
        ("array_contains", {"data": [1, 2, 3], "value": "2"}, False),
        ("array_contains", {"data": [1, 2, None], "value": None}, False),
        ("array_contains", {"data": [[1, 2], [3, 4]], "value": 2}, False),
        ("array_contains", {"data": [1, 0], "value": True}, False),
        ("array_find", {"data": [1, 2, 3, 2, 3], "value": 2}, 1),
        ("array_find", {"data": [1, 2, 3, 2, 3], "value": 2, "reverse": True}, 3),
        ("array_find", {"data": ["A", "B", "C"], "value": "b"}, None),
        ("array_find", {"data": [1, 2, 3], "value": "2"}, None),
        ("array_find", {"data": [1, None, 2, None], "value": None}, None),
        ("array_find", {"data": [[1, 2], [3, 4]], "value": [1, 2]}, None),
        ("array_find", {"data": [[1, 2], [3, 4]], "value": 2}, None),
        ("array_find", {"data": [{"a": "b"}], "value": {"a": "b"}}, None),
        ("array_labels", {"data": []}, []),
        ("array_labels", {"data": [1, 2, 3, None]}, [0, 1, 2, 3]),
        ("array_apply", {"data": [], "process": times_two_plus_one}, []),
        ("array_apply", {"data": [1, -2, 3.5], "process": times_two_plus_one}, [3, -3, 8.0]),
        ("array_filter", {"data": [], "condition": by("index", 1)}, []),
        ("array_filter", {"data": [5, None], "condition": by("index", 1)}, [None]),
        ("array_filter", {"data": [1, -2, 3.5], "condition": lambda x, **_: x > 1}, [3.5]),
        ("first", {"data": [1, 0, 3, 2]}, 1),
        ("first", {"data": [None, "A", "B"]}, "A"),
        ("first", {"data": [None, 2, 3], "ignore_nodata": False}, None),
        ("first", {"data": []}, None),
        ("last", {"data": [1, 0, 3, 2]}, 2),
        ("last", {"data": ["A", "B", None]}, "B"),
        ("last", {"data": [0, 1, None], "ignore_nodata": False}, None),
        ("last", {"data": [None]}, None),
        ("count", {"data": []}, 0),
        ("count", {"data": [1, 0, 3, 2]}, 4),
        ("count", {"data": ["ABC", None]}, 1),
        ("count", {"data": [1.0, float("inf"), float("nan")]}, 1),
        ("count", {"data": [False, None], "condition": True}, 2),
        ("count", {"data": [0, 1, 2, 3, 4, 5, None], "condition": lambda x, **_: x is not None and x > 2}, 3),
        ("sort", {"data": NULLS}, [-1, 2, 3, 4, 6, 7, 8, 9, 9]),
        ("sort", {"data": NULLS, "asc": False, "nodata": True}, [9, 9, 8, 7, 6, 4, 3, 2, -1, None, None]),
        ("order", {"data": NULLS}, [1, 2, 8, 5, 0, 4, 7, 9, 10]),
        ("order", {"data": NULLS, "nodata": True}, [1, 2, 8, 5, 0, 4, 7, 9, 10, 3, 6]),
        ("order", {"data": NULLS, "asc": False, "nodata": True}, [9, 10, 7, 4, 0, 5, 8, 2, 1, 3, 6]),
        ("order", {"data": NULLS, "asc": False, "nodata": False}, [3, 6, 9, 10, 7, 4, 0, 5, 8, 2, 1]),
        ("rearrange", {"data": [5, 4, 3], "order": [2, 1, 0]}, [3, 4, 5]),
        ("rearrange", {"data": [5, 4, 3, 2], "order": [1, 3]}, [4, 2]),
    ],
)
def test_lists_are_as_the_specification_says(process: str, arguments: dict[str, Any], expected: Any) -> None:
    result = OVERRIDES[process](**arguments)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("process", "arguments", "code"),
    [
        ("array_element", {"data": [1], "index": 1}, "ArrayElementNotAvailable"),
        ("array_element", {"data": [1], "index": -1}, "ArrayElementNotAvailable"),
        ("array_element", {"data": make_cube().values, "index": -1, "axis": 0}, "ArrayElementNotAvailable"),
        ("array_element", {"data": [1]}, "ArrayElementParameterMissing"),
        ("array_element", {"data": [1], "index": 0, "label": "a"}, "ArrayElementParameterConflict"),
        ("array_element", {"data": [1], "label": "a"}, "ArrayNotLabeled"),
        ("array_append", {"data": [1], "value": 2, "label": "a"}, "ArrayNotLabeled"),
        ("count", {"data": [1], "condition": False}, "ProcessParameterInvalid"),
    ],
)
def test_errors_have_the_codes_of_the_specification(process: str, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(OpenEOError) as error:
        OVERRIDES[process](**arguments)
    assert error.value.code == code


def labelled(**values: float) -> xr.DataArray:
    return xr.DataArray(list(values.values()), dims="labels", coords={"labels": list(values)})


def test_labelled_arrays_keep_labels() -> None:
    data = labelled(B01=1.5, B02=0.5)
    assert arrays.array_element(data, label="B02") == 0.5
    assert list(arrays.array_labels(data)) == ["B01", "B02"]
    assert each.array_filter(data, by("label", "B02")).equals(labelled(B02=0.5))
    assert each.array_filter(data, lambda x, **_: x > 1).equals(labelled(B01=1.5))
    assert each.array_apply(data, times_two_plus_one).equals(labelled(B01=4.0, B02=2.0))
    assert arrays.array_concat(data, labelled(B03=3.0)).equals(labelled(B01=1.5, B02=0.5, B03=3.0))
    assert list(arrays.array_concat(data, [3.0])) == [1.5, 0.5, 3.0]
    assert arrays.array_append(data, 3.0, "B03").equals(labelled(B01=1.5, B02=0.5, B03=3.0))
    for call in (lambda: arrays.array_concat(data, data), lambda: arrays.array_append(data, 1.0, "B01")):
        with pytest.raises(OpenEOError, match="B01"):
            call()


@pytest.fixture(params=[0, 1, 3])
def axis(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def per_pixel(axis: int, function: Callable[[list[Any]], Any]) -> np.ndarray:
    """What the process makes of each pixel's plain list, null for no-data."""

    def one(values: np.ndarray) -> Any:
        result = function([None if np.isnan(v) else float(v) for v in values])
        many = isinstance(result, list)
        return np.array([np.nan if r is None else r for r in (result if many else [result])], float)

    return np.apply_along_axis(one, axis, make_cube().values)


def padded(function: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
    """All pixels of a cube keep the length of the array: no-data where a list would be shorter."""
    return lambda items: (result := function(items)) + [None] * (len(items) - len(result))


@pytest.mark.parametrize(
    ("process", "arguments"),
    [
        ("array_element", {"index": 1}),
        ("array_element", {"index": 77, "return_nodata": True}),
        ("first", {}),
        ("first", {"ignore_nodata": False}),
        ("last", {}),
        ("last", {"ignore_nodata": False}),
        ("count", {}),
        ("count", {"condition": True}),
        ("array_contains", {"value": 17}),
        ("array_contains", {"value": "17"}),
        ("array_find", {"value": 17}),
        ("array_find", {"value": 17, "reverse": True}),
    ],
)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reducers_along_an_axis_equal_those_of_lists(
    cube: xr.DataArray,
    axis: int,
    process: str,
    arguments: dict[str, Any],
    keepdims: bool,
    raise_if_computes: Callable[[], None],
) -> None:
    function = OVERRIDES[process]
    result = function(cube.data, **arguments, axis=axis, keepdims=keepdims)
    assert isinstance(result, da.Array) == isinstance(cube.data, da.Array)
    raise_if_computes()
    expected = per_pixel(axis, lambda items: function(items, **arguments))
    np.testing.assert_array_equal(np.asarray(result, float), expected if keepdims else expected.squeeze(axis))


@pytest.mark.parametrize(
    ("process", "arguments"),
    [
        ("sort", {}),
        ("sort", {"asc": False, "nodata": True}),
        ("sort", {"nodata": False}),
        ("order", {}),
        ("order", {"asc": False}),
        ("order", {"asc": False, "nodata": False}),
        ("rearrange", {"order": [2, 0, 1, 1]}),
        ("array_concat", {"array2": [1, None]}),
        ("array_append", {"value": 3}),
    ],
)
def test_arrays_along_an_axis_equal_lists(
    cube: xr.DataArray, axis: int, process: str, arguments: dict[str, Any], raise_if_computes: Callable[[], None]
) -> None:
    function = OVERRIDES[process]
    result = function(cube.data, **arguments, axis=axis)
    assert isinstance(result, da.Array) == isinstance(cube.data, da.Array)
    shape = result.shape
    raise_if_computes()
    on_list = lambda items: function(items, **arguments)  # noqa: E731
    expected = per_pixel(axis, padded(on_list) if process in ("sort", "order") else on_list)
    np.testing.assert_allclose(np.asarray(result, float), expected, rtol=1e-6)
    assert shape == expected.shape


def test_rearrange_by_each_pixels_own_order(cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    for nodata in (None, True, False):
        result = order.rearrange(cube.data, order.order(cube.data, nodata=nodata, axis=0), axis=0)
        expected = order.sort(make_cube().values, nodata=nodata, axis=0)
        assert result.dtype == np.float32
        assert isinstance(result, da.Array) == isinstance(cube.data, da.Array)
        raise_if_computes()
        np.testing.assert_array_equal(np.asarray(result), expected)


def test_elements_by_label(cube: xr.DataArray) -> None:
    values = make_cube().values
    band = arrays.array_element(cube.data, label="B03", axis=1, dim_labels=np.array(BANDS))
    np.testing.assert_array_equal(np.asarray(band), values[:, 1])
    for written in ("2024-02-01T12:00:00Z", "2024-02-01T12:00"):
        day = arrays.array_element(cube.data, label=written, axis=0, dim_labels=DATES)
        np.testing.assert_array_equal(np.asarray(day), values[2])
    with pytest.raises(OpenEOError, match="B02, B03, B04"):
        arrays.array_element(cube.data, label="B99", axis=1, dim_labels=np.array(BANDS))


def test_array_apply_calls_once_with_index_and_label(cube: xr.DataArray, axis: int) -> None:
    labels = np.arange(cube.shape[axis]) * 10
    calls = []

    def process(x: Any, named_parameters: dict[str, Any], **_: Any) -> Any:
        calls.append(named_parameters)
        return x * 2 + named_parameters["index"] + named_parameters["label"] + named_parameters["context"]

    result = each.array_apply(cube.data, process, context=1, axis=axis, dim_labels=labels)
    assert len(calls) == 1
    expected = per_pixel(axis, lambda v: [None if x is None else 2 * x + 11 * i + 1 for i, x in enumerate(v)])
    np.testing.assert_array_equal(np.asarray(result), expected)


def test_array_filter_shortens_by_label_and_masks_by_value(cube: xr.DataArray) -> None:
    labels = np.array(BANDS)
    chosen = each.array_filter(cube.data, by("label", "B03"), axis=1, dim_labels=labels)
    np.testing.assert_array_equal(np.asarray(chosen), make_cube().values[:, 1:2])
    large = each.array_filter(cube.data, lambda x, **_: x > 100, axis=1)
    values = make_cube().values
    np.testing.assert_array_equal(np.asarray(large), np.where(values > 100, values, np.nan))
    assert large.dtype == np.float32


def test_count_with_a_condition(cube: xr.DataArray, raise_if_computes: Callable[[], None]) -> None:
    result = each.count(cube.data, lambda x, **_: x > 100, axis=0)
    raise_if_computes()
    np.testing.assert_array_equal(np.asarray(result), (make_cube().values > 100).sum(axis=0))


def test_values_of_pixels_can_be_searched_appended_and_listed(cube: xr.DataArray) -> None:
    values = np.nan_to_num(make_cube().values, nan=-1)
    data = cube.fillna(-1).data
    largest = data.max(axis=0)
    np.testing.assert_array_equal(np.asarray(arrays.array_find(data, largest, axis=0)), values.argmax(axis=0))
    longer = arrays.array_append(data, largest, axis=0)
    np.testing.assert_array_equal(np.asarray(longer), np.concatenate([values, values.max(axis=0)[None]]))
    pair = arrays.array_create([data[0], largest, None], axis=0)
    assert pair.shape == (3, *values.shape[1:])
    np.testing.assert_array_equal(np.asarray(order.first([data[0], largest], axis=0)), values[0])


def test_the_value_of_each_pixel_is_sought_among_constants(cube: xr.DataArray) -> None:
    data = cube.data
    constants = [make_cube().values.ravel()[k] for k in (-1, 40, 5, 40)]
    for reverse in (False, True):
        expected = [arrays.array_find(constants, float(v), reverse) for v in make_cube().values.ravel()]
        found = arrays.array_find(constants, data, reverse, axis=0)
        assert isinstance(found, da.Array) == isinstance(data, da.Array)
        np.testing.assert_array_equal(np.asarray(found).ravel(), np.array(expected, float))
    assert np.isnan(np.asarray(arrays.array_find([], data))).all()
    assert np.isnan(np.asarray(arrays.array_find(["1", None, True], data))).all()


def test_integers_keep_their_type() -> None:
    data = make_cube("int16").chunk({"t": 2}).data
    for result in (
        order.first(data, axis=0),
        order.sort(data, axis=0),
        arrays.array_element(data, index=1, axis=0),
        arrays.array_append(data, data[0], axis=0),
    ):
        assert result.dtype == np.int16
