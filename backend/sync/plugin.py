"""How far each request is, and where its tasks run: looked after in the Dask scheduler's process, for all others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

from udf.cluster import ABOUT, CALLS, NOTES, offered, required

MOST_NOTES = 100


@dataclass
class _Entry:
    user: str
    started: float
    client: str
    kind: str
    about: dict[str, str]
    nodes: dict[str, str]
    total: int = 0
    pending: set[Any] = field(default_factory=set)
    awaited: list[Any] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def sign(self, tasks: Iterable[Any]) -> None:
        """Have tasks carry whose they are, save those that are another request's already."""
        signs: dict[str, dict[str, str]] = {}
        for task in tasks:
            if ABOUT not in (task.annotations or {}):
                node = self.nodes.get(part_of(task.key), "")
                sign = signs.setdefault(node, {**self.about, "node": node} if node else self.about)
                task.annotations = {**(task.annotations or {}), ABOUT: sign}


class RequestsPlugin(SchedulerPlugin):
    """Counts the tasks of the requests that web processes announce, and sends tasks to the workers meant for them.

    A request's tasks are those that the blocks which it waits for depend on. A task counts as done when it has been in
    memory once; whether it is computed again later does not set the count back. What tasks have to say (the topic
    `udf.cluster.NOTES`) is kept for the requests that they belong to.
    """

    name = "openeo-requests"
    idempotent = True

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._scheduler: Any = None

    async def start(self, scheduler: Any) -> None:
        """Offer the calls that `backend.sync.cluster` makes."""
        self._scheduler = scheduler
        scheduler.handlers["openeo_begin"] = self.begin
        scheduler.handlers["openeo_watch"] = self.watch
        scheduler.handlers["openeo_expect"] = self.expect
        scheduler.handlers["openeo_end"] = self.end
        scheduler.handlers["openeo_progress"] = self.progress
        scheduler.handlers["openeo_spent"] = self.spent
        scheduler.handlers["openeo_notes"] = self.notes
        # Comes the same way as the end of a subscription, and so after it.
        scheduler.stream_handlers["openeo-forget"] = self.forget

    def begin(
        self,
        request: str,
        user: str,
        started: float,
        kind: str,
        sender: str,
        about: dict[str, str] | None = None,
        nodes: dict[str, str] | None = None,
    ) -> None:
        """Announce a request (or job) of `user` whose tasks the Dask client `sender` will send.

        Its tasks carry `about` and, of `nodes` by parts of the graph, their own: for the workers' logs.
        """
        self._entries[request] = _Entry(user, started, sender, kind, about or {}, nodes or {})

    def watch(self, request: str, keys: list[Any]) -> None:
        """Count the tasks of the blocks that a request waits for, now or when their graph arrives."""
        entry = self._entries.get(request)
        if entry is not None:
            entry.awaited = keys
            self._count(entry)

    def expect(self, request: str, keys: list[Any]) -> None:
        """Count these tasks, which a request will send in parts: what is to come is to be done, too."""
        entry = self._entries.get(request)
        if entry is not None:
            entry.total, entry.pending = len(keys), set(keys)

    def end(self, request: str) -> list[dict[str, str]]:
        """Forget a request, and return what its tasks had to say and nobody has asked for yet."""
        entry = self._entries.pop(request, None)
        return entry.notes if entry is not None else []

    def notes(self, request: str) -> list[dict[str, str]]:
        """Return, once, what the tasks of a request have had to say so far."""
        entry = self._entries.get(request)
        if entry is None:
            return []
        told, entry.notes = entry.notes, []
        return told

    def spent(self, request: str) -> dict[str, float]:
        """Return how many seconds of the workers' threads each part of a request's graph took; see `part_of`."""
        entry = self._entries.get(request)
        return {} if entry is None else dict(entry.seconds)

    def progress(self, user: str, kind: str) -> list[dict[str, Any]]:
        """Return id, start, tasks done and tasks in all of the requests (or jobs) of `user`."""
        return [
            {"id": key, "started": entry.started, "done": entry.total - len(entry.pending), "total": entry.total}
            for key, entry in self._entries.items()
            if (entry.user, entry.kind) == (user, kind)
        ]

    def update_graph(self, scheduler: Any, *, tasks: Any, **kwargs: Any) -> None:
        """Say which workers and whose new tasks are, and count the tasks of requests that waited for this graph."""
        there = offered(worker.resources for worker in scheduler.workers.values())
        for key in tasks if there else ():
            task = scheduler.tasks[key]
            if task.state == "released":
                task.resource_restrictions = required(task.prefix.name, there)
        for entry in self._entries.values():
            if entry.awaited:
                self._count(entry)
            entry.sign(scheduler.tasks[key] for key in tasks if key in entry.pending)

    def forget(self, topic: str, client: str = "") -> None:
        """Drop a topic to which nobody listens any more; Dask would keep it as long as the scheduler runs."""
        self._scheduler._broker._topics.pop(topic, None)

    def log_event(self, topic: str, msg: Any) -> None:
        """Keep what a task says for the requests that wait for it.

        What users' functions say has been sent on by now and is not kept. A call that was dropped may still say
        something when its topic has been forgotten.
        """
        if topic.startswith(CALLS):
            broker = self._scheduler._broker
            broker.truncate(topic)
            if not broker._topics[topic].subscribers:
                self.forget(topic)
        if topic == NOTES:
            for entry in self._entries.values():
                if msg["key"] in entry.pending and len(entry.notes) < MOST_NOTES:
                    entry.notes.append({"level": msg["level"], "message": msg["message"]})

    def _count(self, entry: _Entry) -> None:
        found = [self._scheduler.tasks[key] for key in entry.awaited if key in self._scheduler.tasks]
        if all(task.run_spec is not None for task in found) and len(found) == len(entry.awaited):
            below = _below(found)
            entry.awaited, entry.total = [], len(below)
            entry.pending = {task.key for task in below if task.state != "memory"}

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Take a finished task off what is pending, and note how long it took."""
        if finish != "memory":
            return
        waiting = [entry for entry in self._entries.values() if key in entry.pending]
        seconds, part = (_seconds(kwargs.get("startstops")), part_of(key)) if waiting else (0.0, "")
        for entry in waiting:
            entry.pending.discard(key)
            entry.seconds[part] = entry.seconds.get(part, 0.0) + seconds

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Forget the requests of a web process that is gone."""
        for request in [key for key, entry in self._entries.items() if entry.client == client]:
            del self._entries[request]


def part_of(key: Any) -> str:
    """Return the part of the graph that a task belongs to: the token at the end of its key's name.

    Where Dask makes one task of several, its name ends with that of the last of them.
    """
    name = key[0] if isinstance(key, tuple) else key
    return str(name).rsplit("-", 1)[-1]


def _seconds(startstops: Any) -> float:
    """Return how long a task was computed, from what its worker tells of it."""
    spans = [(item["start"], item["stop"]) for item in startstops or () if item["action"] == "compute"]
    return float(sum(stop - start for start, stop in spans))


def _below(tasks: list[Any]) -> set[Any]:
    """Return tasks and all that they depend on."""
    found, waiting = set(tasks), list(tasks)
    while waiting:
        for dependency in waiting.pop().dependencies:
            if dependency not in found:
                found.add(dependency)
                waiting.append(dependency)
    return found
