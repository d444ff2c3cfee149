"""How callbacks are called, and what is told when they return what cannot be; any chunks give the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openeo_processes_dask.process_implementations import cubes as library

from processes.errors import OpenEOError
from processes.graph import Callback
from processes.graph.package import ProcessRegistry
from tests.processes.graph.callback_cubes import ANOMALY, DATA, LINE, SPREAD, A, Build, close, spread
from tests.processes.graph.graphs import (
    callback,
    cube,
    fake_process,
    flat,
    node,
    of,
    one,
    param,
    parameter,
    run,
    values,
)


def test_the_librarys_own_processes_can_call_our_callbacks(
    registry: ProcessRegistry, raise_if_computes: Callable[[], Any]
) -> None:
    copy = ProcessRegistry()
    copy["predefined", None] = dict(registry["predefined", None])
    for id in ("reduce_dimension", "apply"):
        copy[id] = fake_process(id, getattr(library, id), *registry[id].spec["parameters"])
    graph = flat(
        a=node("apply", data=param("c"), process=LINE),
        b=node("reduce_dimension", data=of("a"), dimension="t", reducer=SPREAD),
    )
    with raise_if_computes():
        result = run(copy, graph, c=cube(A, (5, 2, 4, 3)))
    close(result, spread(2 * A + 1, 0))


def capture(registry: ProcessRegistry, graph: Any) -> Callback:
    """Return the callback that an implementation gets for a graph."""
    copy = ProcessRegistry()
    copy["predefined", None] = dict(registry["predefined", None])
    schema = {"type": "object", "subtype": "process-graph", "parameters": [{"name": "data"}, {"name": "context"}]}
    copy["take"] = fake_process("take", lambda what: what, parameter("what", schema))
    taken: Callback = run(copy, flat(a=node("take", what=graph)))
    return taken


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_keepdims_applies_to_what_has_lost_its_axis(registry: ProcessRegistry, axis: int) -> None:
    reducer, series = capture(registry, SPREAD), capture(registry, ANOMALY)
    small = values(2, 3, 4, missing=0)
    kept = reducer(small, axis=axis, keepdims=True)
    np.testing.assert_allclose(kept, np.ptp(small, axis=axis, keepdims=True), rtol=1e-6)
    assert reducer(small, axis=axis).shape == np.ptp(small, axis=axis).shape
    anomaly = small - small.mean(axis, keepdims=True)
    np.testing.assert_allclose(series(small, axis=axis, keepdims=True), anomaly, atol=1e-6)


def test_several_axes_are_one_array(registry: ProcessRegistry) -> None:
    small = values(2, 3, 4, missing=0)
    reducer = capture(registry, SPREAD)
    np.testing.assert_allclose(reducer(small, axis=(0, 2)), np.ptp(small, axis=(0, 2)), rtol=1e-6)
    assert reducer(small, axis=(0, 2), keepdims=True).shape == (1, 3, 1)


def test_callbacks_are_evaluated_afresh(registry: ProcessRegistry) -> None:
    reducer = capture(registry, SPREAD)
    assert [reducer(np.array([0.0, n]), axis=0) for n in (1, 2, 3)] == [1, 2, 3]
    assert reducer([4, 9, 5]) == 5


def test_an_array_that_a_reducer_should_have_reduced_is_told(build: Build) -> None:
    graph = flat(a=node("reduce_dimension", data=param("c"), dimension="t", reducer=one("sort", data=DATA)))
    with pytest.raises(OpenEOError) as caught:
        build(graph, c=cube(A))
    assert caught.value.code == "ProcessParameterInvalid"


def test_a_single_value_where_an_array_is_needed_is_told(build: Build) -> None:
    graph = flat(a=node("apply", data=param("c"), process=one("mean", data=param("x"))))
    with pytest.raises(OpenEOError, match="single value") as caught:
        build(graph, c=cube(A))
    assert caught.value.code == "ProcessParameterInvalid"


REDUCERS = ["mean", "median", "min", "max", "sum", "sd", "variance", "count", "first", "last", "product"]


@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 4),
    chunks=st.tuples(*[st.integers(1, 6)] * 4),
    axis=st.integers(0, 3),
    names=st.tuples(st.sampled_from(REDUCERS), st.sampled_from(REDUCERS)),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chunks_give_what_one_chunk_gives(
    build: Build, sizes: tuple[int, ...], chunks: tuple[int, ...], axis: int, names: tuple[str, str]
) -> None:
    array = values(*sizes, missing=0.3)
    two = callback(a=node(names[0], data=DATA), b=node(names[1], data=DATA), c=node("add", x=of("a"), y=of("b")))
    dimension = ("t", "bands", "y", "x")[axis]
    graph = flat(a=node("reduce_dimension", data=param("c"), dimension=dimension, reducer=two))
    whole, parts = (build(graph, c=cube(array, c)) for c in (sizes, tuple(map(min, zip(chunks, sizes, strict=True)))))
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-4, atol=1e-5)
