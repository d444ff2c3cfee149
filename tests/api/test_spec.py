"""Every JSON answer of the real server is what the API's specification says."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.api.openapi import OpenApi
from tests.backend.server import Server

DOCUMENTS = [
    ("/", "/"),
    ("/.well-known/openeo", "/.well-known/openeo"),
    ("/conformance", "/conformance"),
    ("/file_formats", "/file_formats"),
    ("/collections", "/collections"),
    ("/processes", "/processes"),
    ("/udf_runtimes", "/udf_runtimes"),
    ("/service_types", "/service_types"),
    *(
        (f"/collections/{name}{suffix}", "/collections/{collection_id}" + suffix)
        for name in ("SENTINEL2_L2A", "SENTINEL1_RTC", "LAND_COVER")
        for suffix in ("", "/queryables")
    ),
]


@pytest.fixture(scope="module")
def openapi() -> OpenApi:
    return OpenApi()


@pytest.fixture(scope="module")
def headers(server: Server) -> dict[str, str]:
    token = requests.get(server.url + "credentials/basic", auth=("demo", "demo"), timeout=10).json()["access_token"]
    return {"Authorization": f"Bearer basic//{token}"}


@pytest.mark.parametrize(("path", "operation"), DOCUMENTS)
def test_documents(server: Server, openapi: OpenApi, path: str, operation: str) -> None:
    answer = requests.get(server.url.rstrip("/") + path, timeout=30)
    assert answer.status_code == 200
    assert openapi.faults(answer.json(), "get", operation) == []


def test_account(server: Server, openapi: OpenApi, headers: dict[str, str]) -> None:
    login = requests.get(server.url + "credentials/basic", auth=("demo", "demo"), timeout=10)
    assert openapi.faults(login.json(), "get", "/credentials/basic") == []
    assert openapi.faults(requests.get(server.url + "me", headers=headers, timeout=10).json(), "get", "/me") == []


@pytest.mark.parametrize(
    "graph",
    [
        {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}},
        {"a": {"process_id": "nonsense", "arguments": {}, "result": True}},
        {"a": {"process_id": "add", "arguments": {"x": 1, "y": {"from_node": "b"}}}},
        {},
    ],
)
def test_validation(server: Server, openapi: OpenApi, graph: dict[str, Any]) -> None:
    answer = requests.post(server.url + "validation", json={"process_graph": graph}, timeout=10)
    assert answer.status_code == 200
    assert openapi.faults(answer.json(), "post", "/validation") == []


def test_errors(server: Server, openapi: OpenApi) -> None:
    for method, path in (("get", "nothing"), ("post", "result"), ("delete", "processes"), ("get", "collections/NONE")):
        answer = requests.request(method, server.url + path, timeout=10)
        assert answer.status_code >= 400
        assert openapi.error_faults(answer.json()) == []


def test_logs(server: Server, openapi: OpenApi, headers: dict[str, str]) -> None:
    graph = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    body = {"process": {"process_graph": graph}}
    answer = requests.post(server.url + "result", json=body, headers=headers, timeout=30)
    assert answer.json() == 3
    log = requests.get(answer.links["monitor"]["url"], headers=headers, timeout=10).json()
    assert log["logs"]
    for entry in log["logs"]:
        assert openapi.component_faults(entry, "log_entry") == []
