"""Statistics: the specification's examples, and lists == NumPy == Dask for every chunking."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

from processes.errors import OpenEOError
from processes.overrides import math, quantiles, statistics
from processes.registry import OVERRIDES

REDUCERS = [OVERRIDES[id] for id in ("mean", "sum", "product", "min", "max", "variance", "sd", "median")]
STATISTICS = ["mean", "sum", "product", "min", "max", "variance", "sd", "median", "extrema", "quantiles"]
ARITHMETIC = ["linear_scale_range", "normalized_difference", "clip", "mod", "power", "int"]
CHUNKS = [(-1, -1, -1), (2, 1, 3), (1, 2, 2)]


@pytest.fixture
def no_compute() -> Iterator[Callable[[Any], Any]]:
    """Make computing an error, but for what is passed to the fixture's value."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed while the graph was built")

    def compute(value: Any) -> Any:
        assert dask.is_dask_collection(value)
        return value.compute(scheduler="sync")

    with dask.config.set(scheduler=refuse):
        yield compute


def values() -> np.ndarray:
    """An array (5, 4, 3) with single gaps, a pixel without data, and one with a single value."""
    cube = np.random.default_rng(3).normal(1, 0.5, (5, 4, 3)).astype(np.float32)
    cube[1, 0, 1] = cube[4, 2, 2] = np.nan
    cube[:, 3, 0] = np.nan
    cube[1:, 3, 1] = np.nan
    return cube


def close(result: Any, expected: Any) -> bool:
    if expected is None or isinstance(expected, bool):
        return result is expected
    if isinstance(expected, list):
        return isinstance(result, list) and all(map(close, result, expected)) and len(result) == len(expected)
    return bool(result == pytest.approx(expected, abs=1e-9))


@pytest.mark.parametrize("process", [*STATISTICS, *ARITHMETIC])
def test_examples_of_the_specification(process: str, api_spec: Path) -> None:
    function = OVERRIDES[process]
    spec = json.loads((api_spec / "processes" / f"{process}.json").read_text(encoding="utf-8"))
    for example in spec.get("examples", []):
        assert close(function(**example["arguments"]), example["returns"]), example


@pytest.mark.parametrize("ignore", [True, False])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_lists_arrays_and_chunks_agree(reducer: Any, ignore: bool, no_compute: Callable[[Any], Any]) -> None:
    cube = values()
    expected = reducer(cube, ignore, axis=0)
    assert expected.dtype == np.float32
    for chunks in CHUNKS:
        lazy = reducer(da.from_array(cube, chunks=chunks), ignore, axis=0)
        assert lazy.dtype == np.float32
        np.testing.assert_allclose(no_compute(lazy), expected, rtol=1e-6)
    for pixel in np.ndindex(4, 3):
        column = [None if np.isnan(v) else v for v in cube[(slice(None), *pixel)].tolist()]
        alone = reducer(column, ignore)
        np.testing.assert_allclose(np.nan if alone is None else alone, expected[pixel], rtol=1e-5)


@pytest.mark.parametrize("axis", [None, 1, (1, 2), -1])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_any_axes_and_kept_dimensions(reducer: Any, axis: Any, keepdims: bool) -> None:
    cube = values()
    result = reducer(cube, axis=axis, keepdims=keepdims)
    assert result.shape == np.sum(cube, axis=axis, keepdims=keepdims).shape
    lazy = reducer(da.from_array(cube, chunks=(2, 3, 2)), axis=axis, keepdims=keepdims)
    assert lazy.shape == result.shape
    np.testing.assert_allclose(lazy.compute(scheduler="sync"), result, rtol=1e-6)


def test_statistics_are_those_of_numpy() -> None:
    cube = values()[:, :3].astype(np.float64)
    for ours, theirs in [(statistics.mean, np.nanmean), (statistics.sum_, np.nansum), (statistics.product, np.nanprod)]:
        np.testing.assert_allclose(ours(cube, axis=0), theirs(cube, axis=0))
    np.testing.assert_allclose(statistics.sd(cube, axis=0), np.nanstd(cube, axis=0, ddof=1))
    np.testing.assert_allclose(quantiles.median(cube, axis=0), np.nanmedian(cube, axis=0))


