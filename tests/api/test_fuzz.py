"""Every operation of the API, asked for with what its description allows and with what it does not.

Requests are made from the description by schemathesis, the same in each run. Whatever they hold: no answer is a defect,
every error has the API's form and one of its codes, and what succeeds is what the description says.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from werkzeug.test import TestResponse

from backend.app import create_app
from backend.context import Services
from backend.graphs.engine import Engines
from backend.jobs.model import Draft
from backend.jobs.work import Worker
from processes.graph import GraphLimits
from processes.registry import build_registry
from tests.api.openapi import FACTS, OpenApi
from tests.backend.conftest import basic
from tests.backend.fakes import PASSWORD, fake_services, settings_in
from tests.examples import examples

EXAMPLES = {GenerationMode.POSITIVE: examples(5), GenerationMode.NEGATIVE: examples(5)}
SCHEMA = schemathesis.openapi.from_dict(json.loads(FACTS.read_text(encoding="utf-8"))["document"])
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
# Where there is neither parameter nor body, there is nothing to be wrong.
CASES = [
    pytest.param(operation, mode, id=f"{operation.label}-{mode.value}")
    for operation in OPERATIONS
    for mode in EXAMPLES
    if mode is GenerationMode.POSITIVE or operation.body or list(operation.iter_parameters())
]
CODES: dict[str, int] = json.loads(FACTS.read_text(encoding="utf-8"))["errors"]
# Beside those of the API and of processes; docs/api.md tells what they are.
OURS = {"FormatUnsuitable", "LevelInvalid", "LimitInvalid", "OffsetInvalid", "TooManyLogins"}
# What the API has and this server does not.
ABSENT = {"/credentials/oidc", "/services", "/services/{service_id}", "/services/{service_id}/logs"}
ADD = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


class Target:
    """The application on the real processes, and things of its user that requests can name."""

    def __init__(self, folder: Path) -> None:
        fakes = fake_services(folder)
        registry = build_registry()
        specs = [process.spec for process in registry["predefined", None].values()]
        self.services: Services = replace(
            fakes, graphs=Engines(registry, fakes.stored, GraphLimits()), specs=lambda: specs
        )
        self.settings = settings_in(folder, request_bytes=65536)
        self.app: Flask = create_app(self.settings, self.services)
        self.client: FlaskClient = self.app.test_client()
        answer = self.client.get("/credentials/basic", headers=basic("anna", PASSWORD))
        self.headers = {"Authorization": f"Bearer {answer.json['access_token']}"}
        self.exceptions = {code for spec in specs for code in spec.get("exceptions", {})}

    def names(self) -> dict[str, str]:
        """Return values of path parameters that exist; what a request has deleted is made again."""
        services = self.services
        jobs = services.jobs
        done = [jobs.get("anna", job.id) for job in jobs.of("anna") if job.state.status == "finished"]
        # What a request has written into a job, the job tells again: it says nothing of this server.
        found = [job for job in done if job.draft.process == ADD]
        if not found:
            for job in jobs.of("anna"):
                jobs.delete("anna", job.id)
            jobs.start("anna", jobs.create("anna", Draft(ADD, log_level="debug")).id)
            job = jobs.claim("runner", 60)
            assert job is not None
            Worker(self.settings, services, threading.Event()).work(job)
            found = [jobs.get("anna", job.id)]
        services.stored.put("anna", "mine", ADD)
        self.client.put("/files/a.txt", data=b"text", headers=self.headers)
        names = {"job_id": found[0].id, "process_graph_id": "mine", "path": "a.txt"}
        return {**names, "collection_id": "FAKE", "service_id": "none"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.services.users.close()


@pytest.fixture(scope="module")
def openapi() -> OpenApi:
    return OpenApi()


def _bounded(most: int) -> settings:
    """Return settings with which each run is the same; the first failure is told as it is."""
    return settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def _send(target: Target, case: Any, known: bool) -> TestResponse:
    """Send a case; with `known`, its path names things that exist."""
    parameters = {key: str(value) for key, value in (case.path_parameters or {}).items()}
    if known:
        names = target.names()
        parameters = {key: names[key] for key in parameters}
    path = case.path
    for key, value in parameters.items():
        path = path.replace("{" + key + "}", quote(value, safe="", errors="surrogatepass") or "%20")
    headers = {key: str(value) for key, value in (case.headers or {}).items() if _is_header(str(value))}
    login = basic("anna", "guess") if case.path == "/credentials/basic" else target.headers
    query = {key: value for key, value in (case.query or {}).items() if value is not None}
    body = None if type(case.body).__name__ == "NotSet" else case.body
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body, default=str)
    kind = case.media_type or ("application/json" if body is not None else None)
    return target.client.open(
        path, method=case.method, query_string=query, headers={**headers, **login}, data=body, content_type=kind,
        buffered=True,
    )  # fmt: skip


def _is_header(value: str) -> bool:
    """Whether a value can be sent at all; what cannot never reaches a server."""
    return value.isascii() and value.isprintable()


def _check(target: Target, openapi: OpenApi, case: Any, answer: TestResponse) -> None:
    told = f"{case.method} {answer.request.path}: {answer.status_code} {answer.data[:300]!r}"
    if answer.status_code < 400:
        is_json = bool(answer.mimetype.endswith("json") and answer.data)
        value = answer.get_json(force=True) if is_json else None
        method, status = case.method.lower(), answer.status_code
        faults = openapi.answer_faults(value, method, case.path, status) if is_json else []
        assert faults == [], told
        return
    body = answer.get_json(force=True)
    assert openapi.error_faults(body) == [], told
    code = body["code"]
    assert code in {*CODES, *OURS, *target.exceptions}, told
    assert answer.status_code == CODES.get(code, answer.status_code), told
    assert code != "Internal", told
    assert "Traceback" not in body["message"], told


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_operations(
    target: Target, openapi: OpenApi, operation: Any, mode: GenerationMode, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the requests name things that exist."""

    @_bounded(EXAMPLES[mode])
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask(case: Any, known: bool) -> None:
        _check(target, openapi, case, _send(target, case, known))

    with caplog.at_level(logging.ERROR):
        ask()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
