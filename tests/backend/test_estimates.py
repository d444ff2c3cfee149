"""Estimates of batch jobs: what is counted, how long it takes by the speed that was measured, and when they give up."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.app import create_app
from backend.context import Services
from backend.metrics.speeds import EMBEDDINGS
from backend.sync.deadline import Deadline
from backend.sync.run import prepare
from processes.environment import Environment, Ledger
from processes.errors import OpenEOError
from processes.sources import LoadRequest
from tests.backend.conftest import User
from tests.backend.fakes import FakeCluster, graph, settings_in


def _estimate(user: User, name: str, **arguments: Any) -> dict[str, Any]:
    job = user.post("/jobs", json=graph(name, **arguments)).headers["OpenEO-Identifier"]
    answer = user.get(f"/jobs/{job}/estimate")
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def _embedding(services: Services, count: int) -> None:
    def embedding(env: Environment) -> Any:
        env.ledger.embeddings += count
        return env.catalog.get("FAKE").load(LoadRequest())

    services.graphs.values["embedding"] = embedding  # type: ignore[attr-defined]


def test_what_is_loaded_is_counted(anna: User) -> None:
    told = _estimate(anna, "load")
    assert (told["pixels"], told["dates"], told["loaded_bytes"]) == (64, 2, 2 * 2 * 64 * 4)
    assert told["size"] == told["loaded_bytes"]
    assert told["tasks"] > 0


def test_the_time_follows_what_was_measured(anna: User, services: Services) -> None:
    _embedding(services, 30_000)
    told = _estimate(anna, "embedding")
    assert (told["duration"], told["measured_runs"]) == ("PT101S", 0)  # as is believed, rounded up
    for _ in range(5):
        services.speeds.add({EMBEDDINGS: (100_000.0, 100.0)})
    told = _estimate(anna, "embedding")
    assert told["measured_runs"] == 5
    assert 29 <= int(told["duration"][2:-1]) <= 32


def test_more_threads_take_less_time(tmp_path: Path, services: Services, log_in: Callable[[str], User]) -> None:
    _embedding(services, 30_000)
    anna = log_in("anna")
    client = create_app(settings_in(tmp_path), replace(services, cluster=FakeCluster(alive=10))).test_client()
    told = _estimate(User(client, anna.headers), "embedding")
    assert (told["duration"], told["threads"]) == ("PT11S", 10)


def test_without_a_cluster_no_time_is_told(tmp_path: Path, services: Services, log_in: Callable[[str], User]) -> None:
    anna = log_in("anna")
    client = create_app(settings_in(tmp_path), replace(services, cluster=FakeCluster(alive=None))).test_client()
    told = _estimate(User(client, anna.headers), "load")
    assert "duration" not in told
    assert told["size"] > 0


@pytest.fixture
def slow(services: Services) -> Services:
    """Services with a process that builds a graph without end, as long as nobody stops it."""

    def slow(env: Environment) -> Any:
        for _ in range(1000):
            env.stop()
            time.sleep(0.01)
        return 1

    services.graphs.values["slow"] = slow  # type: ignore[attr-defined]
    return services


def test_building_a_graph_is_part_of_a_requests_time(slow: Services) -> None:
    begin = time.monotonic()
    with pytest.raises(OpenEOError, match="took longer") as raised:
        prepare(slow, graph("slow")["process"], "anna", Ledger(), Deadline(0.1))
    assert raised.value.code == "RequestTimeout"
    assert time.monotonic() - begin < 5


def test_building_a_graph_for_nobody_ends(slow: Services) -> None:
    with pytest.raises(OpenEOError, match="closed") as raised:
        prepare(slow, graph("slow")["process"], "anna", Ledger(), Deadline(60, lambda: True))
    assert raised.value.status == 499


def test_an_estimate_has_its_time(slow: Services, anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["backend.routes.jobs"], "ESTIMATE_SECONDS", 0.1)
    job = anna.post("/jobs", json=graph("slow")).headers["OpenEO-Identifier"]
    assert anna.get(f"/jobs/{job}/estimate").json["code"] == "RequestTimeout"
