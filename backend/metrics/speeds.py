"""How fast a cluster has been, by kind of work: measured in every computation, and used by estimates."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from backend.state import Database
from backend.state.tables import SPEEDS

logger = logging.getLogger("backend.metrics")

# The kinds of work: embeddings computed; bytes loaded, with all processing of them that is no embedding.
EMBEDDINGS, BYTES = "embeddings", "bytes"
# What a computation leaves of the weight of those before it: about the last ten count.
MEMORY = 0.9
# What is believed of a thread until it is measured, per second; it weighs as much as so many seconds of measuring.
BELIEVED: Mapping[str, float] = {EMBEDDINGS: 300.0, BYTES: 20e6}
BELIEF = 1.0
# Any number that differs from those of other parts of the server.
TURNS = 0x0E09


@dataclass(frozen=True)
class Speed:
    """What one kind of work took.

    Attributes
    ----------
    runs : int
        How many computations it was measured in.
    amount, seconds : float
        Work done, and seconds of one thread that it took, where recent computations weigh most.
    total_amount, total_seconds : float
        The same of all computations there ever were.
    """

    runs: int = 0
    amount: float = 0.0
    seconds: float = 0.0
    total_amount: float = 0.0
    total_seconds: float = 0.0

    def after(self, amount: float, seconds: float) -> Speed:
        """Return the speed with one more computation in it."""
        recent = MEMORY * self.amount + amount, MEMORY * self.seconds + seconds
        return Speed(self.runs + 1, *recent, self.total_amount + amount, self.total_seconds + seconds)

    def per_second(self, kind: str) -> float:
        """Return how much one thread does in a second."""
        return (BELIEF * BELIEVED[kind] + self.amount) / (BELIEF + self.seconds)


class Speeds(Protocol):
    """Where speeds are kept."""

    def all(self) -> dict[str, Speed]:
        """Return the speeds by kind; kinds that were never measured are there too."""
        ...

    def add(self, measured: Mapping[str, tuple[float, float]]) -> None:
        """Add amount and seconds, by kind, of one computation; what took no time or did nothing is left out."""
        ...


@dataclass
class MemorySpeeds:
    """Speeds that are forgotten with the process."""

    known: dict[str, Speed] = field(default_factory=lambda: dict.fromkeys(BELIEVED, Speed()))

    def all(self) -> dict[str, Speed]:
        """Return the speeds."""
        return dict(self.known)

    def add(self, measured: Mapping[str, tuple[float, float]]) -> None:
        """Add a computation."""
        for kind, (amount, seconds) in _sound(measured).items():
            self.known[kind] = self.known[kind].after(amount, seconds)


class SqlSpeeds:
    """Speeds in the server's database, of one cluster (its name there: at most 128 characters)."""

    def __init__(self, database: Database, cluster: str) -> None:
        self._database = database
        self._cluster = cluster[:128]

    def all(self) -> dict[str, Speed]:
        """Return the speeds; what the database does not tell is not known."""
        query = select(SPEEDS).where(SPEEDS.c.cluster == self._cluster)
        with self._database.reading() as connection:
            return {**dict.fromkeys(BELIEVED, Speed()), **{row.kind: _speed(row) for row in connection.execute(query)}}

    def add(self, measured: Mapping[str, tuple[float, float]]) -> None:
        """Add a computation; a database that does not answer is no reason for it to fail."""
        try:
            self._add(_sound(measured))
        except SQLAlchemyError as error:
            logger.warning("the speed of a computation is not kept: %s", getattr(error, "orig", error))

    def _add(self, measured: Mapping[str, tuple[float, float]]) -> None:
        if not measured:
            return
        with self._database.taking_turns(TURNS) as connection:
            for kind, (amount, seconds) in measured.items():
                this = (SPEEDS.c.cluster == self._cluster) & (SPEEDS.c.kind == kind)
                row = connection.execute(select(SPEEDS).where(this)).one_or_none()
                values = vars((Speed() if row is None else _speed(row)).after(amount, seconds))
                if row is None:
                    connection.execute(insert(SPEEDS).values(cluster=self._cluster, kind=kind, **values))
                else:
                    connection.execute(update(SPEEDS).where(this).values(**values))


def _speed(row: object) -> Speed:
    return Speed(**{name: getattr(row, name) for name in Speed.__dataclass_fields__})


def _sound(measured: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {kind: pair for kind, pair in measured.items() if min(pair) > 0}
