"""The database behind all stores: SQLite in the data folder, or PostgreSQL; brought up to date when it is opened."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from backend.state.upgrade import upgrade
from processes.errors import OpenEOError

logger = logging.getLogger("backend.state")

BUSY_SECONDS = 10
# Of PostgreSQL: a server that is gone without a word is noticed within half a minute, not after the system's hours.
POSTGRES = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# Connections that are kept open: as many as a web process has threads by default, each opened when it is first needed.
POOL = 16
WRITING = "openeo_embed_writing"


class Database:
    """One database, open.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, ``sqlite:///PATH`` or ``postgresql://...``. Tables are created or migrated as needed.

    Raises
    ------
    OpenEOError
        SettingInvalid for another kind of database; StorageFailure where it cannot be opened or is newer than this
        server.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._attempt(lambda: _make_private(self.url.database))
        # What the URL says wins.
        given = {} if self.is_sqlite else {key: value for key, value in POSTGRES.items() if key not in self.url.query}
        self.engine: Engine = create_engine(
            # What is written is nobody's business who reads the log.
            self.url,
            pool_pre_ping=not self.is_sqlite,
            pool_size=POOL,
            connect_args=given,
            hide_parameters=True,
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        try:
            self._attempt(self._upgrade)
        except OpenEOError:
            self.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes; it is committed unless the block fails.

        On SQLite it waits for its turn at once: one that began as a reader would fail where another wrote meanwhile.
        """
        with self.engine.connect().execution_options(**{WRITING: True}) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def taking_turns(self, number: int) -> Iterator[Connection]:
        """Open a writing transaction beside which no other one with the same number runs."""
        with self.writing() as connection:
            if not self.is_sqlite:  # SQLite has one writer at a time anyway
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, OperationalError) as error:
            shown = self.url.render_as_string(hide_password=True)
            reason = getattr(error, "orig", error)
            raise OpenEOError("StorageFailure", f"The database {shown} cannot be opened: {reason}") from None

    def _upgrade(self) -> None:
        with self._alone():
            upgrade(self.engine)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from migrating at the same time: the parts of a server start together."""
        if self.is_sqlite and self.url.database and self.url.database != ":memory:":
            import fcntl

            path = Path(self.url.database)
            with path.with_name(f".{path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        else:
            yield


def _checked(text_url: str) -> URL:
    try:
        url = make_url(text_url)
    except ArgumentError:
        message = "OPENEO_EMBED_DATABASE is no URL; write sqlite:///PATH or postgresql://..."
        raise OpenEOError("SettingInvalid", message) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        message = f"OPENEO_EMBED_DATABASE names {url.get_backend_name()!r}; it must be a URL of sqlite or postgresql."
        raise OpenEOError("SettingInvalid", message)
    if url.drivername == "postgresql+psycopg":
        _require_psycopg()
    return url


def _require_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        message = (
            "OPENEO_EMBED_DATABASE is a URL of PostgreSQL, for which psycopg is missing: "
            "pip install openeo-embed[postgres]."
        )
        raise OpenEOError("SettingInvalid", message) from None


def _make_private(path: str | None) -> None:
    """Create the file of an SQLite database, readable to its owner alone."""
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch(mode=0o600)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let several processes share the file: readers do not wait, writers wait instead of failing."""
    connection.isolation_level = None  # Python's driver would begin transactions when it sees fit
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
