"""docs/conformance.md says what is so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from flask import Flask

from backend.app import create_app
from tests.api.conformance import EVERYWHERE, TESTS, operations, page
from tests.backend.fakes import fake_services, settings_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def routes(tmp_path: Path) -> set[str]:
    """All routes of the application, as operations."""
    services = fake_services(tmp_path)
    app: Flask = create_app(settings_in(tmp_path), services)
    services.users.close()
    rules = [
        (method, str(rule).replace("path:", "")) for rule in app.url_map.iter_rules() for method in rule.methods or ()
    ]
    return {f"{method} {rule.replace('<', '{').replace('>', '}')}" for method, rule in rules}


def test_exactly_what_is_said_to_be_served_is_served(routes: set[str]) -> None:
    assert {one for one in operations() if one in routes} == set(TESTS)


def test_all_operations_of_the_api_are_listed() -> None:
    assert len(list(operations())) == 39


@pytest.mark.parametrize("test", sorted({*EVERYWHERE, *(name for names in TESTS.values() for name in names)}))
def test_tests_that_are_named_exist(test: str) -> None:
    path, name = test.split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m tests.api.conformance > docs/conformance.md"
