"""What an evaluation of a process graph knows beside the graph itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from processes.fetch.rules import FetchRules

if TYPE_CHECKING:
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


@dataclass
class Ledger:
    """What the evaluation of one graph would cost and has said; filled while the graph is built."""

    embeddings: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Environment:
    """Everything that process implementations may ask for; see `Halo` for `halo`.

    `ml_models` are the trained models of the user who asks, None where none are kept.
    `fetch` are the rules under which URLs of the graph may be fetched.
    """

    catalog: Catalog
    models: ModelCatalog
    parameters: Mapping[str, Any] = field(default_factory=dict)
    halo: Halo | None = None
    ledger: Ledger = field(default_factory=Ledger)
    ml_models: ModelStore | None = None
    fetch: FetchRules = field(default_factory=FetchRules)

    def with_halo(self, halo: Halo | None) -> Environment:
        """Return the environment in which loads reach `halo` further."""
        return replace(self, halo=halo)
