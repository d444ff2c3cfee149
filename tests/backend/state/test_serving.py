"""A database has one server: another would compute jobs whose results the first one does not find."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from backend.settings import read_settings
from backend.state import Database
from backend.state import serving as module
from backend.state.serving import only_server
from backend.supervise.serving import serve_forever
from processes.errors import OpenEOError
from tests.backend.databases import postgres_schema


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "PAUSE", 0.01)


def test_a_second_server_is_refused_until_the_first_ends(database: Database, database_url: str) -> None:
    other = Database(database_url)
    with only_server(database):
        with pytest.raises(OpenEOError, match="Another server is using the database") as caught, only_server(other):
            pass
        assert caught.value.code == "StorageFailure"
    with only_server(other):
        pass
    other.close()


def test_a_server_whose_connection_is_lost_ends_in_order_and_holds_nothing(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_schema(postgres) as url:
        _lose_the_connection(url, monkeypatch)


def _lose_the_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Database(url), Database(url)
    with only_server(first):
        with second.writing() as connection:
            others = text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = :n")
            assert connection.execute(others, {"n": module.SERVING}).scalar_one()
        monkeypatch.setattr(module, "PATIENCE", 5.0)  # PostgreSQL ends a session when it comes to it
        with only_server(second):
            pass
    first.close()
    second.close()


def test_two_data_folders_do_not_share_a_database(tmp_path: Path, database: Database, database_url: str) -> None:
    settings = read_settings({}, data=tmp_path / "second", database=database_url, port=0)
    with only_server(database), pytest.raises(OpenEOError, match="Another server is using the database"):
        serve_forever(settings, lambda url: None)
