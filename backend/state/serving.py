"""One server for a database: what its jobs have produced lies in that server's folder, where no other finds it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from backend.state.database import Database
from processes.errors import OpenEOError

SERVING = 0x0E0A  # any number that all servers agree on
# A server that was killed may be known to PostgreSQL for a moment.
PATIENCE, PAUSE = 5.0, 0.5
# Of the connection that holds the lock: PostgreSQL lets go of a machine that is gone within half a minute, too.
_KEEPALIVES = ("tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3")
_KEY = {"number": SERVING}


@contextlib.contextmanager
def only_server(database: Database) -> Iterator[None]:
    """Have the database for one server as long as the block runs.

    Raises
    ------
    OpenEOError
        StorageFailure: another server has it.
    """
    with _file_of(database) if database.is_sqlite else _session_of(database):
        yield


@contextlib.contextmanager
def _file_of(database: Database) -> Iterator[None]:
    path = Path(database.url.database or ":memory:")
    with path.with_name(f".{path.name}.serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(database) from None
        yield


@contextlib.contextmanager
def _session_of(database: Database) -> Iterator[None]:
    """Hold a lock of PostgreSQL's that ends with its connection, for the schema that is used."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for setting in _KEEPALIVES:
            connection.execute(text(f"SET {setting}"))
        end = time.monotonic() + PATIENCE
        while not _locked(connection):
            if time.monotonic() > end:
                raise _taken(database)
            time.sleep(PAUSE)
        try:
            yield
        finally:
            with contextlib.suppress(SQLAlchemyError):  # the connection was lost, and the lock with it
                connection.execute(text("SELECT pg_advisory_unlock(:number, hashtext(current_schema()))"), _KEY)


def _locked(connection: Connection) -> bool:
    statement = text("SELECT pg_try_advisory_lock(:number, hashtext(current_schema()))")
    return bool(connection.execute(statement, _KEY).scalar_one())


def _taken(database: Database) -> OpenEOError:
    shown = database.url.render_as_string(hide_password=True)
    message = (
        f"Another server is using the database {shown}, which belongs to one server and its data folder; stop that "
        "one, or give this one a database of its own."
    )
    return OpenEOError("StorageFailure", message)
