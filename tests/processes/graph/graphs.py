"""Short ways to write process graphs, to run them, and to make the cubes they run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401
import xarray as xr

from processes.environment import Environment
from processes.graph import check_graph, evaluate
from processes.graph.package import Process, ProcessRegistry
from processes.registry import build_registry

Graph = dict[str, Any]
CUBE = {"type": "object", "subtype": "datacube"}


def node(id: str, /, **arguments: Any) -> Graph:
    """Return one node."""
    return {"process_id": id, "arguments": arguments}


def of(name: str) -> Graph:
    """Return a reference to a node."""
    return {"from_node": name}


def param(name: str) -> Graph:
    """Return a reference to a parameter."""
    return {"from_parameter": name}


def callback(**nodes: Graph) -> Graph:
    """Return a callback whose last node is its result."""
    return {"process_graph": flat(**nodes)}


def flat(**nodes: Graph) -> Graph:
    """Return a flat graph whose last node is its result."""
    *_, last = nodes
    return {**nodes, last: {**nodes[last], "result": True}}


def one(id: str, /, **arguments: Any) -> Graph:
    """Return a callback of one node."""
    return callback(one=node(id, **arguments))


def parameter(name: str, schema: Any = None, **more: Any) -> Graph:
    """Return a parameter of a specification."""
    return {"name": name, "description": name, "schema": {} if schema is None else schema, **more}


def fake_process(id: str, function: Callable[..., Any] | None, *parameters: Graph, **more: Any) -> Process:
    """Return a process with a specification of its own."""
    spec = {"id": id, "description": id, "parameters": list(parameters), "returns": {"schema": {}}, **more}
    return Process(spec=spec, implementation=function)


def cube_registry() -> ProcessRegistry:
    """Return the real registry, and in it `cube`: a process that returns the parameter of that name."""
    registry = build_registry()
    registry["cube"] = fake_process("cube", lambda cube: cube, parameter("cube"))
    return registry


def environment(**parameters: Any) -> Environment:
    """Return an environment without collections or models."""
    return Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), parameters=parameters)  # type: ignore[arg-type]


def run(registry: ProcessRegistry, graph: Mapping[str, Any], **parameters: Any) -> Any:
    """Check a flat graph and evaluate it."""
    return evaluate(check_graph(graph), registry, environment(**parameters))


def values(*shape: int, missing: float = 0.1, seed: int = 7) -> np.ndarray:
    """Return float32 numbers, some of them NaN."""
    rng = np.random.default_rng(seed)
    array = rng.normal(0.5, 1, shape).astype(np.float32)
    array[rng.random(shape) < missing] = np.nan
    return array


def cube(array: np.ndarray, chunks: Any = "auto", bands: tuple[str, ...] | None = None) -> xr.DataArray:
    """Return a lazy cube (t, bands, y, x): every 10 days from 2022-01-05 on a 10 m grid."""
    t, b, y, x = array.shape
    made = xr.DataArray(
        da.from_array(array, chunks=chunks),
        dims=("t", "bands", "y", "x"),
        coords={
            "t": np.datetime64("2022-01-05", "ns") + np.arange(t) * np.timedelta64(10, "D"),
            "bands": list(bands or [f"B{i + 1:02d}" for i in range(b)]),
            "y": 5_650_000.0 - 10 * np.arange(y) - 5,
            "x": 500_000.0 + 10 * np.arange(x) + 5,
        },
    )
    return made.rio.write_crs(32631)