REFERENCES = st.sampled_from([{"from_node": "cube"}, {"from_node": "number"}, {"from_parameter": "x"}])
CUBE = {"process_id": "load_collection", "arguments": {"id": "FAKE", "spatial_extent": None, "temporal_extent": None}}
NUMBER = {"process_id": "add", "arguments": {"x": 1, "y": 2}}


@st.composite
def graphs(draw: st.DrawFn, specs: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw a graph of a predefined process whose arguments are anything at all."""
    spec = draw(st.sampled_from(specs))
    wanted = [parameter for parameter in spec["parameters"] if not parameter.get("optional") or draw(st.booleans())]
    arguments = {parameter["name"]: draw(REFERENCES | JSON) for parameter in wanted}
    node = {"process_id": spec["id"], "arguments": arguments, "result": True}
    return {"process_graph": {"cube": CUBE, "number": NUMBER, "node": node}}


@pytest.mark.parametrize("path", ["/validation", "/result"])
def test_predefined_processes(target: Target, openapi: OpenApi, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a process is given, there is a value or an error that says what is wrong."""
    specs = target.services.specs()

    @_bounded(examples(150))
    @given(process=graphs(specs))
    def ask(process: dict[str, Any]) -> None:
        body = process if path == "/validation" else {"process": process}
        answer = target.client.post(path, json=body, headers=target.headers, buffered=True)
        told = f"{json.dumps(process['process_graph']['node'])}: {answer.status_code} {answer.data[:300]!r}"
        assert answer.status_code != 500, told
        if answer.status_code >= 400:
            assert openapi.error_faults(answer.get_json()) == [], told
        elif path == "/validation":
            assert [fault for fault in answer.get_json()["errors"] if fault["code"] == "Internal"] == [], told

    with caplog.at_level(logging.ERROR):
        ask()


ODD = ["", "0", "-1", "1" * 40, "..", "%00", "\0", "a/b", "'", "true", "null"]
TEXTS = st.text(max_size=12) | st.sampled_from(ODD)
QUERIES = st.dictionaries(
    st.sampled_from(["signature", "expires", "limit", "offset", "level", "partial", "after", "token"]),
    TEXTS,
    max_size=4,
)


def test_routes_of_our_own(target: Target, openapi: OpenApi, caplog: pytest.LogCaptureFixture) -> None:
    """Those that the description does not have: items and assets of results, logs of requests, health and metrics."""
    known = {operation.path for operation in OPERATIONS}
    listed = target.client.get("/").json["endpoints"]
    routes = [(method, entry["path"]) for entry in listed if entry["path"] not in known for method in entry["methods"]]
    assert len(routes) > 4

    @_bounded(examples(150))
    @given(route=st.sampled_from(routes), values=st.lists(TEXTS, min_size=3, max_size=3), query=QUERIES)
    def ask(route: tuple[str, str], values: list[str], query: dict[str, str]) -> None:
        method, path = route
        names = {"job_id": target.names()["job_id"]} if len(values[0]) % 2 else {}
        for key in ("job_id", "name", "request_id"):
            value = names.get(key) or quote(values.pop(), safe="", errors="surrogatepass") or "%20"
            path = path.replace("{" + key + "}", value)
        answer = target.client.open(path, method=method, query_string=query, headers=target.headers, buffered=True)
        told = f"{method} {path} {query}: {answer.status_code} {answer.data[:300]!r}"
        assert answer.status_code != 500, told
        if answer.status_code >= 400 and route[1] not in ("/health", "/ready"):
            assert openapi.error_faults(answer.get_json(force=True)) == [], told

    with caplog.at_level(logging.ERROR):
        ask()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_what_is_absent_says_so(target: Target) -> None:
    """So that the table of conformance holds: these paths, and no others, are not there."""
    rules = {str(rule).replace("path:", "") for rule in target.app.url_map.iter_rules()}
    routes = {rule.replace("<", "{").replace(">", "}") for rule in rules}
    assert {operation.path for operation in OPERATIONS} - routes == ABSENT
