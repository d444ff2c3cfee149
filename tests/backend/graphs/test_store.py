"""The contract of `GraphStore`, and how graphs find stored processes."""

from __future__ import annotations

from typing import Any

import pytest

from backend.graphs import GraphStore, SqlGraphStore, StoredProcess
from backend.graphs.engine import Engines
from backend.state import Database
from processes.environment import Environment
from processes.errors import OpenEOError
from processes.graph import GraphLimits
from processes.registry import build_registry
from tests.backend.conftest import Clock


@pytest.fixture
def store(database: Database, clock: Clock) -> GraphStore:
    return SqlGraphStore(database, most=3, clock=clock)


def _node(process: str, **arguments: Any) -> dict[str, Any]:
    return {"n": {"process_id": process, "arguments": arguments, "result": True}}


def _plus(number: float) -> dict[str, Any]:
    x = {"name": "x", "description": "A number.", "schema": {"type": "number"}}
    return {"process_graph": _node("add", x={"from_parameter": "x"}, y=number), "parameters": [x]}


def test_what_is_stored_is_found_by_its_user_alone(store: GraphStore, clock: Clock) -> None:
    store.put("anna", "plus", _plus(1))
    assert store.find("anna", "plus") == StoredProcess("plus", _plus(1), clock.now)
    assert (store.find("ben", "plus"), store.ids("ben"), store.of("ben")) == (None, [], [])
    with pytest.raises(OpenEOError) as refused:
        store.delete("ben", "plus")
    assert (refused.value.code, refused.value.status) == ("ProcessGraphNotFound", 404)
    store.delete_all("ben")
    assert store.ids("anna") == ["plus"]


def test_storing_again_replaces(store: GraphStore, clock: Clock) -> None:
    store.put("anna", "plus", _plus(1))
    clock.now += 1
    store.put("anna", "plus", _plus(2))
    assert store.of("anna") == [StoredProcess("plus", _plus(2), clock.now)]


@pytest.mark.parametrize("identifier", ["", "\0", "%"])
def test_what_is_no_id_is_no_process(store: GraphStore, identifier: str) -> None:
    store.put("anna", "plus", _plus(1))
    assert store.find("anna", identifier) is None


def test_lists_are_sorted_and_deleting_ends(store: GraphStore) -> None:
    for name in ("b", "a-1", "c"):
        store.put("anna", name, _plus(1))
    assert store.ids("anna") == [stored.id for stored in store.of("anna")] == ["a-1", "b", "c"]
    store.delete("anna", "b")
    assert store.ids("anna") == ["a-1", "c"]
    store.delete_all("anna")
    assert store.ids("anna") == []


def test_too_many(store: GraphStore) -> None:
    for name in ("a", "b", "c"):
        store.put("anna", name, _plus(1))
    with pytest.raises(OpenEOError) as refused:
        store.put("anna", "d", _plus(1))
    assert refused.value.code == "StorageQuotaExceeded"
    store.put("anna", "c", _plus(2))


@pytest.fixture(scope="module")
def registry() -> Any:
    return build_registry()


def _value(engines: Engines, user: str | None, graph: dict[str, Any]) -> Any:
    engine = engines.of(user)
    env = Environment(catalog=None, models=None)  # type: ignore[arg-type]
    return engine.evaluate(engine.check({"process_graph": graph}), env)


def test_graphs_find_the_stored_processes_of_their_user(store: GraphStore, registry: Any) -> None:
    engines = Engines(registry, store, GraphLimits())
    store.put("anna", "plus", _plus(1))
    store.put("anna", "twice", {"process_graph": _node("plus", x=5)})
    store.put("ben", "plus", _plus(100))
    assert _value(engines, "anna", _node("plus", x=2)) == 3
    assert _value(engines, "ben", _node("plus", x=2)) == 102
    assert _value(engines, "anna", _node("twice")) == 6
    store.put("anna", "plus", _plus(10))
    assert _value(engines, "anna", _node("twice")) == 15
    for user in ("carl", None):
        with pytest.raises(OpenEOError) as refused:
            _value(engines, user, _node("plus", x=2))
        assert refused.value.code == "ProcessUnsupported"


def test_similar_names_of_ones_own_are_suggested(store: GraphStore, registry: Any) -> None:
    engines = Engines(registry, store, GraphLimits())
    store.put("anna", "my_special_index", _plus(1))
    (fault,) = engines.of("anna").validate({"process_graph": _node("my_special_indx", x=1)})
    assert "my_special_index" in fault.message
    (fault,) = engines.of("ben").validate({"process_graph": _node("my_special_indx", x=1)})
    assert "my_special_index" not in fault.message
