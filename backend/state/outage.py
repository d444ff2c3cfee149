"""A database that does not answer: which failures are that, and what users are told."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from backend.disk import disk_full
from processes.errors import OpenEOError

# What SQLite and PostgreSQL say where there is no room for what is to be written.
_FULL = ("disk is full", "disk i/o error", "no space left")


def is_outage(error: BaseException) -> bool:
    """Whether an exception says that the database is away, locked or full: later the same may succeed."""
    if isinstance(error, DBAPIError):
        return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return isinstance(error, PoolTimeout)


def outage_error(error: BaseException) -> OpenEOError:
    """Return an outage as users are told: neither the statement nor the database's address is theirs to know."""
    reason = str(getattr(error, "orig", error)).lower()
    if any(words in reason for words in _FULL):
        return disk_full()
    return OpenEOError("InfrastructureBusy", "The server's database does not answer; try again in a minute.")
