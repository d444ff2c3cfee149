"""The real services of a server. Importing this loads the process library; only web processes do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.auth.opening import open_users
from backend.context import Services
from backend.settings import Settings
from backend.sync.cluster import DaskCluster
from models.folders import PACKAGED
from processes.environment import Environment
from processes.errors import OpenEOError
from processes.graph import GraphLimits, check_graph, evaluate, validate_graph
from processes.registry import build_registry
from processes.sources import FileCatalog
from udf import ModelShelf


class Graphs:
    """Process graphs checked and evaluated with the processes of one registry."""

    def __init__(self, registry: Any, limits: GraphLimits) -> None:
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


def build_services(settings: Settings, scheduler: str) -> Services:
    """Make the services of one web process, which computes on the Dask scheduler at that address."""
    registry = build_registry()
    specs = sorted((process.spec for process in registry["predefined", None].values()), key=lambda spec: spec["id"])
    return Services(
        catalog=FileCatalog(settings.data / "catalog.json"),
        models=ModelShelf([PACKAGED, settings.data / "models"], settings.model),
        specs=lambda: specs,
        graphs=Graphs(registry, GraphLimits()),
        users=open_users(settings),
        cluster=DaskCluster(scheduler),
    )
