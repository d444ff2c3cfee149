"""What an evaluation of a process graph knows beside the graph itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Protocol

from processes.fetch.rules import FetchRules

if TYPE_CHECKING:
    import xarray as xr

    from processes.machine_learning.store import ModelStore
    from processes.sources import Catalog
    from udf import ModelReference


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


@dataclass
class Ledger:
    """What the evaluation of one graph would cost and has said; filled while the graph is built.

    `cubes` are the lazy rasters that were loaded from elsewhere than the catalogue's collections.
    """

    embeddings: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    cubes: list[xr.DataArray] = field(default_factory=list)

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
    `fetch` are the rules under which URLs of the graph may be fetched.
    """

    catalog: Catalog
    models: ModelCatalog
    parameters: Mapping[str, Any] = field(default_factory=dict)
    halo: Halo | None = None
    ledger: Ledger = field(default_factory=Ledger)
    ml_models: ModelStore | None = None
    files: UserFiles | None = None
    fetch: FetchRules = field(default_factory=FetchRules)

    def with_halo(self, halo: Halo | None) -> Environment:
        """Return the environment in which loads reach `halo` further."""
        return replace(self, halo=halo)
