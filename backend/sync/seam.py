"""The seam of the cluster: what routes and runners ask of whatever computes lazy values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from backend.sync.deadline import Stopper
from backend.sync.spool import Spool
from backend.times import rfc3339


@dataclass(frozen=True)
class Progress:
    """How far a request is: `done` of `total` Dask tasks; `total` is 0 until its graph has been read."""

    id: str
    started: float
    done: int
    total: int

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `/requests/progress`."""
        percent = round(100 * self.done / self.total, 1) if self.total else 0.0
        return {
            "id": self.id,
            "started": rfc3339(self.started),
            "done": self.done,
            "total": self.total,
            "percent": percent,
        }


class Asked(Protocol):
    """A synchronous request or a run of a batch job: `kind` is "request" or "job", `id` is of 1 to 64 characters.

    `about` are the ids by which lines of logs name it.
    """

    @property
    def id(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def started(self) -> float: ...
    @property
    def kind(self) -> str: ...
    @property
    def about(self) -> dict[str, str]: ...


class Cluster(Protocol):
    """Where lazy values are computed."""

    def compute(
        self,
        asked: Asked,
        value: Any,
        deadline: Stopper,
        nodes: Mapping[str, str] | None = None,
        spool: Spool | None = None,
    ) -> Any:
        """Return `value` with everything lazy in it computed, each shared part once.

        `nodes` are those that have made the parts of the graph, as of `processes.environment.Ledger`: for logs. Where
        there is a `spool`, large arrays are kept in it, and come back as lazy ones that read from there.
        """
        ...

    def listening(self, topic: str, hear: Callable[[dict[str, Any]], None]) -> contextlib.AbstractContextManager[None]:
        """Return a context in which `hear` gets what tasks on workers send to a topic."""
        ...

    def progress(self, user: str, kind: str = "request") -> list[Progress]:
        """Return how far the requests (or jobs) of `user` are that are being computed, by any process."""
        ...

    def notes(self, asked: Asked) -> list[dict[str, str]]:
        """Return, once, what tasks have had to say of themselves so far: messages with their level."""
        ...

    def spent(self, asked: Asked) -> dict[str, float]:
        """Return, once, how many seconds of the workers' threads each part of a computed graph took."""
        ...

    def threads(self) -> int:
        """Return how many tasks the cluster runs at once; 0 where it does not answer."""
        ...

    def memory(self) -> int:
        """Return how many bytes of memory the workers hold together; 0 where the cluster does not answer."""
        ...

    def workers(self) -> int | None:
        """Return the number of workers; None where the cluster does not answer."""
        ...
