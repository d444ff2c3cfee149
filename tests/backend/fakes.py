"""Services that need no cluster, no archive and no process library: what the routes do with them is what is tested."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import rioxarray  # noqa: F401
import xarray as xr
from argon2 import PasswordHasher

from backend.auth import UserStore
from backend.context import Services
from backend.files import Workspaces
from backend.graphs import SqlGraphStore
from backend.jobs.sql_store import SqlJobStore
from backend.jobs.storage import LocalStorage
from backend.settings import Settings, read_settings
from backend.signing import Signer
from backend.state import Database
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from backend.sync.seam import Progress
from processes.environment import Environment
from processes.errors import OpenEOError
from processes.save import SaveRequest
from processes.sources import LoadRequest

PASSWORD = "correct horse"
# The costs of a real hash are what makes it safe, and tests slow.
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
METADATA = {
    "stac_version": "1.1.0",
    "stac_extensions": [],
    "type": "Collection",
    "id": "FAKE",
    "title": "A fake",
    "description": "Made of ones.",
    "license": "CC-BY-4.0",
    "extent": {
        "spatial": {"bbox": [[3.0, 50.0, 3.1, 50.1]]},
        "temporal": {"interval": [["2022-01-01T00:00:00Z", "2022-12-31T00:00:00Z"]]},
    },
    "cube:dimensions": {"t": {"type": "temporal", "extent": ["2022-01-01T00:00:00Z", "2022-12-31T00:00:00Z"]}},
    "summaries": {},
    "links": [{"rel": "license", "href": "https://creativecommons.org/licenses/by/4.0/"}],
}


def cube(times: int = 2, bands: tuple[str, ...] = ("B04", "B08"), size: int = 8, chunk: int = 4) -> xr.DataArray:
    """Return a lazy cube (t, bands, y, x) on a 10 m grid whose values are 0, 1, 2, ...; the first pixel is missing."""
    values = np.arange(times * len(bands) * size * size, dtype=np.float32).reshape(times, len(bands), size, size)
    values[..., 0, 0] = np.nan
    cube = xr.DataArray(
        da.from_array(values, chunks=(1, len(bands), chunk, chunk)),
        dims=("t", "bands", "y", "x"),
        coords={
            "t": np.datetime64("2022-06-01", "ns") + np.arange(times) * np.timedelta64(5, "D"),
            "bands": list(bands),
            "y": 5_650_000.0 - 10 * np.arange(size) - 5,
            "x": 500_000.0 + 10 * np.arange(size) + 5,
        },
    )
    return cube.rio.write_crs(32631)


class FakeSource:
    """One collection made of `cube()`."""

    id = "FAKE"

    def metadata(self) -> dict[str, Any]:
        return METADATA

    def properties(self) -> dict[str, dict[str, Any]]:
        return {"eo:cloud_cover": {"type": "number", "minimum": 0, "maximum": 90}}

    def load(self, request: LoadRequest) -> xr.DataArray:
        return cube()

    def check(self) -> list[str]:
        return []


class FakeCatalog:
    """A catalogue with one collection."""

    def get(self, collection_id: str, /) -> FakeSource:
        if collection_id != "FAKE":
            message = f"Collection '{collection_id}' does not exist; known collections: FAKE."
            raise OpenEOError("CollectionNotFound", message)
        return FakeSource()

    def ids(self) -> list[str]:
        return ["FAKE"]


class FakeGraphs:
    """A "process" is the name of one of `values` in the graph's only node; its arguments are passed on."""

    def __init__(self, values: Mapping[str, Callable[..., Any]]) -> None:
        self.values = dict(values)

    def of(self, user: str | None) -> FakeGraphs:
        return self

    def check(self, process: Mapping[str, Any]) -> Any:
        (node,) = process["process_graph"].values()
        if node["process_id"] not in self.values:
            raise OpenEOError("ProcessUnsupported", f"Process '{node['process_id']}' is not there.")
        return node

    def validate(self, process: Mapping[str, Any]) -> list[OpenEOError]:
        try:
            self.check(process)
        except OpenEOError as error:
            return [error]
        return []

    def categories(self, process: str) -> set[str]:
        return set()

    def looks_around(self, process: str) -> bool:
        return False

    def evaluate(self, graph: Any, env: Environment) -> Any:
        return self.values[graph["process_id"]](env, **graph.get("arguments", {}))


