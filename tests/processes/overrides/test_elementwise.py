"""Functions of numbers: null, integers, undefined results; lists, arrays and lazy arrays alike."""

from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pytest

from processes.registry import BASE


@pytest.mark.parametrize(
    ("id", "operands", "expected"),
    [
        ("add", {"x": 1, "y": 2}, 3),
        ("add", {"x": 1, "y": 2.5}, 3.5),
        ("add", {"x": 1, "y": None}, None),
        ("divide", {"x": 1, "y": 0}, math.inf),
        ("divide", {"x": -1, "y": 0}, -math.inf),
        ("divide", {"x": 0, "y": 0}, math.nan),
        ("sqrt", {"x": -1}, math.nan),
        ("ln", {"x": 0}, -math.inf),
        ("log", {"x": 8, "base": 2}, 3),
        ("round", {"x": 3.56, "p": 1}, 3.6),
        ("round", {"x": 1234.5, "p": -2}, 1200),
        ("round", {"x": None}, None),
        ("sgn", {"x": -7}, -1),
        ("floor", {"x": -0.5}, -1),
        ("arctan2", {"y": 1, "x": 0}, math.pi / 2),
    ],
)
def test_single_numbers(id: str, operands: dict[str, float | None], expected: float | None) -> None:
    result = BASE[id](**operands)
    if expected is None:
        assert result is None
    else:
        assert type(result) in (int, float)
        assert result == pytest.approx(expected, nan_ok=True)


def test_integers_stay_integers() -> None:
    assert isinstance(BASE["multiply"](x=2, y=3), int)
    assert isinstance(BASE["divide"](x=1, y=2), float)


@pytest.mark.parametrize("lazy", [False, True])
def test_small_integers_do_not_wrap_around(lazy: bool) -> None:
    classes = np.array([0, 4, 255], np.uint8)
    result = BASE["subtract"](x=da.from_array(classes, chunks=2) if lazy else classes, y=4)
    assert isinstance(result, da.Array) == lazy
    assert result.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(result), [-4, 0, 251])


@pytest.mark.parametrize("lazy", [False, True])
def test_float32_stays_and_nothing_warns(lazy: bool) -> None:
    x, y = np.array([0, 1, np.nan], np.float32), np.zeros(3, np.float32)
    operands = (da.from_array(x, chunks=2), da.from_array(y, chunks=3)) if lazy else (x, y)
    result = BASE["divide"](x=operands[0], y=operands[1])
    assert result.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(result), [np.nan, np.inf, np.nan])
    np.testing.assert_array_equal(np.asarray(BASE["ln"](x=operands[1])), [-np.inf] * 3)
