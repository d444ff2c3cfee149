"""Write the facts about the standard's processes that the tests compare ours with: `python -m tests.spec.make FOLDER`.

FOLDER holds the specifications of openeo-processes 2.0.0-rc.2, one JSON file per process, and its `proposals`. Only
names, schemas, defaults, exception codes and the numbers of examples are kept, none of the texts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VERSION = "2.0.0-rc.2"
FACTS = Path(__file__).with_name(f"processes-{VERSION}.json")
EXAMPLES = Path(__file__).with_name(f"examples-{VERSION}.json")
_NO_FACTS = {"title", "description", "examples"}


def facts_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what clients rely on in a specification: parameters in order, the returned schema, exception codes."""
    return {
        "parameters": {parameter["name"]: _parameter(parameter) for parameter in spec.get("parameters", [])},
        "returns": without_texts(spec["returns"]["schema"]),
        "exceptions": sorted(spec.get("exceptions", {})),
    }


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"schema": without_texts(parameter["schema"])}
    if parameter.get("optional"):
        facts.update(optional=True, default=parameter.get("default"))
    return facts


def without_texts(schema: Any) -> Any:
    """Return a JSON schema without titles, descriptions and examples; properties of such names stay."""
    if isinstance(schema, list):
        return [without_texts(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: {name: without_texts(one) for name, one in value.items()} if key == "properties" else without_texts(value)
        for key, value in schema.items()
        if key not in _NO_FACTS
    }


def examples_of(spec: Mapping[str, Any]) -> list[list[Any]]:
    """Return the examples that say what comes out: pairs of arguments and result."""
    return [[one["arguments"], one["returns"]] for one in spec.get("examples", []) if "returns" in one]


def _specifications(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted([*folder.glob("*.json"), *folder.glob("proposals/*.json")], key=lambda path: path.stem):
        yield json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, entries: Mapping[str, Any]) -> None:
    """Write an object with one line per entry, so that versions can be compared."""
    lines = (f"{json.dumps(id)}: {json.dumps(entry, ensure_ascii=False)}" for id, entry in entries.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write both files."""
    specifications = list(_specifications(folder))
    _write(FACTS, {spec["id"]: facts_of(spec) for spec in specifications})
    _write(EXAMPLES, {spec["id"]: examples for spec in specifications if (examples := examples_of(spec))})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
