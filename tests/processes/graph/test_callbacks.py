"""Callbacks of two and more nodes in every process that takes one, against plain NumPy; lazy, in any chunks."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from processes.graph import Callback
from processes.graph.package import ProcessRegistry
from tests.processes.graph.callback_cubes import ANOMALY, DATA, LINE, POLYGON, SPREAD, A, Build, close, spread
from tests.processes.graph.graphs import (
    callback,
    cube,
    fake_process,
    flat,
    node,
    of,
    one,
    param,
    run,
)


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
