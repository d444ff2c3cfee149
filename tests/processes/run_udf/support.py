"""`run_udf` under test: users' code by entry point, and a runner that evaluates one process as the server does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dask
import numpy as np

from processes.environment import Environment
from processes.graph import check_graph, evaluate
from processes.graph.package import ProcessRegistry
from tests.processes.graph.graphs import environment, flat, node, of, one, param, values
from udf.rules import UserCodeRules

A = values(6, 3, 8, 10)
CHUNKS = (2, 2, 4, 5)
HEAD = "import xarray\nfrom openeo.udf import UdfData, XarrayDataCube\n"
ENTRIES = {
    "data_array": HEAD
    + "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n    return {array}\n",
    "wrapped": HEAD
    + "def apply_datacube(cube: XarrayDataCube, context: dict) -> XarrayDataCube:\n"
    + "    cube = cube.get_array()\n    return XarrayDataCube({array})\n",
    "udf_data": HEAD
    + "def apply_udf_data(data: UdfData):\n    context = data.user_context\n"
    + "    cube = data.get_datacube_list()[0].get_array()\n    data.set_datacube_list([XarrayDataCube({array})])\n",
    "generic": HEAD
    + "def any_name(data: UdfData) -> UdfData:\n    context = data.user_context\n"
    + "    cube = data.datacube_list[0].array\n    return UdfData(datacube_list=[XarrayDataCube({array})])\n",
    "series": "import pandas\ndef apply_timeseries(series: pandas.Series, context: dict) -> pandas.Series:\n"
    "    assert isinstance(series.index, pandas.DatetimeIndex)\n    return {series}\n",
}
CUBES = [name for name in ENTRIES if name != "series"]
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[500_000, 5_649_930], [500_040, 5_649_930], [500_040, 5_649_990], [500_000, 5_649_930]]],
    "crs": {"type": "name", "properties": {"name": "EPSG:32631"}},
}
DATA = param("data")


def code(entry: str, array: str, series: str = "series") -> str:
    return ENTRIES[entry].format(array=array, series=series)


def udf(source: str, name: str = "data", **more: Any) -> dict[str, Any]:
    return one("run_udf", data=param(name), udf=source, runtime="Python", **more)


class Runner:
    """Evaluates one process on a cube, as the server does."""

    def __init__(self, registry: ProcessRegistry, rules: UserCodeRules | None = None, **env: Any) -> None:
        self._registry = registry
        self.env: Environment = replace(environment(), udf=rules or UserCodeRules(), **env)

    def __call__(self, id: str, data: Any, **arguments: Any) -> Any:
        """Return the lazy value; nothing may be computed meanwhile."""
        graph = flat(cube=node("cube", cube=param("cube")), made=node(id, data=of("cube"), **arguments))
        env = replace(self.env, parameters={"cube": data})
        with refusing_to_compute():
            return evaluate(check_graph(graph), self._registry, env)


@contextmanager
def refusing_to_compute() -> Iterator[None]:
    def refuse(graph: Any, keys: Any, **_: Any) -> Any:
        raise AssertionError(f"computed {keys!r:.100} while the graph was built")

    with dask.config.set(scheduler=refuse):
        yield


def done(lazy: Any) -> Any:
    return dask.compute(lazy, scheduler="sync")[0]


def same(made: Any, expected: Any) -> None:
    """Compare with another cube: values, order and names of dimensions, labels."""
    made, expected = done(made), done(expected)
    assert made.dims == expected.dims
    np.testing.assert_allclose(made.values, expected.values, rtol=1e-6)
    for dim in expected.dims:
        if dim != "geometry":
            np.testing.assert_array_equal(made[dim].values, expected[dim].values)
