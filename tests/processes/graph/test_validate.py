"""Graphs held against a registry: all faults at once, and the first of them when a graph is run."""

from __future__ import annotations

from typing import Any

import pytest

from processes.errors import OpenEOError
from processes.graph import validate_graph
from processes.graph.package import ProcessRegistry
from tests.processes.graph.graphs import callback, fake_process, flat, node, of, one, param, parameter, run

BOX = {"west": 3, "south": 50, "east": 4, "north": 51}


def faults(registry: ProcessRegistry, graph: Any, **more: Any) -> list[tuple[str, str]]:
    return [(error.code, error.message) for error in validate_graph(graph, registry, **more)]


def only(registry: ProcessRegistry, graph: Any, **more: Any) -> tuple[str, str]:
    (fault,) = faults(registry, graph, **more)
    return fault


def test_a_sound_graph_has_no_faults(registry: ProcessRegistry) -> None:
    graph = flat(
        load=node(
            "load_collection",
            id="S2",
            spatial_extent=BOX,
            temporal_extent=["2022-01-01", None],
            properties={"eo:cloud_cover": one("lt", x=param("value"), y=50)},
        ),
        mean=node("reduce_dimension", data=of("load"), dimension="t", reducer=one("mean", data=param("data"))),
        save=node("save_result", data=of("mean"), format="GTiff"),
    )
    assert faults(registry, graph) == []


def test_everything_wrong_is_told_at_once(registry: ProcessRegistry) -> None:
    graph = {
        "a": node("lode_collection"),
        "b": node("add", x=1, z=2),
        "c": node("sin", x=of("nowhere")),
        "d": node("reduce_dimension", data=of("b"), dimension=3, reducer=7),
    }
    codes = sorted(code for code, _ in faults(registry, graph))
    assert codes == [
        "ProcessGraphInvalid",  # no result
        "ProcessGraphInvalid",  # no node 'nowhere'
        "ProcessParameterInvalid",
        "ProcessParameterInvalid",
        "ProcessParameterRequired",
        "ProcessParameterUnsupported",
        "ProcessUnsupported",
    ]


def test_an_unknown_process_names_near_matches(registry: ProcessRegistry) -> None:
    code, message = only(registry, flat(a=node("load_colection")))
    assert code == "ProcessUnsupported"
    assert "'load_colection' is not available in namespace 'predefined' or 'user'" in message
    assert "load_collection" in message
    assert "node 'a'" in message


def test_the_namespace_decides(registry: ProcessRegistry) -> None:
    graph = flat(a={**node("e"), "namespace": "user"})
    code, message = only(registry, graph)
    assert code == "ProcessUnsupported"
    assert "namespace 'user'" in message
    assert faults(registry, flat(a={**node("e"), "namespace": "backend"})) == []


def test_a_misspelt_parameter_is_told(registry: ProcessRegistry) -> None:
    graph = flat(a=node("load_collection", id="S2", spatial_extent=None, temporal_extent=None, band=["B04"]))
    code, message = only(registry, graph)
    assert code == "ProcessParameterUnsupported"
    assert "Did you mean 'bands'?" in message


def test_a_missing_parameter_is_told(registry: ProcessRegistry) -> None:
    code, message = only(registry, flat(a=node("add", x=1)))
    assert (code, "parameter 'y' is required" in message) == ("ProcessParameterRequired", True)


