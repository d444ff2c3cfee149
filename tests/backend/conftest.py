"""Fixtures of the backend's tests: an application on fake services, and clients that are logged in."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.app import create_app
from backend.context import Services
from tests.backend.fakes import PASSWORD, fake_services, settings_in


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@dataclass
class User:
    """A test client of one user."""

    client: FlaskClient
    headers: dict[str, str]

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.client.get(path, headers=self.headers, **kwargs)

    def post(self, path: str, **kwargs: Any) -> TestResponse:
        return self.client.post(path, headers=self.headers, buffered=True, **kwargs)


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
