"""Evaluation: each node once, in order, with its arguments resolved; stored processes; what errors tell."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from openeo_processes_dask.process_implementations.exceptions import OpenEOException, OverlapResolverMissing

from processes.environment import Environment
from processes.errors import OpenEOError
from processes.graph.package import BoundingBox, Process, ProcessRegistry, TemporalInterval
from processes.save import SaveRequest
from tests.processes.graph.graphs import (
    callback,
    fake_process,
    flat,
    node,
    of,
    one,
    param,
    parameter,
    run,
)

ANY = parameter("x", optional=True, default=None)


@pytest.fixture
def fakes(registry: ProcessRegistry) -> Callable[..., ProcessRegistry]:
    """Return a function that adds fake processes to the real ones."""

    def add(*processes: Process, namespace: str = "predefined") -> ProcessRegistry:
        copy = ProcessRegistry()
        copy["predefined", None] = dict(registry["predefined", None])
        for process in processes:
            copy[namespace, process.spec["id"]] = process
        return copy

    return add


def test_arithmetic(registry: ProcessRegistry) -> None:
    assert run(registry, flat(a=node("add", x=1, y=2), b=node("multiply", x=of("a"), y=of("a")))) == 9


def test_each_node_runs_once(fakes: Callable[..., ProcessRegistry]) -> None:
    calls: list[int] = []
    registry = fakes(fake_process("spy", lambda x=None: calls.append(1) or 1, ANY))
    graph = flat(spy=node("spy"), a=node("add", x=of("spy"), y=of("spy")), b=node("add", x=of("a"), y=of("spy")))
    assert run(registry, graph) == 3
    assert calls == [1]


def test_diamonds_take_no_time(registry: ProcessRegistry) -> None:
    nodes = {"n0": node("add", x=1, y=0)} | {
        f"n{i}": node("add", x=of(f"n{i - 1}"), y=of(f"n{i - 1}")) for i in range(1, 60)
    }
    started = time.perf_counter()
    assert run(registry, flat(**nodes)) == 2**59
    assert time.perf_counter() - started < 0.5


def test_thousands_of_nodes_in_line(registry: ProcessRegistry) -> None:
    limit = sys.getrecursionlimit()
    nodes = {f"n{i}": node("add", x=of(f"n{i - 1}") if i else 0, y=1) for i in range(5000)}
    assert run(registry, flat(**nodes)) == 5000
    assert sys.getrecursionlimit() == limit


def test_nodes_that_the_result_does_not_need_are_left_alone(fakes: Callable[..., ProcessRegistry]) -> None:
    def fail(x: Any = None) -> Any:
        raise AssertionError

    graph = {"stray": node("fail"), "after": node("fail", x=of("a")), "a": {**node("pi"), "result": True}}
    assert run(fakes(fake_process("fail", fail, ANY)), graph) == pytest.approx(3.14159, rel=1e-5)


def test_references_are_resolved_at_any_depth(fakes: Callable[..., ProcessRegistry]) -> None:
    registry = fakes(fake_process("keep", lambda x=None: x, ANY))
    graph = flat(a=node("pi"), b=node("keep", x={"deep": [1, {"er": [of("a"), param("p")]}], "s": "2024"}))
    assert run(registry, graph, p="P1D") == {
        "deep": [1, {"er": [pytest.approx(3.14159, rel=1e-5), "P1D"]}],
        "s": "2024",
    }


def test_arguments_are_not_shared_with_the_graph(fakes: Callable[..., ProcessRegistry]) -> None:
    def mutate(x: Any = None) -> int:
        x.append(1)
        return len(x)

    registry = fakes(fake_process("mutate", mutate, ANY))
    mutating = node("mutate", x=[])
    graph = flat(a=node("array_apply", data=[1, 2, 3], process=callback(m=mutating)))
    assert run(registry, graph) == [1, 1, 1]


def test_only_schemas_make_typed_values(fakes: Callable[..., ProcessRegistry]) -> None:
    box = {"west": 3, "south": 50, "east": 4, "north": 51, "crs": 32631}
    seen: dict[str, Any] = {}

    def take(**given: Any) -> None:
        seen.update(given)

    def typed(box: Any, time: Any, plain: Any, geojson: Any) -> None:
        take(box=box, time=time, plain=plain, geojson=geojson)

    geojson = {"type": "Point", "coordinates": [0, 0]}
    registry = fakes(
        fake_process(
            "typed",
            typed,
            parameter("box", {"type": "object", "subtype": "bounding-box"}),
            parameter("time", {"type": "array", "subtype": "temporal-interval"}),
            parameter("plain"),
            parameter(
                "geojson", [{"type": "object", "subtype": "bounding-box"}, {"type": "object", "subtype": "geojson"}]
            ),
        )
    )
    deep = {**box, "west": of("west")}
    graph = flat(
        west=node("add", x=1, y=2),
        a=node("typed", box=deep, time=[param("start"), None], plain=[box, ["2024-01-01", None]], geojson=geojson),
    )
    run(registry, graph, start="2024-01-01")
    assert isinstance(seen["box"], BoundingBox)
    assert seen["box"].west == 3
    assert isinstance(seen["time"], TemporalInterval)
    assert seen["time"].start.root.year == 2024
    assert seen["plain"] == [box, ["2024-01-01", None]]
    assert seen["geojson"] == geojson


@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("extent", {"west": 3, "south": 5, "east": "x", "north": 6}, "ProcessParameterInvalid", "east"),
        ("extent", {"west": 3, "south": 5, "east": 4, "north": 3}, "ProcessParameterInvalid", "south is greater"),
        ("extent", {"west": 3, "south": 5, "east": 4, "north": 6, "crs": "moon"}, "ProcessParameterInvalid", "moon"),
        ("time", ["2024-02-30", None], "ProcessParameterInvalid", "2024-02-30"),
        ("time", [None, None], "ProcessParameterInvalid", "null for both"),
        ("time", ["2024-02-01", "2024-01-01"], "TemporalExtentEmpty", "later than its start"),
    ],
)
def test_values_that_do_not_convert(
    fakes: Callable[..., ProcessRegistry], name: str, value: Any, code: str, words: str
) -> None:
    schemas = {
        "extent": {"type": "object", "subtype": "bounding-box"},
        "time": {"type": "array", "subtype": "temporal-interval"},
    }
    registry = fakes(fake_process("take", lambda **_: None, parameter(name, schemas[name])))
    with pytest.raises(OpenEOError, match=words) as caught:
        run(registry, flat(a=node("take", **{name: value})))
    assert caught.value.code == code


def test_values_of_references_are_checked_when_they_are_known(registry: ProcessRegistry) -> None:
    with pytest.raises(OpenEOError, match="it must be a number or null") as caught:
        run(registry, flat(a=node("text_concat", data=["a"]), b=node("add", x=of("a"), y=1)))
    assert caught.value.code == "ProcessParameterInvalid"
    with pytest.raises(OpenEOError, match="a data cube was given"):
        run(registry, flat(a=node("create_data_cube"), b=node("add", x=of("a"), y=1)))


def test_the_environment_goes_to_those_that_ask(fakes: Callable[..., ProcessRegistry]) -> None:
    def ask(*, env: Environment) -> Any:
        return env.parameters["p"]

    assert run(fakes(fake_process("ask", ask)), flat(a=node("ask")), p=5) == 5


def test_save_result_gives_a_request(registry: ProcessRegistry) -> None:
    graph = flat(a=node("create_data_cube"), b=node("save_result", data=of("a"), format="GTiff", options={"x": 1}))
    request = run(registry, graph)
    assert isinstance(request, SaveRequest)
    assert (request.format, request.options) == ("GTiff", {"x": 1})


# Stored processes


def stored(id: str, graph: Any, *parameters: Any) -> Process:
    return fake_process(id, None, *parameters, process_graph=graph)


def test_a_stored_process_with_defaults_in_a_callback(fakes: Callable[..., ProcessRegistry]) -> None:
    body = flat(a=node("multiply", x=param("x"), y=param("by")), b=node("add", x=of("a"), y=1))
    double = stored("mine", body, parameter("x"), parameter("by", optional=True, default=2))
    registry = fakes(double, namespace="user")
    graph = flat(a=node("array_apply", data=[1, 2, 3], process=callback(m=node("mine", x=param("x")))))
    assert run(registry, graph) == [3, 5, 7]
    graph = flat(a=node("array_apply", data=[1, 2, 3], process=one("mine", x=param("x"), by=10)))
    assert run(registry, graph) == [11, 21, 31]


def test_a_stored_process_sees_nothing_around_it(fakes: Callable[..., ProcessRegistry]) -> None:
    registry = fakes(stored("mine", flat(a=node("add", x=param("secret"), y=1))), namespace="user")
    with pytest.raises(OpenEOError, match="'secret', which does not exist"):
        run(registry, flat(a=node("mine")), secret=5)


def test_a_stored_process_passes_callbacks_on(fakes: Callable[..., ProcessRegistry]) -> None:
    body = flat(a=node("array_apply", data=param("list"), process=param("what")))
    schema = {"type": "object", "subtype": "process-graph", "parameters": [{"name": "x"}]}
    registry = fakes(stored("each", body, parameter("list"), parameter("what", schema)), namespace="user")
    graph = flat(a=node("each", list=[1, 2], what=one("add", x=param("x"), y=1)))
    assert run(registry, graph) == [2, 3]


def test_a_stored_process_misses_a_parameter(fakes: Callable[..., ProcessRegistry]) -> None:
    registry = fakes(stored("mine", flat(a=node("sin", x=param("x"))), parameter("x")), namespace="user")
    with pytest.raises(OpenEOError) as caught:
        run(registry, flat(a=node("mine")))
    assert caught.value.code == "ProcessParameterRequired"


def test_stored_processes_that_call_each_other(fakes: Callable[..., ProcessRegistry]) -> None:
    registry = fakes(stored("a", flat(n=node("b"))), stored("b", flat(n=node("a"))), namespace="user")
    with pytest.raises(OpenEOError, match="calls itself") as caught:
        run(registry, flat(n=node("a")))
    assert caught.value.code == "ProcessGraphInvalid"


def test_stored_processes_that_multiply_run_out_of_budget(
    fakes: Callable[..., ProcessRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processes.graph.evaluator.BUDGET", 1000)

    def ten_times(next_one: str) -> Any:
        calls = {f"n{i}": node(next_one) for i in range(10)}
        return flat(**calls, all=node("sum", data=[of(name) for name in calls]))

    levels = [stored(f"p{i}", ten_times(f"p{i + 1}")) for i in range(5)]
    registry = fakes(*levels, stored("p5", flat(n=node("e"))), namespace="user")
    with pytest.raises(OpenEOError) as caught:
        run(registry, flat(n=node("p0")))
    assert caught.value.code == "ProcessGraphComplexity"


def test_declared_parameters_of_the_process_itself(registry: ProcessRegistry) -> None:
    process = {
        "process_graph": flat(a=node("add", x=param("x"), y=param("y"))),
        "parameters": [parameter("x"), parameter("y", optional=True, default=5)],
    }
    assert run(registry, process, x=1) == 6
    with pytest.raises(OpenEOError, match="'x' of the process has neither a value nor a default") as caught:
        run(registry, process)
    assert caught.value.code == "ProcessParameterRequired"


# Errors


def raising(error: Exception) -> Process:
    def fail() -> None:
        raise error

    return fake_process("fail", fail)


def test_our_errors_tell_process_and_node_once(fakes: Callable[..., ProcessRegistry]) -> None:
    registry = fakes(raising(OpenEOError("NoDataAvailable", "Nothing there.", 404)))
    graph = flat(a=node("array_apply", data=[1], process=callback(inner=node("fail"))))
    with pytest.raises(OpenEOError) as caught:
        run(registry, graph)
    assert caught.value.message == "Nothing there. (process 'fail', node 'inner')"
    assert (caught.value.code, caught.value.status) == ("NoDataAvailable", 404)


def test_errors_of_the_library_become_ours(fakes: Callable[..., ProcessRegistry]) -> None:
    with pytest.raises(OpenEOError) as caught:
        run(fakes(raising(OverlapResolverMissing("Overlap."))), flat(a=node("fail")))
    assert (caught.value.code, caught.value.message) == (
        "OverlapResolverMissing",
        "Overlap. (process 'fail', node 'a')",
    )


@pytest.mark.parametrize("error", [TypeError("own fault"), OpenEOException("bare"), KeyError("k")])
def test_unexpected_errors_stay_what_they_are_with_a_note(
    fakes: Callable[..., ProcessRegistry], error: Exception
) -> None:
    with pytest.raises(type(error)) as caught:
        run(fakes(raising(error)), flat(a=node("fail")))
    assert caught.value is error
    assert error.__notes__ == ["(process 'fail', node 'a')"]
