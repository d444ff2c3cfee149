"""Logic: the specification's truth tables for single values, lists and arrays."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from processes.overrides import logic

VALUES = [None, False, True]
WRAPS = [np.asarray, lambda a: da.from_array(a, chunks=2)]


def floats(values: list[Any]) -> np.ndarray:
    return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float32)


def answers(result: Any) -> list[bool | None]:
    """What an array of truth values says, None where it is NaN."""
    return [None if value != value else bool(value) for value in np.asarray(result).tolist()]


@pytest.mark.parametrize("process", ["and", "or", "xor", "not", "any", "all", "if"])
def test_examples_of_the_specification(process: str, api_spec: Path) -> None:
    function = getattr(logic, process, None) or getattr(logic, process + "_")
    spec = json.loads((api_spec / "processes" / f"{process}.json").read_text(encoding="utf-8"))
    for example in spec["examples"]:
        result = function(**example["arguments"])
        assert result == example["returns"], example
        assert type(result) is type(example["returns"])


# Row by row for no data, false, true, as the specification prints them.
TABLES = {
    "and_": [None, False, None, False, False, False, None, False, True],
    "or_": [None, None, True, None, False, True, True, True, True],
    "xor": [None, None, None, None, False, True, None, True, False],
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("wrap", WRAPS)
def test_truth_tables(name: str, wrap: Any) -> None:
    function, table = getattr(logic, name), TABLES[name]
    pairs = list(itertools.product(VALUES, VALUES))
    assert [function(x, y) for x, y in pairs] == table
    x, y = (wrap(floats([pair[i] for pair in pairs])) for i in (0, 1))
    result = function(x, y)
    assert result.dtype == np.float32
    assert isinstance(result, type(x))
    assert answers(result) == table
    flags = function(x == 1, wrap(np.ones(9, bool)))
    assert flags.dtype == bool
    assert answers(flags) == [function(pair[0] is True, True) for pair in pairs]


@pytest.mark.parametrize("wrap", WRAPS)
def test_not_of_arrays(wrap: Any) -> None:
    assert np.asarray(logic.not_(wrap(np.array([True, False])))).tolist() == [False, True]
    assert answers(logic.not_(wrap(floats([None, False, True])))) == [None, True, False]


@pytest.mark.parametrize("ignore", [True, False])
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", ["any_", "all_"])
def test_reducers_of_lists_are_those_of_arrays(name: str, wrap: Any, ignore: bool) -> None:
    function = getattr(logic, name)
    columns = list(itertools.product(VALUES, repeat=3))
    expected = [function(list(column), ignore) for column in columns]
    stack = floats([v for column in columns for v in column]).reshape(len(columns), 3)
    result = function(wrap(stack), ignore, axis=1)
    assert result.dtype == (bool if ignore else np.float32)
    assert answers(result) == expected
    assert function(wrap(stack), ignore, axis=1, keepdims=True).shape == (len(columns), 1)
    parts = [wrap(np.ascontiguousarray(stack[:, i])) for i in range(3)]
    assert answers(function(parts, ignore, axis=1)) == expected


@pytest.mark.parametrize("wrap", WRAPS)
def test_if_chooses_element_by_element(wrap: Any) -> None:
    value = wrap(floats([True, False, None]))
    chosen = logic.if_(value, wrap(np.float32([1, 2, 3])))
    assert chosen.dtype == np.float32
    np.testing.assert_array_equal(chosen, [1, np.nan, np.nan])
    np.testing.assert_array_equal(logic.if_(value, 1, 0), [1, 0, 0])


def test_if_passes_either_value_through_untouched() -> None:
    lazy = da.ones(3)
    assert logic.if_(True, lazy) is lazy
    assert logic.if_(np.bool_(False), 1, lazy) is lazy