@pytest.mark.parametrize("reducer", REDUCERS)
def test_nothing_but_no_data_is_no_data(reducer: Any) -> None:
    assert reducer([]) is None
    assert reducer([None, float("nan")]) is None
    assert np.isnan(reducer(np.full((3, 2), np.nan), axis=0)).all()


def test_the_variance_of_one_number_is_undefined() -> None:
    assert np.isnan(statistics.variance([5]))
    assert np.isnan(statistics.sd(np.array([[5.0], [np.nan]]), axis=0)).all()


def test_infinities_take_part() -> None:
    assert statistics.max_([1, float("inf"), None]) == float("inf")
    assert statistics.min_(np.array([np.inf, np.inf])) == np.inf
    assert np.isnan(statistics.mean([float("inf"), -float("inf")]))
    assert quantiles.median([-float("inf"), 1, float("inf")]) == 1


@pytest.mark.parametrize("reducer", REDUCERS)
@pytest.mark.parametrize("series", [[np.inf, 1, 2], [np.inf, -np.inf, 3], [0, np.inf, np.nan], [3e38, 3e38, 2]])
def test_infinities_are_no_reason_for_warnings(reducer: Any, series: list[float]) -> None:
    cube = np.array([series] * 2, "float32")
    with np.errstate(all="ignore"):
        expected = np.float32(reducer([None if np.isnan(x) else x for x in cube[0].tolist()]))
    for values in (cube, da.from_array(cube, chunks=(1, 3)), da.from_array(cube, chunks=(2, 1))):
        np.testing.assert_allclose(np.asarray(reducer(values, axis=1)), [expected] * 2, rtol=1e-5)


def test_integers_stay_integers_where_the_result_is_one() -> None:
    stack = np.array([[250, 3], [10, 4]], dtype=np.uint8)
    assert statistics.sum_(stack, axis=0).tolist() == [260, 7]
    assert statistics.max_(stack, axis=0).dtype == np.uint8
    assert statistics.mean(stack, axis=0).tolist() == [130, 3.5]
    assert type(statistics.sum_([5, 1])) is int


