"""What a collection source and a catalog are: the seam between process implementations and stored data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import xarray as xr

from processes.environment import Halo
from processes.sources.extents import Bbox


@dataclass(frozen=True)
class LoadRequest:
    """Which part of a collection to load; every None means "all of it".

    Parameters
    ----------
    bbox : Bbox, optional
        Pixels whose centres lie inside, in any CRS.
    interval : (datetime64[ns] or None, datetime64[ns] or None), optional
        Left-closed, right-open, UTC; None on one side leaves that side open.
    bands : tuple of str, optional
        Names or common names, in the order wanted.
    properties : mapping of str to predicate
        Conditions on the items' STAC properties; an item counts when each returns true.
    halo : Halo, optional
        How much further to load round what was asked for, as far as the collection reaches.
    """

    bbox: Bbox | None = None
    interval: tuple[np.datetime64 | None, np.datetime64 | None] | None = None
    bands: tuple[str, ...] | None = None
    properties: Mapping[str, Callable[[Any], bool | None]] = field(default_factory=dict)
    halo: Halo | None = None


class CollectionSource(Protocol):
    """A collection that can be described and loaded."""

    @property
    def id(self) -> str:
        """Return the collection id."""
        ...

    def metadata(self) -> dict[str, Any]:
        """Return the complete STAC collection, except for its links (an empty list)."""
        ...

    def properties(self) -> dict[str, dict[str, Any]]:
        """Return the item properties that can be filtered by: type, and values or minimum and maximum."""
        ...

    def load(self, request: LoadRequest) -> xr.DataArray:
        """Return a lazy cube ``(t, bands, y, x)``; `OpenEOError` where nothing matches `request`."""
        ...

    def check(self) -> list[str]:
        """Read a small block of each band; return what is wrong, one sentence each."""
        ...


def bands_of(source: CollectionSource) -> list[str]:
    """Return the names of a collection's bands."""
    names: list[str] = source.metadata()["cube:dimensions"]["bands"]["values"]
    return names


def first_with(sources: Iterable[CollectionSource], bands: Iterable[str]) -> CollectionSource | None:
    """Return the first of some collections that has all of the bands; None where none has."""
    wanted = set(bands)
    return next((source for source in sources if wanted <= set(bands_of(source))), None)


class Catalog(Protocol):
    """The collections of a back-end."""

    def get(self, collection_id: str, /) -> CollectionSource:
        """Return the collection; `OpenEOError` CollectionNotFound names the known ids."""
        ...

    def ids(self) -> list[str]:
        """Return the ids of all collections."""
        ...
