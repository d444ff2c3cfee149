"""How far each request is: counted in the Dask scheduler's process, where all web processes can ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

KEY_PREFIX = "openeo-request-"


@dataclass
class _Entry:
    user: str
    started: float
    client: str
    kind: str
    total: int = 0
    pending: set[Any] = field(default_factory=set)


class RequestsPlugin(SchedulerPlugin):
    """Counts the tasks of the requests that web processes announce.

    A request's graph is known by its last task, whose key is `KEY_PREFIX` and the request's id. A task counts as done
    when it has been in memory once; whether it is computed again later does not set the count back.
    """

    name = "openeo-requests"
    idempotent = True

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    async def start(self, scheduler: Any) -> None:
        """Offer the three calls that `backend.sync.cluster` makes."""
        scheduler.handlers["openeo_begin"] = self.begin
        scheduler.handlers["openeo_end"] = self.end
        scheduler.handlers["openeo_progress"] = self.progress

    def begin(self, request: str, user: str, started: float, kind: str, sender: str) -> None:
        """Announce a request (or job) of `user` whose tasks the Dask client `sender` will send."""
        self._entries[request] = _Entry(user, started, sender, kind)

    def end(self, request: str) -> None:
        """Forget a request."""
        self._entries.pop(request, None)

    def progress(self, user: str, kind: str) -> list[dict[str, Any]]:
        """Return id, start, tasks done and tasks in all of the requests (or jobs) of `user`."""
        return [
            {"id": key, "started": entry.started, "done": entry.total - len(entry.pending), "total": entry.total}
            for key, entry in self._entries.items()
            if (entry.user, entry.kind) == (user, kind)
        ]

    def update_graph(self, scheduler: Any, *, keys: Any, **kwargs: Any) -> None:
        """Count the tasks below the last task of a request, when that task arrives."""
        for key in keys:
            if isinstance(key, str) and key.startswith(KEY_PREFIX):
                entry = self._entries.get(key.removeprefix(KEY_PREFIX))
                if entry is not None and key in scheduler.tasks:
                    tasks = _below(scheduler.tasks[key])
                    entry.total = len(tasks)
                    entry.pending = {task.key for task in tasks if task.state != "memory"}

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Take a finished task off what is pending."""
        if finish == "memory":
            for entry in self._entries.values():
                entry.pending.discard(key)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Forget the requests of a web process that is gone."""
        for request in [key for key, entry in self._entries.items() if entry.client == client]:
            del self._entries[request]


def _below(task: Any) -> set[Any]:
    """Return a task and all that it depends on."""
    found, waiting = {task}, [task]
    while waiting:
        for dependency in waiting.pop().dependencies:
            if dependency not in found:
                found.add(dependency)
                waiting.append(dependency)
    return found
