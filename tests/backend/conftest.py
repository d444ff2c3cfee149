"""Fixtures of the backend's tests: an application on fake services, and clients that are logged in."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.app import create_app
from backend.context import Services
from backend.state import Database
from backend.sync.cluster import DaskCluster
from tests.backend.clusters import one_worker
from tests.backend.databases import VARIABLE, postgres_schema, postgres_server
from tests.backend.fakes import PASSWORD, fake_services, settings_in


@pytest.fixture(scope="module")
def local() -> Iterator[LocalCluster]:
    """A scheduler and a worker in this process."""
    with one_worker() as local:
        yield local


@pytest.fixture(scope="module")
def cluster(local: LocalCluster) -> Iterator[DaskCluster]:
    made = DaskCluster(local.scheduler_address)
    yield made
    made.close()


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@dataclass
class User:
    """A test client of one user."""

    client: FlaskClient
    headers: dict[str, str]

    def open(self, method: str, path: str, **kwargs: Any) -> TestResponse:
        """Send a request and take the whole answer, so that nothing stays open."""
        headers = {**self.headers, **kwargs.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, buffered=True, **kwargs)

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("POST", path, **kwargs)

    def put(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("PUT", path, **kwargs)

    def patch(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("PATCH", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("DELETE", path, **kwargs)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Fake services in the test's folder."""
    made = fake_services(tmp_path)
    yield made
    made.users.close()


@pytest.fixture
def app(tmp_path: Path, services: Services) -> Flask:
    """An application on the fake services."""
    return create_app(settings_in(tmp_path, request_bytes=8192), services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client who is not logged in."""
    return app.test_client()


@pytest.fixture
def anyone(client: FlaskClient) -> User:
    """Somebody who is not logged in and takes whole answers."""
    return User(client, {})


@pytest.fixture
def log_in(app: Flask) -> Callable[[str], User]:
    """Log a user in; returns a client that sends the token along."""

    def log_in(name: str) -> User:
        client = app.test_client()
        answer = client.get("/credentials/basic", headers=basic(name, PASSWORD))
        return User(client, {"Authorization": f"Bearer basic//{answer.json['access_token']}"})

    return log_in


@pytest.fixture
def anna(log_in: Callable[[str], User]) -> User:
    """The user anna, logged in."""
    return log_in("anna")


class Clock:
    """A clock that tests set."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server; tests that ask for it skip where there is none."""
    if os.environ.get(VARIABLE):
        yield os.environ[VARIABLE]
        return
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state.sqlite'}"
        return
    with postgres_schema(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database of each kind, open."""
    made = Database(database_url)
    yield made
    made.close()
