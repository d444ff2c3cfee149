"""The specification's own examples, exceptions and types, process by process, through the evaluator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processes.errors import OpenEOError
from processes.graph.package import ProcessRegistry
from processes.graph.schema import mismatch
from processes.registry import build_registry
from tests.processes.graph.graphs import flat, node, param, run

# Examples of the specification that contradict its own text.
WRONG = {
    ("count", 4): "its callback asks for `element`, which the parameter's schema does not declare",
    ("array_modify", 3): "it wants an element gone, but `length`, how many are, is 0 by default",
}
# Back-end matters that no graph can cause here, or that other codes tell.
NOT_RAISED = {
    ("divide", "DivisionByZero"): "IEEE 754 has infinities",
    ("mod", "DivisionByZero"): "IEEE 754 has infinities",
    ("multiply", "MultiplicandMissing"): "both factors are required parameters",
    ("save_result", "FormatUnsuitable"): "the back-end raises it",
    ("save_result", "DataCubeEmpty"): "the back-end raises it",
}
# Parameters that have to be given here, and why.
REQUIRED = {("predict_curve", "labels"): "what is predicted is said by labels, never by where data lack"}
SOURCES = Path(__file__).parents[2] / "processes"
# Values of every type of JSON; a parameter takes some of them.
ODD: list[Any] = [None, True, 7, 0.5, "nonsense", ["nonsense"], [7.5, None], {"nonsense": 1}, {"type": "Nonsense"}]


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return build_registry()


def specs(folder: Path) -> list[dict[str, Any]]:
    """Return the specifications in a folder, proposals too."""
    files = sorted([*(folder / "processes").glob("*.json"), *(folder / "processes" / "proposals").glob("*.json")])
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def test_examples_of_the_specification(registry: ProcessRegistry, api_spec: Path) -> None:
    count, wrong = 0, []
    for spec in specs(api_spec):
        if spec["id"] not in registry["predefined", None]:
            continue
        for i, example in enumerate(spec.get("examples", [])):
            if "returns" not in example or (spec["id"], i) in WRONG:
                continue
            found = run(registry, flat(one=node(spec["id"], **_with_callbacks(example["arguments"]))))
            count += 1
            if not _equal(found, example["returns"]):
                wrong.append((spec["id"], i, found, example["returns"]))
    assert not wrong
    assert count > 250


def test_exceptions_of_the_specification_can_be_raised(registry: ProcessRegistry, api_spec: Path) -> None:
    sources = "\n".join(file.read_text(encoding="utf-8") for file in SOURCES.rglob("*.py"))
    missing = {
        (spec["id"], code)
        for spec in specs(api_spec)
        if spec["id"] in registry["predefined", None]
        for code in spec.get("exceptions", {})
        if f'"{code}"' not in sources
    }
    assert missing <= set(NOT_RAISED), missing - set(NOT_RAISED)


def test_parameters_are_those_of_the_specification(registry: ProcessRegistry, api_spec: Path) -> None:
    for spec in specs(api_spec):
        if spec["id"] not in registry["predefined", None]:
            continue
        ours = {p["name"]: p for p in registry[spec["id"]].spec["parameters"]}
        theirs = {p["name"]: p for p in spec["parameters"]}
        # Ours may take more, at the end.
        assert list(ours)[: len(theirs)] == list(theirs), spec["id"]
        for name, parameter in theirs.items():
            if (spec["id"], name) in REQUIRED:
                continue
            assert ours[name].get("optional", False) == parameter.get("optional", False), (spec["id"], name)
            assert ours[name].get("default") == parameter.get("default"), (spec["id"], name)


def test_values_of_a_wrong_type_are_told_with_process_node_and_parameter(registry: ProcessRegistry) -> None:
    count = 0
    for (_, id), process in _items(registry):
        for parameter in process.spec["parameters"]:
            for value in ODD:
                if mismatch(parameter["schema"], value) is None or _is_default(parameter, value):
                    continue
                arguments = {**_others(process.spec, parameter["name"]), parameter["name"]: value}
                with pytest.raises(OpenEOError) as caught:
                    run(registry, flat(odd=node(id, **arguments)), cube=None)
                assert caught.value.code == "ProcessParameterInvalid", (id, parameter["name"], value)
                for part in (f"'{id}'", "'odd'", f"'{parameter['name']}'"):
                    assert part in caught.value.message, (caught.value.message, part)
                count += 1
    assert count > 500


def _items(registry: ProcessRegistry) -> list[tuple[tuple[str, str], Any]]:
    return [((namespace, id), registry[namespace, id]) for namespace, id in registry]


def _is_default(parameter: dict[str, Any], value: Any) -> bool:
    return value is None and "default" in parameter and parameter["default"] is None


def _others(spec: dict[str, Any], name: str) -> dict[str, Any]:
    """Return something for each other parameter that is required: a reference, whose type is not known yet."""
    return {p["name"]: param("cube") for p in spec["parameters"] if not p.get("optional") and p["name"] != name}


def _with_callbacks(value: Any) -> Any:
    """Return arguments with bare callbacks of the examples in the form that graphs have."""
    if isinstance(value, dict):
        if value and all(isinstance(item, dict) and "process_id" in item for item in value.values()):
            return {"process_graph": value}
        return {key: _with_callbacks(item) for key, item in value.items()}
    return [_with_callbacks(item) for item in value] if isinstance(value, list) else value


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) or isinstance(found, float):
        numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in (found, wanted))
        return numbers and bool(np.isclose(found, wanted, rtol=1e-6, atol=1e-9))
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(found) == len(wanted)
        return same and all(_equal(a, b) for a, b in zip(found, wanted, strict=True))
    return type(found) is type(wanted) and found == wanted
