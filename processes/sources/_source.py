"""A collection on one grid: the source that Zarr archives and NetCDF patches both become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import rioxarray  # noqa: F401  (and `.rio`)
import xarray as xr

from processes.sources._bands import Band, band_coordinates, cube_dtype, select_bands
from processes.sources._blocks import BlockReader, StorageChunks, StoredCube, lazy
from processes.sources._grid import Grid, Window
from processes.sources._items import Acquisition, Items, summarise
from processes.sources._stac import Description, collection
from processes.sources.base import LoadRequest

# Side of the block that a check reads, in pixels.
_PROBE = 16
# Neither reflectance nor backscatter is typically above this: the scale must be wrong.
_LARGEST_VALUE = 2.0


@dataclass(frozen=True, eq=False)
class GridSource:
    """A collection of items on one grid; see `processes.sources.CollectionSource`.

    `short_name` is the collection's name within its folder. `notes` are what was odd when it was opened; `check`
    reports them.
    """

    id: str
    short_name: str
    description: Description
    bands: tuple[Band, ...]
    grid: Grid
    items: Items
    reader: BlockReader
    storage: StorageChunks
    notes: tuple[str, ...] = ()

    @cached_property
    def acquisitions(self) -> tuple[Acquisition, ...]:
        """Return the passes in order of time."""
        return self.items.acquisitions(self.grid.longitude)

    def metadata(self) -> dict[str, Any]:
        """Return the STAC collection."""
        first, last = self.acquisitions[0].time, self.acquisitions[-1].time
        return collection(self.id, self.description, self.bands, self.grid, (first, last), self.properties())

    def properties(self) -> dict[str, dict[str, Any]]:
        """Return the item properties with type, and values or minimum and maximum."""
        return {name: summarise(values) for name, values in self.items.properties.items()}

    def load(self, request: LoadRequest) -> xr.DataArray:
        """Return the lazy cube ``(t, bands, y, x)`` of `request`."""
        halo = request.halo
        bands = select_bands(self.bands, request.bands)
        window = self.grid.window(request.bbox, 0 if halo is None else halo.pixels)
        passes = self.items.select(self.acquisitions, request.interval, request.properties, halo)
        return self._cube(bands, window, passes)

    def check(self) -> list[str]:
        """Read a small block of each band from the middle; return what is wrong."""
        return [*self.notes, *self._check_blocks()]

    def _cube(self, bands: Sequence[Band], window: Window, passes: Sequence[Acquisition]) -> xr.DataArray:
        stored = StoredCube(self.reader, tuple(p.items for p in passes), tuple(bands), window, cube_dtype(bands))
        coordinates = {
            "t": np.array([p.time for p in passes], dtype="datetime64[ns]"),
            "bands": np.array([band.name for band in bands]),
            "y": self.grid.y[slice(*window.rows)],
            "x": self.grid.x[slice(*window.cols)],
            "spatial_ref": self.grid.spatial_ref(),
            **{name: ("bands", values) for name, values in band_coordinates(bands, self.bands).items()},
        }
        data = lazy(stored, self.storage)
        # Unnamed: xarray would take the Dask array's name over.
        return xr.DataArray(data, dims=("t", "bands", "y", "x"), coords=coordinates).rename(None)

    def _check_blocks(self) -> Iterator[str]:
        rows, cols = _middle(len(self.grid.y)), _middle(len(self.grid.x))
        newest, oldest = self.acquisitions[-1].items[0], self.acquisitions[0].items[0]
        for band in self.bands:
            # Whatever a damaged file makes the storage libraries raise is what a check is there to report.
            try:
                (values,) = self.reader.read([band], np.array([oldest, newest]), rows, cols)
            except Exception as error:
                yield f"band {band.name} cannot be read: {type(error).__name__}: {error}"
                continue
            valid = values[~band.missing(values)]
            typical = float(np.median(valid)) if valid.size else 0.0
            if band.scaled and typical > _LARGEST_VALUE:
                yield f"band {band.name} holds values about {typical:.4g} once scaled; expected are at most about 1"


def _middle(size: int) -> tuple[int, int]:
    start = max(size // 2 - _PROBE // 2, 0)
    return (start, min(start + _PROBE, size))
