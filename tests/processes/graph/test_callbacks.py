"""Callbacks of two and more nodes in every process that takes one, against plain NumPy; lazy, in any chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openeo_processes_dask.process_implementations import cubes as library

from processes.errors import OpenEOError
from processes.graph import Callback
from processes.graph.package import ProcessRegistry
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

Build = Callable[..., xr.DataArray]
A = values(12, 3, 6, 5)
CHUNKS = [(12, 3, 6, 5), (5, 2, 4, 3), (1, 1, 6, 5)]
DATA = param("data")
SPREAD = callback(
    high=node("max", data=DATA), low=node("min", data=DATA), d=node("subtract", x=of("high"), y=of("low"))
)
ANOMALY = callback(mean=node("mean", data=DATA), d=node("subtract", x=DATA, y=of("mean")))
LINE = callback(double=node("multiply", x=param("x"), y=2), plus=node("add", x=of("double"), y=1))
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[500_000, 5_649_960], [500_030, 5_649_960], [500_030, 5_650_000], [500_000, 5_650_000]]],
    "crs": {"type": "name", "properties": {"name": "EPSG:32631"}},
}
POLYGON["coordinates"][0].append(POLYGON["coordinates"][0][0])  # type: ignore[index]


def spread(array: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.nanmax(array, axis) - np.nanmin(array, axis)


def close(actual: xr.DataArray, expected: np.ndarray) -> None:
    assert dask.is_dask_collection(actual)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual.values, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(params=CHUNKS, ids=str)
def data(request: pytest.FixtureRequest) -> xr.DataArray:
    return cube(A, request.param)


@pytest.mark.parametrize("axis", range(4))
def test_reduce_dimension(build: Build, data: xr.DataArray, axis: int) -> None:
    name = str(data.dims[axis])
    result = build(flat(a=node("reduce_dimension", data=param("c"), dimension=name, reducer=SPREAD)), c=data)
    close(result, spread(A, axis))
    assert result.dims == tuple(d for d in data.dims if d != name)
    assert not [value for value in result.attrs.values() if isinstance(value, dict)]


def test_reduce_spatial(build: Build, data: xr.DataArray) -> None:
    close(build(flat(a=node("reduce_spatial", data=param("c"), reducer=SPREAD)), c=data), spread(A, (2, 3)))


def test_apply(build: Build, data: xr.DataArray) -> None:
    close(build(flat(a=node("apply", data=param("c"), process=LINE)), c=data), 2 * A + 1)


def test_apply_with_an_array_made_of_values(build: Build, data: xr.DataArray) -> None:
    process = one("max", data=[param("x"), 0.5, None])
    close(build(flat(a=node("apply", data=param("c"), process=process)), c=data), np.fmax(A, np.float32(0.5)))


def test_apply_with_a_constant_result(build: Build, data: xr.DataArray) -> None:
    result = build(
        flat(a=node("apply", data=param("c"), process=one("constant", x=param("context")), context=7)), c=data
    )
    np.testing.assert_array_equal(result.values, np.full(A.shape, 7))


@pytest.mark.parametrize("axis", range(4))
def test_apply_dimension_keeps_length_and_labels(build: Build, data: xr.DataArray, axis: int) -> None:
    name = str(data.dims[axis])
    result = build(flat(a=node("apply_dimension", data=param("c"), dimension=name, process=ANOMALY)), c=data)
    close(result, A - np.nanmean(A, axis, keepdims=True))
    assert result.dims == data.dims
    assert all((result[d] == data[d]).all() for d in data.dims)


def test_apply_dimension_with_a_reducer_gives_one_value(build: Build, data: xr.DataArray) -> None:
    result = build(flat(a=node("apply_dimension", data=param("c"), dimension="t", process=SPREAD)), c=data)
    close(result, spread(A, 0)[None])


def test_apply_dimension_with_an_array_of_another_length(build: Build, data: xr.DataArray) -> None:
    process = callback(
        mean=node("mean", data=DATA),
        sd=node("sd", data=DATA),
        both=node("array_create", data=[of("mean"), of("sd"), 1]),
    )
    graph = flat(a=node("apply_dimension", data=param("c"), dimension="t", target_dimension="stats", process=process))
    result = build(graph, c=data)
    assert result.dims == ("stats", "bands", "y", "x")
    assert result["stats"].values.tolist() == [0, 1, 2]
    mean = np.nanmean(A, 0)
    np.testing.assert_allclose(result.values, [mean, np.nanstd(A, 0, ddof=1), np.ones_like(mean)], rtol=1e-4)


def test_apply_dimension_appends_a_computed_band(build: Build, data: xr.DataArray) -> None:
    process = callback(
        nir=node("array_element", data=DATA, label="B03"),
        red=node("array_element", data=DATA, index=0),
        index=node("normalized_difference", x=of("nir"), y=of("red")),
        all=node("array_concat", array1=DATA, array2=[of("index")]),
    )
    result = build(flat(a=node("apply_dimension", data=param("c"), dimension="bands", process=process)), c=data)
    index = (A[:, 2] - A[:, 0]) / (A[:, 2] + A[:, 0])
    np.testing.assert_allclose(result.values, np.concatenate([A, index[:, None]], 1), rtol=1e-4)


def test_aggregate_temporal_gives_each_interval_its_own_value(build: Build, data: xr.DataArray) -> None:
    graph = flat(
        a=node(
            "aggregate_temporal",
            data=param("c"),
            intervals=[["2022-01-01", "2022-02-01"], ["2022-01-20", "2022-03-01"], ["2022-03-01", "2022-05-01"]],
            reducer=SPREAD,
        )
    )
    close(build(graph, c=data), np.stack([spread(A[0:3], 0), spread(A[2:6], 0), spread(A[6:12], 0)]))


def test_aggregate_temporal_period(build: Build, data: xr.DataArray) -> None:
    result = build(flat(a=node("aggregate_temporal_period", data=param("c"), period="month", reducer=SPREAD)), c=data)
    close(result, np.stack([spread(A[i : i + 3], 0) for i in (0, 3, 6, 9)]))
    assert result["t"].values.tolist() == ["2022-01", "2022-02", "2022-03", "2022-04"]


def test_aggregate_spatial(build: Build, data: xr.DataArray) -> None:
    result = build(flat(a=node("aggregate_spatial", data=param("c"), geometries=POLYGON, reducer=SPREAD)), c=data)
    np.testing.assert_allclose(np.squeeze(result.values), spread(A[:, :, :4, :3], (2, 3)), rtol=1e-5)


def test_apply_neighborhood_with_a_cube(build: Build, data: xr.DataArray) -> None:
    size = [{"dimension": "x", "value": 2, "unit": "px"}, {"dimension": "y", "value": 4, "unit": "px"}]
    overlap = [{"dimension": "x", "value": 1, "unit": "px"}]
    process = callback(a=node("apply", data=DATA, process=LINE), b=node("apply", data=of("a"), process=LINE))
    graph = flat(a=node("apply_neighborhood", data=param("c"), size=size, overlap=overlap, process=process))
    close(build(graph, c=data), 4 * A + 3)


def test_apply_neighborhood_along_one_dimension(build: Build, data: xr.DataArray) -> None:
    size = [{"dimension": d, "value": 1, "unit": "px"} for d in ("x", "y", "bands")]
    graph = flat(a=node("apply_neighborhood", data=param("c"), size=size, process=ANOMALY))
    close(build(graph, c=data), A - np.nanmean(A, 0))


def test_apply_polygon(build: Build, data: xr.DataArray) -> None:
    process = callback(
        a=node("apply", data=DATA, process=LINE), b=node("apply", data=of("a"), process=one("add", x=param("x"), y=-1))
    )
    result = build(flat(a=node("apply_polygon", data=param("c"), geometries=POLYGON, process=process)), c=data)
    expected = np.full_like(A, np.nan)
    expected[:, :, :4, :3] = 2 * A[:, :, :4, :3]
    close(result, expected)


def test_merge_cubes(build: Build, data: xr.DataArray) -> None:
    resolver = callback(
        sum=node("add", x=param("x"), y=param("y")), part=node("multiply", x=of("sum"), y=param("context"))
    )
    graph = flat(a=node("merge_cubes", cube1=param("c"), cube2=param("d"), overlap_resolver=resolver, context=0.5))
    close(build(graph, c=data, d=cube(3 * A, (3, 3, 6, 5))), 2 * A)


def test_merge_cubes_keeps_the_order_of_x_and_y(build: Build, data: xr.DataArray) -> None:
    resolver = one("subtract", x=param("x"), y=param("y"))
    graph = flat(a=node("merge_cubes", cube1=param("c"), cube2=param("d"), overlap_resolver=resolver))
    close(build(graph, c=data, d=cube(3 * A, (3, 3, 6, 5))), -2 * A)


def test_filter_labels(build: Build, data: xr.DataArray) -> None:
    condition = callback(
        is_first=node("eq", x=param("value"), y="B01"),
        other=node("eq", x=param("value"), y=param("context")),
        either=node("or", x=of("is_first"), y=of("other")),
    )
    graph = flat(a=node("filter_labels", data=param("c"), dimension="bands", condition=condition, context="B03"))
    close(build(graph, c=data), A[:, [0, 2]])


def test_filter_labels_sees_dates_as_text(build: Build, data: xr.DataArray) -> None:
    condition = one("date_between", x=param("value"), min="2022-02-01", max="2022-03-01")
    graph = flat(a=node("filter_labels", data=param("c"), dimension="t", condition=condition))
    close(build(graph, c=data), A[3:6])


def test_predicates_of_load_collection(registry: ProcessRegistry) -> None:
    seen: dict[str, Callback] = {}
    spec = registry["load_collection"].spec["parameters"][-1]
    copy = ProcessRegistry()
    copy["predefined", None] = dict(registry["predefined", None])
    copy["load"] = fake_process("load", lambda properties: seen.update(properties), spec)
    test = callback(a=node("gte", x=param("value"), y=10), b=node("not", x=of("a")))
    run(copy, flat(a=node("load", properties={"eo:cloud_cover": test})))
    predicate = seen["eo:cloud_cover"]
    assert [predicate(value) for value in (5, 50, 9)] == [True, False, True]
    assert predicate(5, positional_parameters={"value": 0}, named_parameters={}) is True


# Arrays inside of callbacks


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
    np.testing.assert_array_equal(got, (~(A > 0)).sum(0))


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


# The protocol of openeo-processes-dask


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
