"""A real server that says all that it has to say, and what must stay secret on it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backend.databases import VARIABLE, postgres_binaries, postgres_server
from tests.backend.server import Server, run_inside, serving

USER, PASSWORD = "anna", "correct-horse-7313"
DATABASE_PASSWORD = "battery-staple-9917"


@dataclass
class Target:
    """A server, its data folder and the URL of its database, whose password is `DATABASE_PASSWORD` where it has one."""

    server: Server
    folder: Path
    database: str | None


@contextlib.contextmanager
def _database() -> Iterator[str | None]:
    """Run PostgreSQL, which is told a password that it does not ask for; None where there is no PostgreSQL."""
    if postgres_binaries() is None or os.environ.get(VARIABLE):
        yield None
        return
    with postgres_server() as url:
        yield re.sub("openeo@", f"openeo:{DATABASE_PASSWORD}@", url)


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("attacks") / "data"
    with _database() as url:
        settings = {"OPENEO_EMBED_LOG_LEVEL": "debug", "OPENEO_EMBED_RUNNERS": "1"}
        settings |= {"OPENEO_EMBED_DATABASE": url} if url else {}
        line = ("user", "add", USER, "--password-stdin", "--data", folder)
        added = run_inside(*line, stdin=PASSWORD + "\n", **settings)
        assert added.returncode == 0, added.stderr
        with serving(folder, "--demo-user", **settings) as server:
            yield Target(server, folder, url)
