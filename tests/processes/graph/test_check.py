"""The structure of process graphs: what is accepted, and what each fault is called."""

from __future__ import annotations

import time
from typing import Any

import pytest

from processes.errors import OpenEOError
from processes.graph import GraphLimits, check_graph
from tests.processes.graph.graphs import callback, flat, node, of, param

ONE = flat(a=node("add", x=1, y=2))


def refused(process: Any, limits: GraphLimits | None = None) -> OpenEOError:
    with pytest.raises(OpenEOError) as caught:
        check_graph(process, limits)
    return caught.value


def test_results_that_would_not_be_computed_are_refused() -> None:
    load, save = node("load_collection", id="a"), node("save_result", data=of("load"), format="GTiff")
    for graph in (
        flat(load=load, more=save, save=save),  # two files
        {"load": {**load, "result": True}, "more": save},  # the result is not the last node
    ):
        with pytest.raises(OpenEOError, match="Node 'more' saves what would not be computed") as failure:
            check_graph(graph)
        assert failure.value.code == "ProcessGraphInvalid"
    assert check_graph(flat(load=load, other=load, save=save)).order == ("load", "save")


@pytest.mark.parametrize(
    "process", [ONE, {"process_graph": ONE}, {"process": {"process_graph": ONE}}, {"id": "mine", "process_graph": ONE}]
)
def test_a_graph_is_found_in_all_forms(process: Any) -> None:
    assert check_graph(process).result == "a"


def test_order_holds_the_ancestors_of_the_result_only() -> None:
    graph = check_graph(
        flat(stray=node("e"), late=node("add", x=of("early"), y=1), early=node("pi"), end=node("sin", x=of("late")))
    )
    assert graph.order == ("early", "late", "end")
    assert set(graph.nodes) == {"stray", "late", "early", "end"}


@pytest.mark.parametrize("process", [None, [], {}, {"process_graph": {}}, {"process_graph": None}, {"process": {}}])
def test_no_graph_is_missing(process: Any) -> None:
    assert refused(process).code == "ProcessGraphMissing"


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ({"process_graph": "x"}, "not an object"),
        ({"a": node("e"), "b": node("pi")}, "set `result` to true"),
        ({"a": {**node("e"), "result": True}, "b": {**node("pi"), "result": True}}, "'a', 'b'"),
        ({"a": {"process_id": "e", "result": True}}, "'a' has no `arguments`"),
        ({"process_graph": {"a": {"arguments": {}, "result": True}}}, "'a' has no `process_id`"),
        ({"process_graph": {"a": {"process_id": 3, "arguments": {}, "result": True}}}, "'a' has no `process_id`"),
        ({"process_graph": {"a": 3}}, "'a' is not an object"),
        ({"a": {**node("e"), "result": "yes"}}, "neither true nor false"),
        ({"a": {**node("e"), "namespace": 3, "result": True}}, "`namespace`"),
        (flat(a=node("sin", x=of("b"))), "'a' refers to the node 'b'"),
        (flat(a=node("sin", x=[{"deep": of("b")}])), "'a' refers to the node 'b'"),
        (flat(a=node("sin", x=of("a"))), "'a' -> 'a'"),
        (flat(a=node("sin", x=of("b")), b=node("cos", x=of("c")), c=node("cos", x=of("a"))), "in a circle"),
        (flat(a=node("apply", process={"process_graph": {}})), "in the callback 'process' of node 'a'"),
        (flat(a=node("apply", process={"process_graph": {"b": node("e")}})), "No node in the callback"),
        (flat(a=node("e"), b=node("apply", process=callback(c=node("sin", x=of("a"))))), "through `context`"),
    ],
)
def test_a_malformed_graph_is_invalid_and_told_where(graph: Any, words: str) -> None:
    error = refused(graph)
    assert error.code == "ProcessGraphInvalid"
    assert words in error.message


def test_declared_parameters_need_names() -> None:
    assert refused({"process_graph": ONE, "parameters": [{"schema": {}}]}).code == "ProcessInvalid"


def test_limits_on_nodes_count_callbacks() -> None:
    graph = flat(a=node("apply", process=callback(b=node("e"), c=node("sin", x=of("b")))))
    assert check_graph(graph, GraphLimits(nodes=3)).result == "a"
    assert "more than 2 nodes" in refused(graph, GraphLimits(nodes=2)).message


def test_limit_on_size() -> None:
    assert (
        "longer than 1000 characters" in refused(flat(a=node("constant", x="y" * 1001)), GraphLimits(size=1000)).message
    )


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_limit_on_depth_needs_no_recursion(wrap: Any) -> None:
    value: Any = 1
    for _ in range(50_000):
        value = wrap(value)
    assert "more than 100 deep" in refused(flat(a=node("constant", x=value))).message


def test_limit_on_callbacks_within_callbacks() -> None:
    graph: Any = callback(a=node("constant", x=param("x")))
    for _ in range(8):
        graph = callback(a=node("array_apply", data=[1], process=graph))
    assert "more than 8 deep" in refused(flat(a=node("array_apply", data=[1], process=graph))).message


def test_thousands_of_nodes_in_line_and_in_a_circle() -> None:
    chain = {f"n{i}": node("add", x=of(f"n{i + 1}"), y=1) for i in range(4999)} | {"n4999": node("pi")}
    chain["n0"]["result"] = True
    started = time.perf_counter()
    assert len(check_graph(chain).order) == 5000
    chain["n4999"] = node("add", x=of("n0"), y=1)
    assert "in a circle" in refused(chain).message
    assert time.perf_counter() - started < 5


def test_strings_stay_strings() -> None:
    graph = check_graph(flat(a=node("constant", x=["2024", "P1D", "2024-01-01", {"crs": "4326"}])))
    assert graph.nodes["a"].arguments == {"x": ["2024", "P1D", "2024-01-01", {"crs": "4326"}]}
