"""The tables of the users' database, and the engine on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, Float, Integer, MetaData, String, Table, create_engine, event
from sqlalchemy.engine import make_url

METADATA = MetaData()

USERS = Table(
    "users",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(256), nullable=False),
    Column("created", Float, nullable=False),
)
TOKENS = Table(
    "tokens",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("user", String(64), nullable=False, index=True),
    Column("expires", Float, nullable=False),
)
ATTEMPTS = Table(
    "login_attempts",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("since", Float, nullable=False),
)


def open_engine(url: str) -> Engine:
    """Open the database at `url` and create what is missing; an SQLite file is made readable to its owner alone."""
    path = make_url(url).database if url.startswith("sqlite") else None
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch(mode=0o600)
    engine = create_engine(url)
    if url.startswith("sqlite"):
        event.listen(engine, "connect", _prepare_sqlite)
    METADATA.create_all(engine)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let several processes share the file: readers do not wait, writers wait instead of failing."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
