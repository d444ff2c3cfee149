"""A brake on guessing passwords: failed logins are counted per user and address, and per address."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.state import Database
from backend.state.tables import ATTEMPTS
from processes.errors import OpenEOError

# One address may fail for so many times as many names: a university sits behind one address.
ADDRESS_FACTOR = 10


class LoginAttempts:
    """Counts logins in the database, so that all web processes share the counts."""

    def __init__(self, database: Database, limit: int, seconds: float, clock: Callable[[], float]) -> None:
        self._database = database
        self._limit = limit
        self._seconds = seconds
        self._clock = clock

    def count(self, name: str, address: str) -> None:
        """Count a login before its password is checked, so that many at once cannot slip past.

        Raises
        ------
        OpenEOError
            TooManyLogins (429), before any password is looked at.
        """
        with self._database.writing() as connection:
            connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.since <= self._clock() - self._seconds))
            pair = self._add(connection, _key(name, address))
            whole = self._add(connection, _key(None, address))
        if pair > self._limit or whole > self._limit * ADDRESS_FACTOR:
            minutes = max(1, round(self._seconds / 60))
            raise OpenEOError("TooManyLogins", f"Too many failed logins; try again in {minutes} minutes.", 429)

    def forget(self, name: str, address: str) -> None:
        """Take a login that succeeded out of the counts."""
        with self._database.writing() as connection:
            connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.key == _key(name, address)))
            whole = ATTEMPTS.c.key == _key(None, address)
            connection.execute(update(ATTEMPTS).where(whole).values(count=ATTEMPTS.c.count - 1))

    def _add(self, connection: Connection, key: str) -> int:
        """Add one to the count of `key` and return it."""
        this = ATTEMPTS.c.key == key
        more = update(ATTEMPTS).where(this).values(count=ATTEMPTS.c.count + 1)
        if connection.execute(more).rowcount == 0:
            try:
                with connection.begin_nested():
                    connection.execute(insert(ATTEMPTS).values(key=key, count=1, since=self._clock()))
            except IntegrityError:  # another process was first
                connection.execute(more)
        return int(connection.execute(select(ATTEMPTS.c.count).where(this)).scalar_one())


def _key(name: str | None, address: str) -> str:
    """Return a key of bounded length that holds no name: what is tried may be a password in the wrong field."""
    return hashlib.sha256(repr((name, address)).encode("utf-8", "surrogatepass")).hexdigest()
