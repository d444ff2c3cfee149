"""Users' stored processes. Each user has a namespace of his own; nobody sees another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import and_, delete, false, func, insert, select, update

from backend.state import Database
from backend.state.tables import PROCESSES as T
from processes.errors import OpenEOError

# Any number that differs from those of other parts of the server.
TURNS = 0x0E06


@dataclass(frozen=True)
class StoredProcess:
    """A process that a user has stored: its specification, with `process_graph` and without `id`, and its id."""

    id: str
    process: Mapping[str, Any]
    updated: float


class GraphStore(Protocol):
    """Where stored processes are kept."""

    def ids(self, user: str) -> list[str]:
        """Return the ids of a user's processes, sorted."""
        ...

    def of(self, user: str) -> list[StoredProcess]:
        """Return all processes of a user, sorted by id."""
        ...

    def find(self, user: str, identifier: str) -> StoredProcess | None:
        """Return a user's process, None where the user has none of that id."""
        ...

    def put(self, user: str, identifier: str, process: Mapping[str, Any]) -> None:
        """Store a process, in place of one of that id; StorageQuotaExceeded where the user has too many."""
        ...

    def delete(self, user: str, identifier: str) -> None:
        """Delete a process; OpenEOError ProcessGraphNotFound."""
        ...

    def delete_all(self, user: str) -> None:
        """Delete all processes of a user."""
        ...


class SqlGraphStore:
    """Stored processes in the server's database; `most` is how many a user may have."""

    def __init__(self, database: Database, most: int = 1000, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._most = most
        self._clock = clock

    def ids(self, user: str) -> list[str]:
        """Return the ids of a user's processes, sorted."""
        with self._database.reading() as connection:
            return list(connection.execute(select(T.c.id).where(T.c.user == user).order_by(T.c.id)).scalars())

    def of(self, user: str) -> list[StoredProcess]:
        """Return all processes of a user, sorted by id."""
        query = select(T.c.id, T.c.process, T.c.updated).where(T.c.user == user).order_by(T.c.id)
        with self._database.reading() as connection:
            return [StoredProcess(*row) for row in connection.execute(query)]

    def find(self, user: str, identifier: str) -> StoredProcess | None:
        """Return a user's process, None where the user has none of that id."""
        query = select(T.c.id, T.c.process, T.c.updated).where(_is(user, identifier))
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else StoredProcess(*row)

    def put(self, user: str, identifier: str, process: Mapping[str, Any]) -> None:
        """Store a process, in place of one of that id."""
        values = {"process": dict(process), "updated": self._clock()}
        with self._database.taking_turns(TURNS) as connection:
            if connection.execute(update(T).where(_is(user, identifier)).values(values)).rowcount:
                return
            count = connection.execute(select(func.count()).where(T.c.user == user)).scalar_one()
            if count >= self._most:
                message = f"You have {count} stored processes, as many as there may be; delete one first."
                raise OpenEOError("StorageQuotaExceeded", message)
            connection.execute(insert(T).values(user=user, id=identifier, **values))

    def delete(self, user: str, identifier: str) -> None:
        """Delete a process; OpenEOError ProcessGraphNotFound."""
        with self._database.writing() as connection:
            if connection.execute(delete(T).where(_is(user, identifier))).rowcount == 0:
                raise not_found(identifier)

    def delete_all(self, user: str) -> None:
        """Delete all processes of a user."""
        with self._database.writing() as connection:
            connection.execute(delete(T).where(T.c.user == user))


def not_found(identifier: str) -> OpenEOError:
    """Return the error for a process that the user does not have."""
    message = f"User-defined process '{identifier}' does not exist; GET /process_graphs lists yours."
    return OpenEOError("ProcessGraphNotFound", message)


def _is(user: str, identifier: str) -> Any:
    # PostgreSQL refuses to look for null characters.
    return and_(T.c.user == user, T.c.id == identifier) if "\0" not in identifier else false()
