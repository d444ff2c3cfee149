"""Labels without values removed, at once or when the result is saved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from processes.overrides.trim import TrimmedResult, trim_cube
from processes.registry import build_registry
from processes.save import SaveRequest
from tests.processes.graph.graphs import flat, node, of, param, run
from tests.processes.overrides.conftest import DATES, make_cube


def sparse() -> xr.DataArray:
    """A cube with empty dates, bands, rows and columns, at the ends and in the middle."""
    cube = make_cube()
    values = np.full_like(cube.values, np.nan)
    values[np.ix_([1, 3], [0, 2], [1, 4], [2, 3, 5])] = 7
    values[1, 0, 1, 2] = np.nan
    return cube.copy(data=values)


def check(trimmed: xr.DataArray) -> None:
    assert trimmed["t"].values.tolist() == DATES[[1, 3]].tolist()  # at uneven distances
    assert trimmed["bands"].values.tolist() == ["B02", "B04"]
    assert trimmed["y"].values.tolist() == [5700045, 5700035, 5700025, 5700015]  # a grid has no holes
    assert trimmed["x"].values.tolist() == [500025, 500035, 500045, 500055]
    np.testing.assert_array_equal(trimmed.values, sparse().values[np.ix_([1, 3], [0, 2], range(1, 5), range(2, 6))])


def test_labels_without_values_go() -> None:
    check(trim_cube(sparse()))


def test_evenly_spaced_dates_stay_in_the_middle() -> None:
    cube = sparse().assign_coords(t=np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(5, "D"))
    assert trim_cube(cube).sizes["t"] == 3


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


@pytest.mark.parametrize("saved", [True, False])
def test_lazy_cubes_are_trimmed_when_they_are_saved(
    registry: ProcessRegistry, raise_if_computes: Callable[[], None], saved: bool
) -> None:
    graph = {"trim": node("trim_cube", data=param("cube"))}
    if saved:
        graph["save"] = node("save_result", data=of("trim"), format="netCDF", options={"a": 1})
    request = run(registry, flat(**graph), cube=sparse().chunk({"t": 2, "x": 3}))
    assert isinstance(request, SaveRequest)
    assert (request.format, request.options) == (("netCDF", {"a": 1}) if saved else ("GTiff", {}))
    assert dict(request.data.sizes) == dict(sparse().sizes)
    raise_if_computes()
    check(request.finish(request.data.compute()))


def test_other_processes_do_not_take_what_is_not_trimmed_yet(registry: ProcessRegistry) -> None:
    graph = flat(
        trim=node("trim_cube", data=param("cube")), labels=node("dimension_labels", data=of("trim"), dimension="t")
    )
    with pytest.raises(OpenEOError, match="must be a data cube, not TrimmedResult") as caught:
        run(registry, graph, cube=sparse().chunk())
    assert caught.value.code == "ProcessParameterInvalid"


def test_integers_have_no_no_data(raise_if_computes: Callable[[], None]) -> None:
    whole = make_cube("uint8").chunk()
    assert trim_cube(whole) is whole


def test_a_cube_without_any_value(raise_if_computes: Callable[[], None]) -> None:
    empty = make_cube() * np.nan
    with pytest.raises(OpenEOError, match="nothing but no data") as caught:
        trim_cube(empty)
    assert caught.value.code == "DataCubeEmpty"
    later = trim_cube(empty.chunk())
    raise_if_computes()
    assert isinstance(later, TrimmedResult)
    with pytest.raises(OpenEOError, match="nothing but no data"):
        later.finish(later.data.compute())


def test_other_results_are_saved_as_ever(registry: ProcessRegistry) -> None:
    request = run(registry, flat(save=node("save_result", data=param("cube"), format="GTiff")), cube=sparse())
    assert type(request) is SaveRequest
    assert request.finish(request.data) is request.data
