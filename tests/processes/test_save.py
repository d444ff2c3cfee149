"""`save_result` only says what shall be delivered."""

from __future__ import annotations

from typing import Any

import dask.array as da
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.save import save_result


def _explode(block: Any) -> Any:
    raise AssertionError("computed")


def test_the_request_holds_the_data_as_they_are() -> None:
    cube = xr.DataArray(da.ones(3).map_blocks(_explode, dtype=float), dims="x")
    request = save_result(cube, " GTiff", {"tiled": True})
    assert request.data is cube
    assert (request.format, request.options) == ("GTiff", {"tiled": True})


@pytest.mark.parametrize("options", [None, {}])
def test_options_are_optional_and_not_shared(options: Any) -> None:
    request = save_result(1, "JSON", options)
    assert request.options == {}
    assert request.options is not options


@pytest.mark.parametrize(("format", "options", "names"), [("", None, "'format'"), (3, {}, "3"), ("PNG", [1], "[1]")])
def test_what_is_no_format_or_no_options_is_an_error(format: Any, options: Any, names: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        save_result(1, format, options)
    assert caught.value.code == "ProcessParameterInvalid"
    assert names in caught.value.message
