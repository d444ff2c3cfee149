"""Arrays inside of callbacks: made, filtered, searched and reduced there."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from processes.graph.package import ProcessRegistry
from tests.processes.graph.callback_cubes import DATA, LINE, A, Build, close
from tests.processes.graph.graphs import (
    callback,
    flat,
    node,
    of,
    one,
    param,
    run,
)


def reduced(build: Build, data: xr.DataArray, **nodes: Any) -> np.ndarray:
    return build(
        flat(a=node("reduce_dimension", data=param("c"), dimension="t", reducer=callback(**nodes))), c=data
    ).values


def test_array_apply_then_reduce(build: Build, data: xr.DataArray) -> None:
    got = reduced(build, data, a=node("array_apply", data=DATA, process=LINE), b=node("mean", data=of("a")))
    np.testing.assert_allclose(got, np.nanmean(2 * A + 1, 0), rtol=1e-4)


def test_elementwise_on_the_whole_array_then_reduce(build: Build, data: xr.DataArray) -> None:
    got = reduced(build, data, a=node("multiply", x=DATA, y=2), b=node("max", data=of("a")))
    np.testing.assert_allclose(got, np.nanmax(2 * A, 0), rtol=1e-5)


def test_array_apply_with_a_reduced_value_as_context(build: Build, data: xr.DataArray) -> None:
    got = reduced(
        build,
        data,
        mean=node("mean", data=DATA),
        off=node(
            "array_apply", data=DATA, process=one("subtract", x=param("x"), y=param("context")), context=of("mean")
        ),
        square=node("array_apply", data=of("off"), process=one("multiply", x=param("x"), y=param("x"))),
        sum=node("sum", data=of("square")),
    )
    np.testing.assert_allclose(got, np.nansum((A - np.nanmean(A, 0)) ** 2, 0), rtol=1e-3, atol=1e-5)


def test_a_nested_callback_sees_its_parents_parameters(build: Build, data: xr.DataArray) -> None:
    share = callback(high=node("max", data=DATA), share=node("divide", x=param("x"), y=of("high")))
    got = reduced(build, data, a=node("array_apply", data=DATA, process=share), b=node("min", data=of("a")))
    np.testing.assert_allclose(got, np.nanmin(A / np.nanmax(A, 0), 0), rtol=1e-4)


def test_index_and_labels_inside_of_array_apply(build: Build, data: xr.DataArray) -> None:
    weigh = one("multiply", x=param("x"), y=param("index"))
    got = reduced(build, data, a=node("array_apply", data=DATA, process=weigh), b=node("sum", data=of("a")))
    np.testing.assert_allclose(got, np.nansum(A * np.arange(12)[:, None, None, None], 0), rtol=1e-4)


def test_array_filter_then_count_and_first(build: Build, data: xr.DataArray) -> None:
    positive = one("gt", x=param("x"), y=0)
    keep = node("array_filter", data=DATA, condition=positive)
    np.testing.assert_array_equal(reduced(build, data, a=keep, b=node("count", data=of("a"))), (A > 0).sum(0))
    odd = callback(m=node("mod", x=param("index"), y=2), e=node("eq", x=of("m"), y=1))
    got = reduced(build, data, a=node("array_filter", data=DATA, condition=odd), b=node("max", data=of("a")))
    np.testing.assert_allclose(got, np.nanmax(A[1::2], 0))


def test_count_with_a_condition_of_two_nodes(build: Build, data: xr.DataArray) -> None:
    condition = callback(a=node("gt", x=param("x"), y=0), b=node("not", x=of("a")))
    got = reduced(build, data, a=node("count", data=DATA, condition=condition))
    np.testing.assert_array_equal(got, (A <= 0).sum(0))


def test_sort_order_and_element(build: Build, data: xr.DataArray) -> None:
    # No data moves to the end, as it does in NumPy.
    got = reduced(build, data, a=node("sort", data=DATA, nodata=True), b=node("array_element", data=of("a"), index=1))
    np.testing.assert_array_equal(got, np.sort(A, 0)[1])
    nodes = {
        "order": node("order", data=DATA, nodata=True),
        "sorted": node("rearrange", data=DATA, order=of("order")),
        "first": node("array_element", data=of("sorted"), index=0),
    }
    np.testing.assert_array_equal(reduced(build, data, **nodes), np.sort(A, 0)[0])


def test_an_array_of_quantiles(build: Build, data: xr.DataArray) -> None:
    nodes = {
        "q": node("quantiles", data=DATA, probabilities=[0.25, 0.75]),
        "low": node("array_element", data=of("q"), index=0),
        "high": node("array_element", data=of("q"), index=1),
        "d": node("subtract", x=of("high"), y=of("low")),
    }
    low, high = np.nanquantile(A, [0.25, 0.75], axis=0)
    np.testing.assert_allclose(reduced(build, data, **nodes), high - low, rtol=1e-3, atol=1e-5)


def test_gaps_filled_along_time(build: Build, data: xr.DataArray) -> None:
    process = callback(a=node("array_interpolate_linear", data=DATA), b=node("multiply", x=of("a"), y=2))
    result = build(flat(a=node("apply_dimension", data=param("c"), dimension="t", process=process)), c=data)
    close(result, 2 * xr.DataArray(A, dims=list("tbyx")).interpolate_na("t").values)


def test_lists_outside_of_cubes(registry: ProcessRegistry) -> None:
    graph = flat(a=node("array_apply", data=[1, 2, 3], process=LINE), b=node("sum", data=of("a")))
    assert run(registry, graph) == 15
