"""What an evaluation of a process graph knows beside the graph itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from dask.base import is_dask_collection

from processes.fetch.rules import FetchRules
from udf.cluster import CALLS

if TYPE_CHECKING:
    import xarray as xr

    from processes.graph.surroundings import Surroundings
    from processes.machine_learning.store import ModelStore
    from processes.sources import Catalog
    from udf import ModelReference
    from udf.rules import UserCodeRules


@dataclass(frozen=True)
class Halo:
    """How far round a pixel and date a process looks: `pixels` on each side, `days` before and after."""

    pixels: int
    days: float


class ModelCatalog(Protocol):
    """The models that a back-end offers."""

    def get(self, name: str | None) -> ModelReference:
        """Return the model of that name, the default one for None; `OpenEOError` ModelNotFound lists the names."""
        ...


class UserFiles(Protocol):
    """The files that a user has uploaded. Picklable: workers open them again, later."""

    def open(self, path: str) -> IO[bytes]:
        """Open a file on disk, following no link; `OpenEOError` FileNotFound where the user has none there."""
        ...


class ResultFiles(Protocol):
    """The files of a batch job that has finished. Picklable: workers open them again, later."""

    @property
    def assets(self) -> Mapping[str, Mapping[str, Any]]:
        """What is known of each file, by its name: the fields of a STAC asset, without its link."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file on disk; `OpenEOError` FileNotFound where it is gone."""
        ...


class UserResults(Protocol):
    """The results of a user's own batch jobs."""

    def of(self, job: str) -> ResultFiles:
        """Return the results of a job; `OpenEOError` JobNotFound, JobNotStarted, JobNotFinished, NoDataAvailable."""
        ...

    def at(self, url: str) -> ResultFiles | None:
        """Return the results at a URL of this back-end that the user may read; None for any other URL."""
        ...


# A graph whose callbacks say something for each element could fill a log without end.
MOST_MESSAGES = 1000
LONGEST_MESSAGE = 10_000


def never() -> None:
    """Stop nothing."""


@dataclass
class Ledger:
    """What the evaluation of one graph would cost and has said; filled while the graph is built.

    `cubes` are the lazy rasters that were loaded from elsewhere than the catalogue's collections. `said` counts the
    messages: from the first `MOST_MESSAGES` on they are left out, and one more says so. `topic` is the name under which
    tasks on workers send further messages. `made_by` and `nodes` tell which process, and which node of the user's, has
    made a part of the Dask graph, by the token at the end of the part's name.
    """

    embeddings: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    cubes: list[xr.DataArray] = field(default_factory=list)
    said: int = 0
    topic: str = field(default_factory=lambda: CALLS + uuid4().hex)
    runs_code: bool = False
    made_by: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)

    def has_room(self) -> bool:
        """Whether a further message is kept."""
        return self.said < MOST_MESSAGES

    def say(self, entry: Mapping[str, Any]) -> None:
        """Keep a message, with `level`, `message` and what else an entry of a log has; long texts are cut."""
        self.said += 1
        if self.said > MOST_MESSAGES + 1:
            return
        if self.said == MOST_MESSAGES + 1:
            entry = {"level": "warning", "message": f"Further messages are left out: there were {MOST_MESSAGES}."}
        self.messages.append({**entry, "message": str(entry.get("message", ""))[:LONGEST_MESSAGE]})

    def trace(self, process: str, value: Any, node: str = "") -> None:
        """Remember that a process, at that node, has made what is new in the Dask graph of its value."""
        graph = value.__dask_graph__() if is_dask_collection(value) else None
        for name in getattr(graph, "layers", ()):
            token = str(name).rsplit("-", 1)[-1]
            self.made_by.setdefault(token, process)
            self.nodes.setdefault(token, node)

    def note(self, cube: xr.DataArray) -> xr.DataArray:
        """Return a cube that was loaded; a lazy one is counted."""
        if cube.chunks is not None:
            self.cubes.append(cube)
        return cube


@dataclass(frozen=True)
class Environment:
    """Everything that process implementations may ask for; see `Halo` for `halo`.

    `ml_models` are the trained models of the user who asks, None where none are kept.
    `files` are those that this user has uploaded, None for whoever has not logged in.
    `results` are those of this user's batch jobs, None for whoever has not logged in.
    `fetch` are the rules under which URLs of the graph may be fetched.
    `stop` is called before each node; it raises whatever ends the evaluation, such as that its time is up.
    `around` is what a callback knows of the cube that it is called for, None outside of callbacks.
    `udf` says whether and how users' code is run, None where it is not.
    """

    catalog: Catalog
    models: ModelCatalog
    parameters: Mapping[str, Any] = field(default_factory=dict)
    halo: Halo | None = None
    ledger: Ledger = field(default_factory=Ledger)
    ml_models: ModelStore | None = None
    files: UserFiles | None = None
    results: UserResults | None = None
    fetch: FetchRules = field(default_factory=FetchRules)
    stop: Callable[[], None] = never
    around: Surroundings | None = None
    udf: UserCodeRules | None = None

    def within(self, around: Surroundings | None) -> Environment:
        """Return the environment of a callback that is evaluated in such surroundings."""
        return self if around is None else replace(self, around=around.within(self.around))

    def with_halo(self, halo: Halo | None) -> Environment:
        """Return the environment in which loads reach `halo` further."""
        return replace(self, halo=halo)
