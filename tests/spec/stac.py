"""Documents against the schemas of STAC, as they were published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource
from referencing.jsonschema import DRAFT7


def stac_faults(document: Mapping[str, Any], kind: str, spec: Path) -> list[str]:
    """Return what the schemas of STAC, and those of the extensions that it names, say against an item or collection."""

    def retrieve(uri: str) -> Resource[Any]:
        path = spec / "schemas" / uri.partition("://")[2].partition("#")[0]
        if not path.is_file():
            raise NoSuchResource(uri)
        return Resource.from_contents(json.loads(path.read_text("utf-8")), default_specification=DRAFT7)

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    plain = json.loads(json.dumps(document, allow_nan=False))
    core = f"https://schemas.stacspec.org/v{plain['stac_version']}/{kind}-spec/json-schema/{kind}.json"
    found = []
    for uri in (core, *plain["stac_extensions"]):
        validator = Draft7Validator({"$ref": uri}, registry=registry, format_checker=FormatChecker())
        found += [f"{uri}: {error.json_path}: {error.message[:300]}" for error in validator.iter_errors(plain)]
    return found
