"""Arguments of a wrong type, for each parameter of each process: told before anything runs, with all that is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from processes.errors import OpenEOError
from processes.graph.schema import alternatives
from processes.registry import build_registry
from tests.processes.graph.graphs import node, param, run

REGISTRY = build_registry()
SPECS = {process.spec["id"]: process.spec for process in REGISTRY["predefined", None].values()}
VALUES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "number": 1.5,
    "string": "a text",
    "array": [{"no": "item"}],
    "object": {"no": "object"},
}


def wrong(parameter: Mapping[str, Any]) -> Iterator[Any]:
    """Yield values of the types that a parameter cannot have; none where it takes any."""
    types: set[str] = set()
    for one in alternatives(parameter["schema"]):
        told = one.get("type", ())
        types |= {told} if isinstance(told, str) else {*told}
        if not told and "subtype" not in one:
            return
    types |= {"number"} if "integer" in types else set()
    types |= {"null"} if parameter.get("optional") and parameter.get("default") is None else set()
    yield from (value for name, value in VALUES.items() if name not in types)


CASES = [(id, parameter["name"]) for id, spec in sorted(SPECS.items()) for parameter in spec.get("parameters", [])]


@pytest.mark.parametrize(("process", "name"), CASES, ids=[".".join(case) for case in CASES])
def test_a_wrong_type_is_told_with_process_node_and_parameter(process: str, name: str) -> None:
    parameters = {one["name"]: one for one in SPECS[process]["parameters"]}
    others = {one: param("given") for one, about in parameters.items() if one != name and not about.get("optional")}
    for value in wrong(parameters[name]):
        for argument, given in ((value, None), (param("given"), value)):
            if argument is not value and others:
                continue  # the others, which are the same reference, are wrong, too
            graph = {"bad": {**node(process, **{name: argument}, **others), "result": True}}
            with pytest.raises(OpenEOError) as error:
                run(REGISTRY, graph, given=given)
            assert error.value.code == "ProcessParameterInvalid"
            for named in (f"'{process}'", "node 'bad'", f"'{name}'"):
                assert named in error.value.message
