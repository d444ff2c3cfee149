"""A server whose state is in PostgreSQL; skipped, saying so, where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import openeo
import pytest

from tests.api.test_client import _load
from tests.backend.databases import VARIABLE, postgres_schema, postgres_server
from tests.backend.server import Server, run_inside, serving


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a data folder of its own and a database in PostgreSQL."""
    folder = tmp_path_factory.mktemp("postgres") / "data"
    added = run_inside("catalog", "add", data / "archive", "--data", folder)
    assert added.returncode == 0, added.stderr
    given = os.environ.get(VARIABLE)
    if given:
        with postgres_schema(given) as url, serving(folder, "--demo-user", OPENEO_EMBED_DATABASE=url) as server:
            yield server
        return
    with postgres_server() as url, serving(folder, "--demo-user", OPENEO_EMBED_DATABASE=url) as server:
        yield server


def test_jobs_processes_and_logins(server: Server, tmp_path: Path) -> None:
    connection = openeo.connect(server.url).authenticate_basic("demo", "demo")
    graph = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    connection.put("/process_graphs/mine", json={"process_graph": graph, "summary": "Mine"})
    assert [process["id"] for process in connection.list_user_defined_processes()] == ["mine"]
    cube = _load(connection, ["B04"])
    job = cube.execute_batch(tmp_path / "r.tif", out_format="GTiff", max_poll_interval=0.5, print=lambda _: None)
    assert (tmp_path / "r.tif").stat().st_size > 0
    assert job.describe()["progress"] == 100
    assert len(job.logs()) > 2
    assert not (server.log.with_suffix("") / "users.sqlite").exists()
    job.delete()
    assert connection.list_jobs() == []
