"""Nobody sees another's things: every route of the real server, asked for what belongs to somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openeo
import pytest
import requests

from tests.api.conftest import USER
from tests.backend.server import Server, until

FILE = "folder/private.txt"
PROCESS = "private_process"
# Anyone may read these; all others want a token.
PUBLIC = {
    "/.well-known/openeo",
    "/collections",
    "/collections/{collection_id}",
    "/collections/{collection_id}/queryables",
    "/conformance",
    "/file_formats",
    "/health",
    "/metrics",
    "/processes",
    "/ready",
    "/service_types",
    "/udf_runtimes",
    "/validation",
}


@dataclass
class Belongings:
    """What one user has, by the names that stand for it in paths; `marks` appear in whatever shows it."""

    names: dict[str, str]
    marks: list[str]


def _answer(server: Server, method: str, path: str, token: str | None) -> requests.Response:
    headers = {"Authorization": f"Bearer basic//{token}"} if token else {}
    return requests.request(method, server.url.rstrip("/") + path, headers=headers, json={}, timeout=20)


@pytest.fixture(scope="module")
def owner(connection: openeo.Connection) -> Iterator[Belongings]:
    """Things of the user demo: a finished job, a file, a stored process, a request."""
    graph = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    job = connection.create_job(graph, title="private title")
    job.start()
    until(lambda: job.status() == "finished", 60)
    connection.put(f"/files/{FILE}", data=b"private content")
    connection.put(f"/process_graphs/{PROCESS}", json={"process_graph": graph, "summary": "private summary"})
    request = connection.post("/result", json={"process": {"process_graph": graph}}).headers["OpenEO-Identifier"]
    names = {"job_id": job.job_id, "path": FILE, "process_graph_id": PROCESS, "request_id": request}
    marks = [job.job_id, FILE, PROCESS, "private"]
    yield Belongings({**names, "name": "result.json"}, marks)
    assert job.describe()["title"] == "private title"
    assert job.status() == "finished"
    assert job.get_results().get_asset().load_json() == 3
    assert connection.get(f"/files/{FILE}").content == b"private content"
    assert connection.get(f"/process_graphs/{PROCESS}").json()["summary"] == "private summary"
    job.delete()
    connection.delete(f"/files/{FILE}")
    connection.delete(f"/process_graphs/{PROCESS}")


@pytest.fixture(scope="module")
def routes(server: Server) -> list[tuple[str, str]]:
    """All methods and paths that the server lists and that are not for everyone."""
    listed = requests.get(server.url, timeout=10).json()["endpoints"]
    found = [(method, entry["path"]) for entry in listed for method in entry["methods"]]
    assert len(found) > 30
    return [(method, path) for method, path in found if path not in PUBLIC]


def _filled(path: str, names: dict[str, str]) -> str:
    """Return a path with the names of somebody's things; a new kind of thing belongs into `Belongings` first."""
    for key, name in names.items():
        path = path.replace("{" + key + "}", name)
    assert "{" not in path, f"the fixture `owner` has nothing for {path}"
    return path


def test_strangers_reach_nothing(server: Server, owner: Belongings, routes: list[tuple[str, str]]) -> None:
    for method, path in routes:
        answer = _answer(server, method, _filled(path, owner.names), None)
        assert (answer.status_code, answer.json()["code"]) == (401, "AuthenticationRequired"), (method, path)


def test_other_users_reach_nothing(server: Server, owner: Belongings, routes: list[tuple[str, str]]) -> None:
    token = requests.get(server.url + "credentials/basic", auth=USER, timeout=10).json()["access_token"]
    reached: list[tuple[str, str, Any]] = []
    for method, path in routes:
        # What they may do: log in, compute, create things of their own under names of their own.
        if "{" not in path or (method, path) in (
            ("PUT", "/files/{path}"),
            ("PUT", "/process_graphs/{process_graph_id}"),
        ):
            continue
        answer = _answer(server, method, _filled(path, owner.names), token)
        if answer.status_code != 404:
            reached.append((method, path, answer.text))
    assert reached == []


def test_lists_show_ones_own_things_alone(server: Server, owner: Belongings, routes: list[tuple[str, str]]) -> None:
    token = requests.get(server.url + "credentials/basic", auth=USER, timeout=10).json()["access_token"]
    for method, path in routes:
        if method == "GET" and "{" not in path and path != "/credentials/basic":
            answer = _answer(server, method, path, token)
            assert answer.status_code == 200, path
            assert [mark for mark in owner.marks if mark in answer.text] == [], path


def test_names_may_be_the_same(server: Server, connection: openeo.Connection, owner: Belongings) -> None:
    """Each user has a file and a process of the same name, and each sees the own one."""
    other = openeo.connect(server.url).authenticate_basic(*USER)
    other.put(f"/files/{FILE}", data=b"another")
    graph = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    other.put(f"/process_graphs/{PROCESS}", json={"process_graph": graph, "summary": "another"})
    assert other.get(f"/files/{FILE}").content == b"another"
    assert connection.get(f"/files/{FILE}").content == b"private content"
    assert connection.get(f"/process_graphs/{PROCESS}").json()["summary"] == "private summary"
    other.delete(f"/files/{FILE}")
    other.delete(f"/process_graphs/{PROCESS}")
    assert connection.get(f"/files/{FILE}").content == b"private content"
