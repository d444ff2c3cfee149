"""A server whose state is in PostgreSQL; skipped, saying so, where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import openeo
import pytest

from tests.api.homes import data_folder
from tests.api.test_client import _load
from tests.backend.databases import VARIABLE, postgres_schema
from tests.backend.server import Server, serving


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a data folder of its own and a database in PostgreSQL: the given one, or one that is started."""
    given = os.environ.get(VARIABLE)
    if not given:
        yield request.getfixturevalue("proxied").server
        return
    folder = data_folder(request.getfixturevalue("data"), tmp_path_factory.mktemp("postgres"))
    with postgres_schema(given) as url, serving(folder, "--demo-user", OPENEO_EMBED_DATABASE=url) as server:
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
    assert job.job_id not in {entry["id"] for entry in connection.list_jobs()}