def fake_processes() -> dict[str, Callable[..., Any]]:
    """Return the values that tests ask for by name."""

    def save(env: Environment, format: str, options: dict[str, Any] | None = None, **which: Any) -> SaveRequest:
        return SaveRequest(cube(**which), format, options or {})

    def boom(env: Environment) -> Any:
        raise ZeroDivisionError("a secret of the server")

    def embed(env: Environment, count: int) -> Any:
        env.ledger.embeddings += count
        return 1

    return {
        "load": lambda env: env.catalog.get("FAKE").load(LoadRequest()),
        "corner": lambda env: env.catalog.get("FAKE").load(LoadRequest()).isel(x=slice(0, 2), y=slice(0, 2)),
        "save": save,
        "number": lambda env: 4.5,
        "list": lambda env: [None, 1, True, float("nan")],
        "boom": boom,
        "embed": embed,
        "two": lambda env: {"mean": env.catalog.get("FAKE").load(LoadRequest()).mean(), "count": 3},
    }


@dataclass
class FakeCluster:
    """Computes in this process; remembers what it was asked."""

    asked: list[SyncRequest] = field(default_factory=list)
    alive: int | None = 1
    delay: float = 0.0

    def compute(self, asked: SyncRequest, value: Any, deadline: Deadline, nodes: Any = None) -> Any:
        self.asked.append(asked)
        end = time.monotonic() + self.delay
        while time.monotonic() < end:
            deadline.check()
            time.sleep(0.01)
        return dask.compute(value, scheduler="synchronous")[0]

    def listening(self, topic: str, hear: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def notes(self, asked: SyncRequest) -> list[dict[str, str]]:
        return []

    def spent(self, asked: SyncRequest) -> dict[str, float]:
        return {}

    def threads(self) -> int:
        return self.alive or 0

    def memory(self) -> int:
        return 123 * 2**20

    def progress(self, user: str, kind: str = "request") -> list[Progress]:
        everyone = {"anna": Progress("a1", 0.0, 3, 12), "ben": Progress("b1", 0.0, 0, 0)}
        return [everyone[user]] if user in everyone else []

    def workers(self) -> int | None:
        return self.alive


def fake_services(folder: Path) -> Services:
    """Return services with the users anna and ben, whose password is `PASSWORD`."""
    database = Database(f"sqlite:///{folder / 'users.sqlite'}")
    users = UserStore(database, login_attempts=3, hasher=CHEAP)
    for name in ("anna", "ben"):
        users.add(name, PASSWORD)
    spec = {"id": "load", "summary": "s", "description": "d", "parameters": [], "returns": {"schema": {}}}
    return Services(
        catalog=FakeCatalog(),
        models=None,  # type: ignore[arg-type]
        specs=lambda: [spec],
        graphs=FakeGraphs(fake_processes()),
        users=users,
        cluster=FakeCluster(),
        stored=SqlGraphStore(database),
        jobs=SqlJobStore(database),
        results=LocalStorage(folder / "results"),
        files=Workspaces(folder / "files", file_bytes=10_000, quota=25_000),
        signer=Signer(b"a key", 3600),
    )


def settings_in(folder: Path, **flags: Any) -> Settings:
    """Return settings for a test's own folder, untouched by the environment."""
    return read_settings({}, data=folder, **flags)


def graph(name: str, **arguments: Any) -> dict[str, Any]:
    """Return the body of `POST /result` that asks for one of `fake_processes`."""
    node = {"process_id": name, "arguments": arguments, "result": True}
    return {"process": {"process_graph": {"node": node}}}
