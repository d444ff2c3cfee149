"""The facts about the API that the tests use are those of its description."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.spec.make_openapi import FACTS, facts_of


def test_facts_are_those_of_the_description(api_spec: Path) -> None:
    description = yaml.safe_load((api_spec / "openapi.yaml").read_text(encoding="utf-8"))
    errors = json.loads((api_spec / "errors.json").read_text(encoding="utf-8"))
    made = json.loads(json.dumps(facts_of(description, errors)))
    assert json.loads(FACTS.read_text(encoding="utf-8")) == made


def test_no_text_of_the_description_is_kept() -> None:
    def texts(value: object, name: str = "") -> list[str]:
        if isinstance(value, dict):
            return [text for key, one in value.items() for text in texts(one, key)]
        if isinstance(value, list):
            return [text for one in value for text in texts(one, name)]
        return [value] if isinstance(value, str) and name not in ("$ref", "pattern") and value.count(" ") > 2 else []

    assert texts(json.loads(FACTS.read_text(encoding="utf-8"))) == []
