"""Every failure has the openEO form, every answer the headers; nothing inside the server shows."""

from __future__ import annotations

import errno
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.test import TestResponse

from backend.body import DEEPEST
from backend.context import Services
from processes.errors import STATUS, OpenEOError
from tests.backend.conftest import User
from tests.backend.fakes import graph

PUBLIC = {
    "/",
    "/.well-known/openeo",
    "/conformance",
    "/collections",
    "/collections/{}",
    "/collections/{}/queryables",
    "/processes",
    "/file_formats",
    "/udf_runtimes",
    "/service_types",
    "/validation",
    "/health",
    "/ready",
    "/metrics",
}
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def _assert_error(answer: TestResponse, status: int, code: str) -> str:
    assert answer.status_code == status
    assert answer.mimetype == "application/json"
    assert set(answer.json) == {"id", "code", "message", "links"}
    assert answer.json["code"] == code
    assert answer.json["id"]
    assert isinstance(answer.json["links"], list)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return str(answer.json["message"])


def _paths(app: Flask) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        found.setdefault(re.sub("<[^>]+>", "{}", rule.rule), set()).update(rule.methods & METHODS)
    return found


def test_every_route_that_is_not_public_wants_a_login(app: Flask, client: FlaskClient) -> None:
    closed = {path: methods for path, methods in _paths(app).items() if path not in PUBLIC}
    assert len(closed) >= 4
    for path, methods in closed.items():
        for method in methods:
            answer = client.open(path.replace("{}", "x"), method=method)
            _assert_error(answer, 401, "AuthenticationRequired")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            bad = {"Authorization": "Bearer basic//wrong"}
            if path == "/credentials/basic":
                _assert_error(client.open(path, method=method, headers=bad), 403, "AuthenticationSchemeInvalid")
            else:
                _assert_error(client.open(path.replace("{}", "x"), method=method, headers=bad), 403, "TokenInvalid")


def test_every_route_refuses_other_methods_in_the_openeo_form(app: Flask, client: FlaskClient) -> None:
    for path, methods in _paths(app).items():
        for method in METHODS - methods:
            answer = client.open(path.replace("{}", "x"), method=method)
            message = _assert_error(answer, 405, "FeatureUnsupported")
            assert method in message
            assert methods <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "path", ["/nothing", "/services", "/result/../etc/passwd", "/%00", "/collections/..%2f..%2fetc"]
)
def test_unknown_routes(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    _assert_error(answer, 404, "CollectionNotFound" if path.startswith("/collections") else "NotFound")


def test_every_route_answers_preflights_without_login(app: Flask, client: FlaskClient) -> None:
    for path in [*_paths(app), "/nothing"]:
        answer = client.options(path.replace("{}", "x"))
        assert answer.status_code == 204
        assert answer.data == b""
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert set(answer.headers["Access-Control-Allow-Headers"].split(", ")) >= {"Authorization", "Content-Type"}
        assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) >= METHODS
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert exposed >= {"OpenEO-Identifier", "Link", "OpenEO-Costs", "Location"}


def test_defects_show_only_their_id(anna: User, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "backend.errors"):
        answer = anna.post("/result", json=graph("boom"))
    message = _assert_error(answer, 500, "Internal")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert answer.json["id"] in message
    assert answer.json["id"] in caplog.text
    assert "a secret of the server" in caplog.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"process": {\n  "process_graph": {,}}}', ["line 2", "column 21"]),
        (b"", ["line 1"]),
        (b"[1]", ["an array"]),
        (b'{"a": NaN}', ["NaN"]),
        (b'{"a": -1e999}', ["-1e999", "too large"]),
        (b'{"a": 1, "a": 2}', ["'a'", "twice"]),
        (b'{"a": "\xff"}', ["UTF-8"]),
        (b'{"a": ' + b"1" * 5000 + b"}", ["number", "too long"]),
    ],
)
def test_malformed_bodies_say_where(client: FlaskClient, body: bytes, words: list[str]) -> None:
    answer = client.post("/validation", data=body, content_type="application/json")
    message = _assert_error(answer, 400, "ProcessInvalid")
    for word in words:
        assert word in message


def test_deep_nesting_is_refused_before_it_is_parsed(client: FlaskClient) -> None:
    for body in (b"[" * 2000, b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1)):
        answer = client.post("/validation", data=body, content_type="application/json")
        assert str(DEEPEST) in _assert_error(answer, 400, "ProcessInvalid")


def test_brackets_in_texts_are_no_nesting(client: FlaskClient) -> None:
    body = {"process_graph": {"n": {"process_id": "load", "arguments": {"text": '["\\' * 300}}}}
    assert client.post("/validation", json=body).json == {"errors": []}


def test_other_media_types_are_refused(client: FlaskClient) -> None:
    answer = client.post("/validation", data=b"{}", content_type="text/plain")
    assert "application/json" in _assert_error(answer, 400, "ContentTypeInvalid")


def test_large_bodies_are_refused(client: FlaskClient) -> None:
    body = json.dumps({"process_graph": {"a": "x" * 9000}}).encode()
    answer = client.post("/validation", data=body, content_type="application/json")
    assert "8192" in _assert_error(answer, 400, "FileSizeExceeded")


def test_validation_lists_faults_and_wants_a_graph(client: FlaskClient) -> None:
    wrong = {"process_graph": {"n": {"process_id": "nothing"}}}
    (fault,) = client.post("/validation", json=wrong).json["errors"]
    assert fault["code"] == "ProcessUnsupported"
    assert client.post("/validation", json={"process_graph": {"n": {"process_id": "load"}}}).json == {"errors": []}
    save = {"process_id": "save_result", "arguments": {"format": "BMP"}}
    codes = {fault["code"] for fault in client.post("/validation", json={"process_graph": {"n": save}}).json["errors"]}
    assert codes == {"ProcessUnsupported", "FileTypeInvalid"}
    _assert_error(client.post("/validation", json={}), 400, "ProcessGraphMissing")


def test_statuses_are_those_of_the_api(api_spec: Path) -> None:
    listed = {code: entry["http"] for code, entry in json.loads((api_spec / "errors.json").read_text()).items()}
    assert {code: listed.get(code) for code in STATUS} == STATUS
    for code in ("ProcessGraphComplexity", "FileTypeInvalid", "ProcessInvalid", "BudgetInvalid"):
        assert listed[code] == OpenEOError(code, "").status


def test_requests_are_logged_without_secrets(anna: User, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        anna.get("/me")
        client.get("/x%0Aforged line?token=abc")
    token = anna.headers["Authorization"].split("//")[1]
    assert "GET /me 200" in caplog.text
    assert token not in caplog.text
    assert "\nforged" not in caplog.text


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        (OperationalError("SELECT", {}, Exception("server closed the connection")), 503, "InfrastructureBusy"),
        (OperationalError("SELECT", {}, Exception("database is locked")), 503, "InfrastructureBusy"),
        (OperationalError("INSERT", {}, Exception("database or disk is full")), 500, "StorageFailure"),
        (PoolTimeout("QueuePool limit reached"), 503, "InfrastructureBusy"),
        (OSError(errno.ENOSPC, "No space left on device"), 500, "StorageFailure"),
    ],
)
def test_outages_are_told_as_such(
    anna: User,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reason: Exception,
    status: int,
    code: str,
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise reason

    monkeypatch.setattr(services.jobs, "of", away)
    answer = anna.get("/jobs")
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert "SELECT" not in answer.text
    assert "Traceback" not in caplog.text