@pytest.mark.parametrize(
    ("process", "arguments", "words"),
    [
        ("add", {"x": {"a": 1}, "y": 2}, "it must be a number or null"),
        ("add", {"x": "1", "y": 2}, "it must be a number or null"),
        ("add", {"x": True, "y": 2}, "it must be a number or null"),
        ("mean", {"data": 3}, "it must be an array"),
        ("mean", {"data": [1, "a"]}, "element 1"),
        ("round", {"x": 1, "p": 0.5}, "it must be an integer"),
        ("text_begins", {"data": "a", "pattern": 3}, "it must be a string"),
        ("apply", {"data": of("cube"), "process": "mean"}, "it must be a process graph"),
        ("apply", {"data": 3, "process": one("e")}, "it must be a data cube"),
        ("add", {"x": one("e"), "y": 1}, "a process graph was given"),
        ("mean", {"data": one("e")}, "a process graph was given"),
        ("filter_bbox", {"data": of("cube"), "extent": {"west": 3}}, "lacks south, east, north"),
        ("filter_temporal", {"data": of("cube"), "extent": ["2022-01-01"]}, "1 elements"),
        ("save_result", {"data": of("cube"), "format": 1}, "it must be a string"),
        ("aggregate_temporal_period", {"data": of("cube"), "period": "moon", "reducer": one("e")}, "'month'"),
        (
            "load_collection",
            {"id": "a", "spatial_extent": None, "temporal_extent": None, "properties": {"p": 5}},
            "it must be a process graph",
        ),
    ],
)
def test_an_obvious_mistype_is_told(
    registry: ProcessRegistry, process: str, arguments: dict[str, Any], words: str
) -> None:
    graph = flat(cube=node("create_data_cube"), a=node(process, **arguments))
    code, message = only(registry, graph)
    assert code == "ProcessParameterInvalid"
    assert words in message
    assert f"in process '{process}'" in message


@pytest.mark.parametrize(
    ("process", "arguments"),
    [
        ("add", {"x": None, "y": 1.5}),
        ("round", {"x": 1, "p": 2.0}),
        ("if", {"value": True, "accept": {"any": "thing"}}),
        ("filter_spatial", {"data": of("cube"), "geometries": {"type": "Point", "coordinates": [0, 0]}}),
        ("merge_cubes", {"cube1": of("cube"), "cube2": of("cube"), "overlap_resolver": None}),
        ("count", {"data": [1], "condition": True}),
        ("mean", {"data": [1, of("number"), None]}),
    ],
)
def test_what_may_be_right_passes(registry: ProcessRegistry, process: str, arguments: dict[str, Any]) -> None:
    graph = flat(cube=node("create_data_cube"), number=node("e"), a=node(process, **arguments))
    assert faults(registry, graph) == []


def test_parameters_are_known_where_they_are_declared(registry: ProcessRegistry) -> None:
    graph = flat(a=node("array_apply", data=param("list"), process=one("add", x=param("x"), y=param("list"))))
    code, message = faults(registry, graph)[0]
    assert code == "ProcessGraphInvalid"
    assert "'list'" in message
    assert faults(registry, graph, parameters=["list"]) == []
    assert faults(registry, {"process_graph": graph, "parameters": [{"name": "list", "schema": {}}]}) == []


def test_callbacks_know_their_own_and_their_parents_parameters(registry: ProcessRegistry) -> None:
    inner = one("add", x=param("x"), y=param("data"))
    graph = flat(
        cube=node("create_data_cube"),
        a=node(
            "reduce_dimension",
            data=of("cube"),
            dimension="t",
            reducer=callback(b=node("array_apply", data=param("data"), process=inner)),
        ),
    )
    assert faults(registry, graph) == []
    graph["a"]["arguments"]["reducer"] = one("add", x=param("x"), y=1)
    code, message = only(registry, graph)
    assert (code, "known are context, data" in message) == ("ProcessGraphInvalid", True)


def test_running_raises_the_first_fault_before_anything_runs(registry: ProcessRegistry) -> None:
    calls: list[int] = []
    registry = _with(registry, "spy", lambda: calls.append(1))
    with pytest.raises(OpenEOError, match="parameter 'y' is required"):
        run(registry, flat(spy=node("spy"), a=node("add", x=of("spy"))))
    assert calls == []


def _with(registry: ProcessRegistry, id: str, function: Any) -> ProcessRegistry:
    copy = ProcessRegistry()
    copy["predefined", None] = dict(registry["predefined", None])
    copy[id] = fake_process(id, function, parameter("unused", optional=True, default=None))
    return copy
