"""Answers held against the API's own description, of which `tests.spec.make_openapi` keeps the facts."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.spec.make_openapi import FACTS

NAME = "urn:openapi"


class OpenApi:
    """The schemas of one OpenAPI 3.0 document; its dialect is JSON schema draft 4 with `nullable`."""

    def __init__(self) -> None:
        facts = json.loads(FACTS.read_text(encoding="utf-8"))
        self._document = _as_json_schema(facts["document"])
        self.paths: dict[str, Any] = self._document["paths"]
        self.statuses: dict[str, int] = facts["errors"]
        resource = Resource.from_contents(self._document, default_specification=DRAFT4)
        self._registry = Registry().with_resource(NAME, resource)
        self._told: dict[tuple[str, str], list[str]] = {}

    def faults(self, value: Any, method: str, path: str, status: int = 200) -> list[str]:
        """Return what is wrong with the JSON answer to an operation."""
        content = self._document["paths"][path][method]["responses"][str(status)]["content"]
        media_type = next(iter(content))
        return self._check(value, "paths", path, method, "responses", str(status), "content", media_type, "schema")

    def answer_faults(self, value: Any, method: str, path: str, status: int) -> list[str]:
        """Return what is wrong with a JSON answer, where the description says anything of it; or with its status."""
        responses = self._document["paths"][path][method]["responses"]
        if str(status) not in responses:
            return [f"{method} {path} may not answer {status}"]
        media_types = responses[str(status)].get("content", {})
        if not any(kind.endswith("json") for kind in media_types):
            return []
        return self.faults(value, method, path, status)

    def error_faults(self, value: Any) -> list[str]:
        """Return what is wrong with an error."""
        return self._check(value, "components", "schemas", "error")

    def component_faults(self, value: Any, name: str) -> list[str]:
        """Return what is wrong with a value of a named schema."""
        return self._check(value, "components", "schemas", name)

    def _check(self, value: Any, *place: str) -> list[str]:
        pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in place)
        asked = (pointer, json.dumps(value))
        if asked not in self._told:  # a list of all processes takes a second, and is answered again and again
            validator = Draft4Validator({"$ref": f"{NAME}#/{pointer}"}, registry=self._registry)
            faults = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
            self._told[asked] = faults
        return self._told[asked]


def _as_json_schema(value: Any) -> Any:
    """Write `nullable: true` as JSON schema does, and `oneOf` as `anyOf`.

    The document means "one of these kinds" where a value is often of several: whatever has `minimum` and `maximum` is
    both a range and a JSON schema, and every data type is also a "Generic" one.
    """
    if isinstance(value, list):
        return [_as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = {"oneOf": "anyOf"} if "anyOf" not in value else {}
    plain = {names.get(key, key): _as_json_schema(item) for key, item in value.items() if key != "nullable"}
    if value.get("nullable") is True and "type" in value:
        return {"anyOf": [{"type": "null"}, plain]}
    return plain