@pytest.mark.parametrize("wrap", [np.asarray, lambda a: da.from_array(a, chunks=2)])
def test_a_list_of_arrays_is_reduced_element_by_element(wrap: Any) -> None:
    a, b = wrap(np.array([[1.0, 2.0, np.nan]] * 2)), wrap(np.array([[10.0, np.nan, np.nan]] * 2))
    np.testing.assert_array_equal(statistics.sum_([a, b], axis=1), [[11, 2, np.nan]] * 2)
    np.testing.assert_array_equal(statistics.max_([a, 5, None]), [[5, 5, 5]] * 2)
    assert dask.is_dask_collection(quantiles.median([a, b])) is dask.is_dask_collection(a)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_quantiles_take_the_place_of_the_axis(chunks: Any, no_compute: Callable[[Any], Any]) -> None:
    cube = values()
    expected = quantiles.quantiles(cube, [0.1, 0.5, 0.9, 1], axis=1)
    assert expected.shape == (5, 4, 3)
    full = cube[:, :3]
    np.testing.assert_allclose(
        quantiles.quantiles(full, 4, axis=1),
        np.moveaxis(np.nanquantile(full, [0.25, 0.5, 0.75], axis=1), 0, 1),
        rtol=1e-5,
    )
    lazy = quantiles.quantiles(da.from_array(cube, chunks=chunks), [0.1, 0.5, 0.9, 1], axis=1)
    assert lazy.shape == expected.shape
    np.testing.assert_array_equal(no_compute(lazy), expected)
    whole = no_compute(quantiles.quantiles(da.from_array(cube, chunks=chunks), q=2))
    np.testing.assert_allclose(whole, [np.nanmedian(cube)])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "QuantilesParameterMissing"),
        ({"probabilities": [0.5], "q": 2}, "QuantilesParameterConflict"),
        ({"probabilities": [0.5, 0.1]}, "AscendingProbabilitiesRequired"),
        ({"probabilities": [0.5, 1.5]}, "ProcessParameterInvalid"),
        ({"q": 1}, "ProcessParameterInvalid"),
    ],
)
def test_quantiles_want_one_of_two_parameters(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        quantiles.quantiles([1, 2], **arguments)
    assert caught.value.code == code


def test_extrema_take_the_place_of_the_axis(no_compute: Callable[[Any], Any]) -> None:
    cube = values()
    expected = statistics.extrema(cube, axis=1)
    np.testing.assert_array_equal(
        expected, np.stack([statistics.min_(cube, axis=1), statistics.max_(cube, axis=1)], axis=1)
    )
    np.testing.assert_array_equal(no_compute(statistics.extrema(da.from_array(cube, chunks=2), axis=1)), expected)
    assert statistics.extrema([]) == [None, None]


ELEMENTWISE: list[tuple[Any, tuple[Any, ...]]] = [
    (math.linear_scale_range, (-1, 2, 0, 255)),
    (math.normalized_difference, (0.5,)),
    (math.clip, (0, 1)),
    (math.mod, (0.3,)),
    (math.mod, (0,)),
    (math.power, (0.5,)),
    (math.int_, ()),
]


@pytest.mark.parametrize(("function", "arguments"), ELEMENTWISE)
def test_arithmetic_of_arrays_is_that_of_numbers(
    function: Any, arguments: tuple[Any, ...], no_compute: Callable[[Any], Any]
) -> None:
    cube = values() - 1
    result = function(cube, *arguments)
    assert result.dtype == np.float32
    expected = [function(v, *arguments) for v in cube.ravel().tolist()]
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-4, atol=1e-6)
    lazy = function(da.from_array(cube, chunks=(2, 3, 1)), *arguments)
    assert lazy.dtype == np.float32
    np.testing.assert_array_equal(no_compute(lazy), result)


def test_modulo_of_zero_and_infinities() -> None:
    x = np.array([3.0, -3.0, 0.0, np.nan])
    np.testing.assert_array_equal(math.mod(x, 0), [np.inf, -np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(math.mod(x, -0.0), [np.inf, -np.inf, np.nan, np.nan])
    assert math.mod(3, 0) == float("inf")
    assert math.mod(5, float("inf")) == 5
    assert np.isnan(math.mod(float("inf"), 5))


def test_differences_of_unsigned_integers_do_not_wrap_round() -> None:
    assert math.normalized_difference(np.uint16([1]), np.uint16([3])).tolist() == [-0.5]
    assert math.power(np.array([2]), -1).tolist() == [0.5]
    assert np.isnan(math.normalized_difference(0, 0))
    assert np.isnan(math.normalized_difference(float("inf"), 1))
    assert np.isnan(math.power(-8, 0.5))


@pytest.mark.parametrize("wrap", [np.asarray, da.asarray])
def test_null_beside_an_array_is_no_data_everywhere(wrap: Any) -> None:
    assert np.isnan(np.asarray(math.power(wrap([1.0, 2.0]), None))).all()
    assert np.isnan(np.asarray(math.power(wrap([np.nan, np.nan]), 0))).all()


def test_swapped_and_empty_ranges_are_errors() -> None:
    with pytest.raises(OpenEOError) as caught:
        math.clip(1, 2, 1)
    assert caught.value.code == "MinMaxSwapped"
    with pytest.raises(OpenEOError, match="inputMax"):
        math.linear_scale_range(1, 2, 2)
    with pytest.raises(OpenEOError, match="array of numbers"):
        statistics.sum_(["a"])
