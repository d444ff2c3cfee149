"""Write the facts about the openEO API that the tests compare ours with: `python -m tests.spec.make_openapi FOLDER`.

FOLDER holds the API's specification, `openapi.yaml`, and its list of errors, `errors.json`. Paths, methods, parameters,
schemas, statuses and codes are kept, none of the texts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

VERSION = "1.2.0"
FACTS = Path(__file__).with_name(f"openapi-{VERSION}.json")
# What names things freely: there, `description` is a name and no text.
_NAMES = {"properties", "schemas", "responses", "parameters", "paths", "mapping", "headers", "securitySchemes"}
_NO_FACTS = {
    "title",
    "description",
    "summary",
    "example",
    "examples",
    "externalDocs",
    "tags",
    "servers",
    "info",
    "bearerFormat",
}


def facts_of(description: Mapping[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    """Return what clients rely on in an OpenAPI description, and the status of each error code."""
    info = {"title": "openEO", "version": VERSION}
    document = {"openapi": description["openapi"], "info": info, **without_texts(description)}
    return {"document": document, "errors": {code: entry["http"] for code, entry in sorted(errors.items())}}


def without_texts(value: Any) -> Any:
    """Return part of an OpenAPI description without texts, examples and extensions; what bears such a name stays.

    Responses keep an empty `description`, which OpenAPI wants of them.
    """
    if isinstance(value, list):
        return [without_texts(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: _named(key, part) if key in _NAMES and isinstance(part, Mapping) else without_texts(part)
        for key, part in value.items()
        if key not in _NO_FACTS and not (isinstance(key, str) and key.startswith("x-"))
    }


def _named(key: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: without_texts(one) for name, one in parts.items()}
    if key != "responses":
        return plain
    return {name: one if "$ref" in one else {"description": "", **one} for name, one in plain.items()}


def main(folder: Path) -> None:
    """Write the file, one line per path and per component."""
    description = yaml.safe_load((folder / "openapi.yaml").read_text(encoding="utf-8"))
    errors = json.loads((folder / "errors.json").read_text(encoding="utf-8"))
    facts = facts_of(description, errors)
    FACTS.write_text(_lines(facts, 3) + "\n", encoding="utf-8")


def _lines(value: Any, depth: int) -> str:
    """Write JSON with a line per entry, down to a depth, so that versions can be compared."""
    if depth == 0 or not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False)
    entries = (f"{json.dumps(key)}: {_lines(one, depth - 1)}" for key, one in value.items())
    return "{\n" + ",\n".join(entries) + "\n}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
