"""What the routes work with: the settings and the services, hung on the application by `create_app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Protocol

from flask import current_app, request

from backend.metrics.requests import RequestMeters
from backend.metrics.speeds import MemorySpeeds, Speeds
from backend.rooms import Room
from backend.settings import Settings
from backend.sync.logs import RequestLogs
from processes.fetch.rules import FetchRules

if TYPE_CHECKING:
    from backend.auth.store import UserStore
    from backend.files import Workspaces
    from backend.graphs import GraphStore
    from backend.jobs.storage import ResultStorage
    from backend.jobs.store import JobStore
    from backend.signing import Signer
    from backend.sync.seam import Cluster
    from processes.environment import Environment, ModelCatalog
    from processes.machine_learning.store import ModelStore
    from processes.sources import Catalog
    from udf.rules import UserCodeRules

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

    def categories(self, process: str) -> set[str]:
        """Return the categories of a process; of a stored one, those of all processes in it."""
        ...

    def looks_around(self, process: str) -> bool:
        """Whether a process, or one within it, looks at more than it is given."""
        ...


class GraphEngines(Protocol):
    """The graph engines of all users: each sees the predefined processes and those that the user has stored."""

    def of(self, user: str | None) -> GraphEngine:
        """Return the engine of a user; None is whoever has not logged in."""
        ...


@dataclass(frozen=True)
class Services:
    """What the server works with, made by `backend.services.build_services` or by a test.

    `ml_models` gives the trained models of a user; None where none are kept.
    `fetch` are the rules for URLs that users name, `speeds` how fast the cluster has been.
    `udf` says whether and how users' code is run; None where it is not.
    """

    catalog: Catalog
    models: ModelCatalog
    specs: Callable[[], list[dict[str, Any]]]
    graphs: GraphEngines
    users: UserStore
    cluster: Cluster
    stored: GraphStore
    jobs: JobStore
    results: ResultStorage
    files: Workspaces
    signer: Signer
    ml_models: Callable[[str], ModelStore] | None = None
    fetch: FetchRules = field(default_factory=FetchRules)
    udf: UserCodeRules | None = None
    speeds: Speeds = field(default_factory=MemorySpeeds)


@dataclass(frozen=True)
class Context:
    """Settings and services of one application.

    `slots` are the synchronous requests that it computes at once, `planning` is where graphs are built for validations
    and estimates.
    """

    settings: Settings
    services: Services
    slots: BoundedSemaphore
    logs: RequestLogs
    planning: Room
    meters: RequestMeters

    def url(self, path: str) -> str:
        """Return the absolute URL of `path`, which starts with a slash, as clients reach it."""
        return (self.settings.public_url or request.url_root).rstrip("/") + path


def current() -> Context:
    """Return the context of the application that serves the current request."""
    return current_app.extensions[KEY]  # type: ignore[no-any-return]
