"""Process graphs checked and evaluated with the predefined processes and those that the user has stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backend.graphs.flat import names_in
from backend.graphs.store import GraphStore
from processes.environment import Environment
from processes.errors import OpenEOError
from processes.graph import GraphLimits, check_graph, evaluate, validate_graph
from processes.graph.package import Process, ProcessRegistry


class Engines:
    """The graph engines of all users."""

    def __init__(self, registry: ProcessRegistry, store: GraphStore, limits: GraphLimits) -> None:
        self._registry = registry
        self._store = store
        self._limits = limits

    def of(self, user: str | None) -> Engine:
        """Return the engine of a user, who sees his stored processes as they are now; None sees none."""
        if user is None:
            return Engine(self._registry, self._limits)
        registry = ProcessRegistry()
        registry.store = {**self._registry.store, "user": _Stored(self._store, user)}
        return Engine(registry, self._limits)


class Engine:
    """Process graphs checked and evaluated with the processes of one registry."""

    def __init__(self, registry: ProcessRegistry, limits: GraphLimits) -> None:
        self._registry = registry
        self._limits = limits

    def check(self, process: Mapping[str, Any]) -> Any:
        """Return the checked graph of a process."""
        return check_graph(process, self._limits)

    def validate(self, process: Mapping[str, Any]) -> list[OpenEOError]:
        """Return the faults of a process."""
        return list(validate_graph(process, self._registry, self._limits))

    def evaluate(self, graph: Any, env: Environment) -> Any:
        """Return the lazy value of the graph's result node."""
        return evaluate(graph, self._registry, env)

    def categories(self, process: str) -> set[str]:
        """Return the categories of a process; of a stored one, those of all processes in it."""
        return {name for found in self._within(process) for name in found.spec.get("categories") or []}

    def looks_around(self, process: str) -> bool:
        """Whether a process, or one within it, looks at more than it is given: it must be run with its loads."""
        return any(getattr(found.implementation, "halo_of", ()) for found in self._within(process))

    def _within(self, process: str) -> Iterator[Process]:
        """Yield the predefined process of that name; of a stored one, all predefined processes in it."""
        seen: set[str] = set()
        waiting = [process]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self._registry.store["predefined"]:
                found = self._registry.store["predefined"][name]
                yield found
                if found.implementation is None:  # a ready-made graph
                    waiting.extend(names_in(found.spec).processes)
            elif name in self._registry.store.get("user", {}):
                waiting.extend(names_in(self._registry.store["user"][name].spec).processes)


class _Stored(Mapping[str, Process]):
    """A user's stored processes as a namespace of a registry, each read when it is first named."""

    def __init__(self, store: GraphStore, user: str) -> None:
        self._store = store
        self._user = user
        self._read: dict[str, Process] = {}

    def __getitem__(self, identifier: str) -> Process:
        if identifier not in self._read:
            stored = self._store.find(self._user, identifier)
            if stored is None:
                raise KeyError(identifier)
            self._read[identifier] = Process(spec={**stored.process, "id": identifier}, namespace="user")
        return self._read[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.ids(self._user))

    def __len__(self) -> int:
        return len(self._store.ids(self._user))
