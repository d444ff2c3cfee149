"""NetCDF files of a patch, read block by block and brought to the collection's grid by nearest neighbour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from processes.sources._bands import Band
from processes.sources._grid import Grid, Span

# The format's factor where a file does not state it: reflectance and decibels are both stored as value / 1e-4.
DEFAULT_SCALE = 1e-4


@dataclass(frozen=True)
class StoredVariable:
    """How a variable is stored: physical = stored * scale, except where it is `fill`."""

    dtype: str
    scale: float
    fill: float
    decibel: bool


@dataclass(frozen=True, eq=False)
class PatchFile:
    """What one NetCDF file ``(timestamp, y, x)`` holds, when and where."""

    path: str
    variables: Mapping[str, StoredVariable]
    time: NDArray[np.datetime64]
    grid: Grid


@dataclass(frozen=True, eq=False)
class Layer:
    """How one file fills the collection: its index per item, row and column; -1 where it has nothing."""

    path: str
    variables: Mapping[str, StoredVariable]
    items: NDArray[np.intp]
    rows: NDArray[np.intp]
    cols: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class PatchReader:
    """Reads bands from the files of all layers, which are opened and closed in each call."""

    layers: tuple[Layer, ...]
    changed: int

    def token(self) -> tuple[Any, ...]:
        """Return paths and time of change."""
        return (*(layer.path for layer in self.layers), self.changed)

    def read(self, bands: Sequence[Band], items: NDArray[np.intp], rows: Span, cols: Span) -> Iterator[NDArray[Any]]:
        """Yield the decoded values (items, rows, cols) of each band."""
        shape = (len(items), rows[1] - rows[0], cols[1] - cols[0])
        for band in bands:
            values = np.zeros(shape, band.dtype) if band.is_class else np.full(shape, np.nan, np.float32)
            for layer in self.layers:
                if band.name in layer.variables:
                    _fill(values, layer, band.name, items, rows, cols)
            yield values


def inspect(path: str, *, decibel: bool) -> PatchFile:
    """Return what the file holds; KeyError or IndexError when it is of another format."""
    # netCDF-C is not thread-safe, so all access, metadata too, holds the lock that xarray's own readers take.
    with NETCDF4_PYTHON_LOCK, netCDF4.Dataset(path) as stored:
        stored.set_auto_maskandscale(False)
        variables = {
            name: _describe(variable, decibel)
            for name, variable in stored.variables.items()
            if variable.dimensions == ("timestamp", "y", "x")
        }
        stamps, x, y = stored["timestamp"], stored["x"][:], stored["y"][:]
        encoded = xr.Variable("t", stamps[:], {k: stamps.getncattr(k) for k in stamps.ncattrs()})
        crs = stored["spatial_ref"].getncattr("crs_wkt")
    time = xr.decode_cf(xr.Dataset(coords={"t": encoded}))["t"].to_numpy().astype("datetime64[ns]")
    return PatchFile(path, variables, time, Grid.of(x, y, crs))


def layer(file: PatchFile, times: NDArray[np.datetime64], grid: Grid) -> Layer:
    """Return how `file` fills a collection of these times on `grid`."""
    rows, cols = nearest(file.grid.y, grid.y), nearest(file.grid.x, grid.x)
    return Layer(file.path, file.variables, matching(file.time, times), rows, cols)


def nearest(centres: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return, per target coordinate, the index of the cell that it lies in; -1 where it lies in none.

    `centres` are evenly spaced cell centres, rising or falling.
    """
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    index = np.floor((targets - centres[0]) / step + 0.5).astype(np.intp)
    return np.where((index >= 0) & (index < len(centres)), index, -1)


def matching(available: NDArray[np.datetime64], wanted: NDArray[np.datetime64]) -> NDArray[np.intp]:
    """Return, per wanted time, its index among the available ones; -1 where it is not there."""
    order = np.argsort(available)
    slot = np.minimum(np.searchsorted(available, wanted, sorter=order), len(available) - 1)
    return np.where(available[order[slot]] == wanted, order[slot], -1)


def _describe(variable: Any, decibel: bool) -> StoredVariable:
    scale = float(getattr(variable, "scale_factor", DEFAULT_SCALE))
    fill = float(getattr(variable, "_FillValue", 0))
    return StoredVariable(str(variable.dtype), scale, fill, decibel)


def _fill(values: NDArray[Any], source: Layer, name: str, items: NDArray[np.intp], rows: Span, cols: Span) -> None:
    wanted = [source.items[items], source.rows[slice(*rows)], source.cols[slice(*cols)]]
    found = [index[index >= 0] for index in wanted]
    if not all(len(index) for index in found):
        return
    hull = tuple(slice(int(index.min()), int(index.max()) + 1) for index in found)
    with NETCDF4_PYTHON_LOCK, netCDF4.Dataset(source.path) as stored:
        stored.set_auto_maskandscale(False)
        raw = stored[name][hull]
    picked = raw[np.ix_(*(index - index.min() for index in found))]
    if values.dtype.kind == "f":
        picked = _physical(picked, source.variables[name])
    values[np.ix_(*(index >= 0 for index in wanted))] = picked


def _physical(raw: NDArray[Any], variable: StoredVariable) -> NDArray[np.float32]:
    """Return reflectance, or linear power from decibels; NaN for the fill value."""
    values = raw * variable.scale
    if variable.decibel:
        values = 10.0 ** (values / 10.0)
    return np.where(raw == variable.fill, np.nan, values).astype(np.float32)
