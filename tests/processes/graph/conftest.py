"""Fixtures: a registry with a process that gives the test's cube, and a scheduler that refuses to compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dask
import pytest
import xarray as xr

from processes.graph.package import ProcessRegistry
from tests.processes.graph.callback_cubes import CHUNKS, A
from tests.processes.graph.graphs import cube, cube_registry


@pytest.fixture
def raise_if_computes() -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which Dask raises as soon as anything is computed."""

    def refuse(graph: Any, keys: Any, **_: Any) -> Any:
        raise AssertionError(f"computed {keys!r:.200} while the graph was built")

    @contextmanager
    def context() -> Iterator[None]:
        with dask.config.set(scheduler=refuse):
            yield

    return context


@pytest.fixture(scope="session")
def registry() -> ProcessRegistry:
    """Return the real registry, and in it `cube`: a process that returns the parameter of that name."""
    return cube_registry()


@pytest.fixture
def build(
    registry: ProcessRegistry, raise_if_computes: Callable[[], AbstractContextManager[None]]
) -> Callable[..., xr.DataArray]:
    """Return a function that evaluates a flat graph without letting anything compute."""
    from tests.processes.graph.graphs import run

    def build(graph: dict[str, Any], **parameters: Any) -> xr.DataArray:
        with raise_if_computes():
            return run(registry, graph, **parameters)

    return build


@pytest.fixture(params=CHUNKS, ids=str)
def data(request: pytest.FixtureRequest) -> xr.DataArray:
    """Return a lazy cube in various chunks."""
    return cube(A, request.param)
