"""Comparisons: the specification's examples, types, no data and infinities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from processes.overrides import comparison

BINARY = ["eq", "neq", "gt", "gte", "lt", "lte"]
WRAPS = [np.asarray, lambda a: da.from_array(a, chunks=2)]
INF, NAN = float("inf"), float("nan")


def answers(result: Any) -> list[bool | None]:
    """What an array of truth values says, None where it is NaN."""
    return [None if value != value else bool(value) for value in np.asarray(result).tolist()]


@pytest.mark.parametrize("process", [*BINARY, "between", "is_nan", "is_nodata", "is_valid"])
def test_examples_of_the_specification(process: str, api_spec: Path) -> None:
    spec = json.loads((api_spec / "processes" / f"{process}.json").read_text(encoding="utf-8"))
    for example in spec.get("examples", []):
        assert getattr(comparison, process)(**example["arguments"]) is example["returns"], example


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("process", BINARY)
def test_arrays_answer_as_numbers_do(process: str, wrap: Any) -> None:
    function = getattr(comparison, process)
    numbers = [-INF, -1.0, 0.0, 1.0, INF, NAN]
    x, y = (np.float32(grid).ravel() for grid in np.meshgrid(numbers, numbers))
    expected = [function(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert None in expected
    for pair in [(wrap(x), wrap(y)), (wrap(x), y), (x, wrap(y))]:
        result = function(*pair)
        assert result.dtype == np.float32
        assert answers(result) == expected
    for number in (0, 1.0, INF, NAN, None):
        assert answers(function(wrap(x), number)) == [function(a, number) for a in x.tolist()]
        assert answers(function(number, wrap(x))) == [function(number, a) for a in x.tolist()]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("process", BINARY)
def test_classes_have_no_gaps_and_answer_with_booleans(process: str, wrap: Any) -> None:
    function = getattr(comparison, process)
    classes = np.uint8([3, 8, 9])
    result = function(wrap(classes), 8)
    assert result.dtype == bool
    assert answers(result) == [function(a, 8) for a in classes.tolist()]
    assert answers(function(wrap(classes), None)) == [None] * 3


@pytest.mark.parametrize("wrap", WRAPS)
def test_truth_with_gaps_compares_with_booleans(wrap: Any) -> None:
    truth = comparison.gt(wrap(np.float32([1, 3, np.nan])), 2)
    assert answers(comparison.eq(truth, True)) == [False, True, None]
    assert answers(comparison.neq(truth, wrap(np.array([False, False, False])))) == [False, True, None]


@pytest.mark.parametrize("process", BINARY)
def test_no_data_gives_null(process: str) -> None:
    function = getattr(comparison, process)
    assert function(None, None) is None
    assert function(NAN, 1) is None
    assert function("a", None) is None


@pytest.mark.parametrize("wrap", WRAPS)
def test_types_are_told_apart_in_arrays_too(wrap: Any) -> None:
    flags, numbers = wrap(np.array([True, False])), wrap(np.array([1, 0]))
    for x, y in [(flags, numbers), (flags, 1), (numbers, True), (numbers, "1")]:
        assert not np.asarray(comparison.eq(x, y)).any()
        assert np.asarray(comparison.neq(x, y)).all()
        assert not np.asarray(comparison.gte(x, y)).any()
    assert np.asarray(comparison.eq(flags, True)).tolist() == [True, False]
    assert not np.asarray(comparison.gt(flags, False)).any()


@pytest.mark.parametrize("wrap", WRAPS)
def test_delta_and_case(wrap: Any) -> None:
    numbers = wrap(np.uint8([9, 10, 12]))
    assert np.asarray(comparison.eq(numbers, wrap(np.uint8([10, 10, 10])), delta=1)).tolist() == [True, True, False]
    assert np.asarray(comparison.neq(numbers, 10, delta=1)).tolist() == [False, False, True]
    names = np.array(["Red", "NIR"])
    assert comparison.eq(names, "red").tolist() == [False, False]
    assert comparison.eq(names, "red", case_sensitive=False).tolist() == [True, False]


def test_equal_values_of_any_type_are_not_less() -> None:
    assert comparison.gte("a", "a") is True
    assert comparison.lte(True, True) is True
    assert comparison.gte("b", "a") is False


@pytest.mark.parametrize("wrap", WRAPS)
def test_between_of_arrays(wrap: Any) -> None:
    x = wrap(np.array([0.0, 1.0, 2.0, np.nan, np.inf]))
    assert answers(comparison.between(x, 0, 2)) == [True, True, True, None, False]
    assert answers(comparison.between(x, 0, 2, exclude_max=True)) == [True, True, False, None, False]
    assert answers(comparison.between(x, 2, 0)) == [False, False, False, None, False]
    assert comparison.between(None, 0, 1) is None


@pytest.mark.parametrize(
    ("value", "nan", "nodata", "valid", "infinite"),
    [
        (1, False, False, True, False),
        (NAN, True, True, False, False),
        (INF, False, False, False, True),
        (None, False, True, False, False),
        ("nan", False, False, True, False),
        ([], False, False, True, False),
        ([NAN], False, False, True, False),
        ({}, False, False, True, False),
        (True, False, False, True, False),
        (np.float32(NAN), True, True, False, False),
    ],
)
def test_checks_of_single_values(value: Any, nan: bool, nodata: bool, valid: bool, infinite: bool) -> None:
    assert comparison.is_nan(value) is nan
    assert comparison.is_nodata(value) is nodata
    assert comparison.is_valid(value) is valid
    assert comparison.is_infinite(value) is infinite


@pytest.mark.parametrize("wrap", WRAPS)
def test_checks_of_arrays(wrap: Any) -> None:
    x = wrap(np.float32([1, np.nan, np.inf]))
    assert np.asarray(comparison.is_nan(x)).tolist() == [False, True, False]
    assert np.asarray(comparison.is_nodata(x)).tolist() == [False, True, False]
    assert np.asarray(comparison.is_valid(x)).tolist() == [True, False, False]
    assert np.asarray(comparison.is_infinite(x)).tolist() == [False, False, True]
    classes = wrap(np.uint8([0, 1]))
    assert np.asarray(comparison.is_valid(classes)).tolist() == [True, True]
    assert not np.asarray(comparison.is_nodata(classes)).any()
