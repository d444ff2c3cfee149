"""The registry: what is offered, and that specifications say what implementations take."""

from __future__ import annotations

import subprocess
import sys
import time
from inspect import Parameter, signature
from typing import Any

import pytest

from processes.graph import validate_graph
from processes.graph.package import Process, ProcessRegistry
from processes.registry import BASE, OVERRIDES, OWN, build_registry, read_spec

# What the evaluator passes beside the arguments.
SPECIAL = {"axis", "dim_labels", "env", "keepdims", "wide"}
IDS = sorted({**BASE, **OVERRIDES, **OWN})


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


def parameters(process: Process) -> dict[str, Any]:
    return {parameter["name"]: parameter for parameter in process.spec["parameters"]}


@pytest.mark.parametrize("id", IDS)
def test_the_specification_lists_what_the_implementation_takes(registry: ProcessRegistry, id: str) -> None:
    process = registry[id]
    accepted = {name: p for name, p in signature(process.implementation).parameters.items() if name not in SPECIAL}
    assert not [p for p in accepted.values() if p.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)]
    assert set(accepted) == set(parameters(process))
    for name, parameter in parameters(process).items():
        if parameter.get("optional"):
            assert accepted[name].default is not Parameter.empty, name


@pytest.mark.parametrize("id", IDS)
def test_defaults_are_those_of_the_specification(registry: ProcessRegistry, id: str) -> None:
    process = registry[id]
    accepted = signature(process.implementation).parameters
    for name, parameter in parameters(process).items():
        if parameter.get("optional"):
            # An implementation's None or () stands for an empty array or object, a tuple for an array.
            told, done = parameter.get("default"), accepted[name].default
            done = list(done) if isinstance(done, tuple) else done
            assert told == done or (not told and not done and done is not False), (name, told, done)


def test_graphs_in_specifications_are_valid(registry: ProcessRegistry) -> None:
    """Web editors draw them, with what their callbacks refer to."""
    specs = [process.spec for process in (registry[id] for id in IDS) if "process_graph" in process.spec]
    assert len(specs) > 10
    known = {spec["id"]: {"x", "y", "context", *(p["name"] for p in spec["parameters"])} for spec in specs}
    found = {spec["id"]: validate_graph(spec, registry, parameters=known[spec["id"]]) for spec in specs}
    assert not {id: [str(error) for error in errors] for id, errors in found.items() if errors}


@pytest.mark.parametrize("id", IDS)
def test_specifications_are_complete(registry: ProcessRegistry, id: str) -> None:
    spec = registry[id].spec
    assert spec["id"] == id
    assert spec["description"]
    assert "schema" in spec["returns"]
    for parameter in spec["parameters"]:
        assert parameter["description"]
        assert "schema" in parameter


def test_what_computes_is_not_offered(registry: ProcessRegistry) -> None:
    assert "export_workspace" not in set(registry["predefined", None])


def test_each_registry_is_new() -> None:
    first, second = build_registry(), build_registry()
    first["add"].spec["parameters"].clear()
    del first["e"]
    assert len(second["add"].spec["parameters"]) == 2
    assert "e" in second["predefined", None]


def test_a_registry_of_other_functions() -> None:
    registry = build_registry({"load_collection": print})
    assert list(registry) == [("predefined", "load_collection")]
    assert registry["load_collection"].implementation is print
    assert registry["load_collection"].spec == read_spec("load_collection")


def test_building_takes_no_time() -> None:
    started = time.perf_counter()
    build_registry()
    assert time.perf_counter() - started < 0.3


def test_importing_keeps_the_recursion_limit() -> None:
    program = "import sys; n = sys.getrecursionlimit(); import processes.registry; assert sys.getrecursionlimit() == n"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
