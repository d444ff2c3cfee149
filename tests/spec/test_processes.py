"""What we serve, held against the standard's specifications: their parameters, schemas, exceptions and examples."""

from __future__ import annotations

import json
import math
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

from processes.graph.package import ProcessRegistry
from processes.registry import BASE, OVERRIDES, OWN, build_registry, read_spec
from tests.processes.graph.graphs import run
from tests.spec.deviations import DEVIATIONS, NOT_OF_THE_STANDARD, differences
from tests.spec.left_out import LEFT_OUT
from tests.spec.make import EXAMPLES, FACTS, examples_of, facts_of, without_texts
from tests.spec.overview import PAGE, page

STANDARD: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
# Ready-made process graphs are ours altogether; tests/processes/ready_made looks at them.
IDS = sorted({**BASE, **OVERRIDES, **OWN})
# Examples of the standard that contradict its own text, by process and place among those with a result.
BROKEN = {
    ("array_modify", 3),  # removes an element, although `length` is 0 by default
    ("count", 4),  # its condition lacks `process_graph`, and refers to a parameter that does not exist
}
CASES = [
    pytest.param(id, arguments, result, id=f"{id}-{i}")
    for id, examples in json.loads(EXAMPLES.read_text(encoding="utf-8")).items()
    for i, (arguments, result) in enumerate(examples)
    if id in IDS and (id, i) not in BROKEN
]


def test_every_process_is_of_the_standard_or_known_to_be_ours() -> None:
    assert set(IDS) - set(STANDARD) == NOT_OF_THE_STANDARD & set(IDS)


def test_what_is_left_out_of_the_standard_has_a_reason() -> None:
    assert set(STANDARD) - set(IDS) == set(LEFT_OUT)


def test_the_page_about_processes_is_the_one_that_is_made_of_them() -> None:
    """Written by `python -m tests.spec.overview`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_parameter_is_one_of_the_function_and_the_other_way_round() -> None:
    """Functions may have more that the evaluator, not the user, passes on."""
    ours = {"env", "wide", "axis", "keepdims", "dim_labels"}
    for id, function in {**BASE, **OVERRIDES, **OWN}.items():
        known = signature(function).parameters
        declared = {parameter["name"]: parameter for parameter in read_spec(id).get("parameters", [])}
        if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known.values()):
            continue
        assert set(declared) <= set(known), id
        assert set(known) - set(declared) <= ours, id


@pytest.mark.parametrize("id", [id for id in IDS if id in STANDARD])
def test_a_specification_is_that_of_the_standard(id: str) -> None:
    assert differences(STANDARD[id], facts_of(read_spec(id))) == set(DEVIATIONS.get(id, {}))


def test_differences_are_seen() -> None:
    changed = json.loads(json.dumps(STANDARD["filter_labels"]))
    changed["parameters"]["dimension"]["schema"]["type"] = ["string", "null"]
    changed["parameters"]["context"].pop("optional")
    changed["parameters"]["condition"]["schema"]["parameters"][0]["name"] = "label"
    changed["exceptions"] = ["Other"]
    changed["returns"].update(dimensions=[])
    assert differences(STANDARD["filter_labels"], changed) == {
        "parameters.dimension.type",
        "parameters.context(optional)",
        "parameters.condition.parameters.0.name",
        "exceptions.DimensionNotAvailable",
        "exceptions.Other",
        "returns",
    }
    changed["parameters"] = dict(reversed(changed["parameters"].items()))
    assert "parameters" in differences(STANDARD["filter_labels"], changed)


def test_only_texts_are_left_out_of_schemas() -> None:
    properties = {"title": {"type": "string", "title": "Title"}, "b": [{"description": "text", "const": 1}]}
    schema = {"title": "x", "description": "y", "type": "object", "properties": properties}
    assert without_texts(schema) == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "b": [{"const": 1}]},
    }


def test_the_facts_are_those_of_the_specifications(api_spec: Path) -> None:
    folder = api_spec / "processes"
    found = {path.stem: path for path in (*folder.glob("*.json"), *folder.glob("proposals/*.json"))}
    specs = {id: json.loads(path.read_text(encoding="utf-8")) for id, path in found.items()}
    assert {id: facts_of(spec) for id, spec in specs.items()} == STANDARD
    examples = {id: made for id, spec in specs.items() if (made := examples_of(spec))}
    assert examples == json.loads(EXAMPLES.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


@pytest.mark.parametrize(("id", "arguments", "result"), CASES)
def test_examples(registry: ProcessRegistry, id: str, arguments: dict[str, Any], result: Any) -> None:
    graph = {"example": {"process_id": id, "arguments": arguments, "result": True}}
    assert same(run(registry, graph), result)


def same(found: Any, expected: Any) -> bool:
    """Whether two JSON values are the same: types too, but whole numbers may be integers or floats."""
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, bool | str | None) or isinstance(found, bool):
        return type(found) is type(expected) and found == expected
    return isinstance(found, int | float) and math.isclose(found, expected, rel_tol=1e-12)
