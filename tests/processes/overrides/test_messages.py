"""`inspect` and texts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dask.array as da
import pytest
import xarray as xr

from processes.environment import Environment, Halo
from processes.overrides.messages import inspect, text_concat


def environment(halo: Halo | None = None) -> Environment:
    return Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), halo=halo)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (5, 5),
        (["a", None], ["a", None]),
        ("x" * 2000, '"' + "x" * 999),
        (da.zeros((2, 3)), {"shape": [2, 3], "data_type": "float64"}),
        (xr.DataArray(da.zeros((2, 3)), dims=("t", "x")), {"dimensions": {"t": 2, "x": 3}, "data_type": "float64"}),
    ],
)
def test_inspect_logs_a_description_and_passes_the_data_on(data: Any, told: Any) -> None:
    env = environment()
    assert inspect(data, "look", "C", "warning", env=env) is data
    assert env.ledger.messages == [{"level": "warning", "code": "C", "message": "look", "data": told}]


def test_what_lies_round_a_cube_is_not_logged_again() -> None:
    env = environment(Halo(1, 1))
    assert inspect(5, env=env) == 5
    assert env.ledger.messages == []


@pytest.mark.parametrize(
    ("data", "separator", "expected"),
    [
        (["Hello", "World"], " ", "Hello World"),
        ([1, 2, 3], "", "123"),
        ([None, True, False, 1, -1.5, "ß"], "\n", "null\ntrue\nfalse\n1\n-1.5\nß"),
        ([2, 0], 1, "210"),
        ([2, 0], None, "2null0"),
        ([], "", ""),
    ],
)
def test_text_concat(data: list[Any], separator: Any, expected: str) -> None:
    assert text_concat(data, separator) == expected
