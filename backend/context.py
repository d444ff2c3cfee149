"""What the routes work with: the settings and the services, hung on the application by `create_app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Protocol

from flask import current_app, request

from backend.settings import Settings
from backend.sync.logs import RequestLogs

if TYPE_CHECKING:
    from backend.auth.store import UserStore
    from backend.sync.cluster import Cluster
    from processes.environment import Environment, ModelCatalog
    from processes.sources import Catalog

KEY = "openeo_embed"


class GraphEngine(Protocol):
    """What `processes.graph` does with a process graph."""

    def check(self, process: Mapping[str, Any]) -> Any:
        """Return the checked graph of a process; structural faults are `OpenEOError`s."""
        ...

    def validate(self, process: Mapping[str, Any]) -> list[Any]:
        """Return all faults of a process that can be found without running it, as `OpenEOError`s."""
        ...

    def evaluate(self, graph: Any, env: Environment) -> Any:
        """Return the lazy value of the graph's result node."""
        ...


@dataclass(frozen=True)
class Services:
    """What the server works with, made by `backend.services.build_services` or by a test."""

    catalog: Catalog
    models: ModelCatalog
    specs: Callable[[], list[dict[str, Any]]]
    graphs: GraphEngine
    users: UserStore
    cluster: Cluster


@dataclass(frozen=True)
class Context:
    """Settings and services of one application; `slots` are the synchronous requests that it computes at once."""

    settings: Settings
    services: Services
    slots: BoundedSemaphore
    logs: RequestLogs

    def url(self, path: str) -> str:
        """Return the absolute URL of `path`, which starts with a slash, as clients reach it."""
        return (self.settings.public_url or request.url_root).rstrip("/") + path


def current() -> Context:
    """Return the context of the application that serves the current request."""
    return current_app.extensions[KEY]  # type: ignore[no-any-return]
