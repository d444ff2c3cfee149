"""Fixtures: users' code in this process, and the registry with a process that gives the test's cube."""

from __future__ import annotations

import pytest

from processes.graph.package import ProcessRegistry
from tests.processes.graph.graphs import cube_registry
from tests.processes.run_udf.support import Runner
from tests.udf.inline import InlineSandboxes


@pytest.fixture
def sandboxes(monkeypatch: pytest.MonkeyPatch) -> InlineSandboxes:
    """Sandboxes that isolate nothing, in place of the real ones."""
    opened = InlineSandboxes()
    monkeypatch.setattr("udf.isolation.open_sandbox", opened)
    return opened


@pytest.fixture(scope="module")
def registry() -> ProcessRegistry:
    return cube_registry()


@pytest.fixture
def run(registry: ProcessRegistry, sandboxes: InlineSandboxes) -> Runner:
    return Runner(registry)
