"""`/metrics`: what it tells, what it never tells, and to whom."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from backend.app import create_app
from backend.context import Services
from backend.jobs.model import Draft
from backend.metrics.speeds import EMBEDDINGS
from tests.backend.conftest import User
from tests.backend.fakes import FakeCluster, graph, settings_in

TOKEN = "a token for measurements"


def _read(client: FlaskClient, **headers: str) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.mimetype == "text/plain"
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_requests_are_counted_by_route_and_never_by_path_or_user(anna: User, client: FlaskClient) -> None:
    anna.get("/jobs/0123456789abcdef0123456789abcdef")
    anna.get("/jobs/another")
    anna.get("/secret-path")
    anna.open("BREW", "/secret-path")
    told = _read(client)
    assert told["openeo_embed_requests_total", "GET", "/jobs/<job_id>", "404"] == 2
    assert told["openeo_embed_requests_total", "GET", "(none)", "404"] == 1
    assert told["openeo_embed_requests_total", "(none)", "(none)", "404"] == 1
    assert told["openeo_embed_request_seconds_count", "/jobs/<job_id>"] == 2
    text = client.get("/metrics").text
    for word in ("anna", "0123456789abcdef", "secret-path", "BREW"):
        assert word not in text


def test_jobs_are_counted_by_state_and_the_queue_has_an_age(services: Services, client: FlaskClient) -> None:
    assert _read(client)["openeo_embed_queue_age_seconds",] == 0
    process = graph("number")["process"]
    for user in ("anna", "anna", "ben"):
        services.jobs.start(user, services.jobs.create(user, Draft(process)).id)
    services.jobs.create("ben", Draft(process))
    services.jobs.claim("runner", 30)
    later = services.jobs._clock() + 100  # type: ignore[attr-defined]
    services.jobs._clock = lambda: later  # type: ignore[attr-defined]
    told = _read(client)
    states = ("created", "queued", "running", "canceled", "finished", "error")
    assert [told["openeo_embed_jobs", state] for state in states] == [1, 2, 1, 0, 0, 0]
    assert 99 < told["openeo_embed_queue_age_seconds",] < 110


def test_work_and_workers(services: Services, client: FlaskClient) -> None:
    services.speeds.add({EMBEDDINGS: (5000.0, 10.0)})
    told = _read(client)
    assert (told["openeo_embed_workers",], told["openeo_embed_cluster_up",]) == (1, 1)
    assert told["openeo_embed_embeddings_total",] == 5000
    assert told["openeo_embed_embeddings_thread_seconds_total",] == 10
    assert 450 < told["openeo_embed_embeddings_per_thread_second",] < 500


def test_embeddings_of_requests_and_jobs_are_counted(
    anna: User, client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(env: Any) -> int:
        env.ledger.embeddings += 700
        env.ledger.made_by["abc"] = "multimodal_embed"
        return 1

    services.graphs.values["embed_some"] = embed  # type: ignore[attr-defined]
    monkeypatch.setattr(FakeCluster, "spent", lambda self, asked: {"abc": 2.0})
    assert anna.post("/result", json=graph("embed_some")).status_code == 200
    assert _read(client)["openeo_embed_embeddings_total",] == 700


def test_what_is_down_is_said_and_hides_nothing_else(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(services.jobs, "tally", broken)
    services = replace(services, cluster=FakeCluster(alive=None))
    told = _read(create_app(settings_in(tmp_path), services).test_client())
    assert (told["openeo_embed_cluster_up",], told["openeo_embed_database_up",]) == (0, 0)
    assert not any(name.startswith("openeo_embed_jobs") for name, *_ in told)


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.1", {}),
        ("not an address", {}),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.1"}),
        ("127.0.0.1", {"Via": "1.1 proxy"}),
        ("127.0.0.1", {"Origin": "https://page.example"}),
    ],
)
def test_without_a_token_only_this_machine_is_told(
    client: FlaskClient, anna: User, address: str, headers: dict[str, str]
) -> None:
    for login in ({}, anna.headers):
        answer = client.get("/metrics", headers={**headers, **login}, environ_overrides={"REMOTE_ADDR": address})
        assert (answer.status_code, answer.json["code"]) == (401, "AuthenticationRequired")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.1.2.3"])
def test_this_machine_is_told(client: FlaskClient, address: str) -> None:
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": address}).status_code == 200


def test_with_a_token_whoever_holds_it_is_told(tmp_path: Path, services: Services, anna: User) -> None:
    client = create_app(settings_in(tmp_path, metrics_token=TOKEN), services).test_client()
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    good = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, environ_overrides=elsewhere)
    assert good.status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, anna.headers):
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code in (401, 403)
        assert "openeo_embed" not in answer.text


COUNTING = """
import os, sys
from pathlib import Path
from backend.metrics.requests import share
share(Path(sys.argv[1]))
from flask import Flask
from prometheus_client import generate_latest
from backend.metrics.requests import RequestMeters

def application():
    app, meters = Flask("counted"), RequestMeters()
    meters.install(app)
    app.get("/here")(lambda: "x")
    return app.test_client(), meters

child = os.fork()
client, meters = application()
client.get("/here")
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print(generate_latest(meters.shared()).decode())
"""


def test_processes_that_share_a_folder_are_added_up(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", COUNTING, str(tmp_path / "metrics")], capture_output=True, text=True, timeout=60
    )
    assert 'requests_total{method="GET",route="/here",status="200"} 2.0' in ended.stdout, ended.stderr
