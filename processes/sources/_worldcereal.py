"""Patches of the WorldCereal reference data: a folder of NetCDF files, one per sensor and pixel size.

A folder becomes up to two collections on a 10 m grid, Sentinel-2 L2A and Sentinel-1 GRD. Coarser bands are repeated
by coordinates: a 10 m pixel takes the value of the 20 m pixel that its centre lies in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processes.errors import OpenEOError
from processes.sources._bands import Band
from processes.sources._blocks import StorageChunks
from processes.sources._grid import Grid
from processes.sources._items import Items
from processes.sources._patch_reader import PatchFile, PatchReader, inspect, layer
from processes.sources._source import GridSource
from processes.sources._worldcereal_tables import CLOUDS, SENTINEL1, SENTINEL2, Sensor

SENSORS = {sensor.product: sensor for sensor in (SENTINEL2, SENTINEL1)}
_FILE = re.compile(r"(S2_L2A|S1_GRD)(?:[-_](ascending|descending))?_\d+m", re.IGNORECASE)
_PIXEL = 10.0


def products(path: Path) -> list[str]:
    """Return the products of which the folder has files, of "S2_L2A" and "S1_GRD"."""
    return [product for product in SENSORS if _files(path, product)]


def changed(path: Path) -> int:
    """Return when the newest of the folder's files was written (ns)."""
    files = [file for product in SENSORS for file in _files(path, product)]
    return max((file.stat().st_mtime_ns for file in files), default=0)


def open_patch(product: str, path: Path, collection_id: str | None = None) -> GridSource:
    """Return one product's collection of the folder; `OpenEOError` FileContentInvalid says what is wrong."""
    sensor = SENSORS[product]
    try:
        files = [inspect(str(file), decibel=sensor.decibel) for file in _files(path, product)]
        return _source(sensor, path, files, collection_id)
    except (AttributeError, LookupError, ValueError) as error:
        message = f"The {product} files in {path} are not a collection that can be served: {error}."
        raise OpenEOError("FileContentInvalid", message) from error


def kind(product: str) -> str:
    """Return the name that a catalog gives to this kind of source: worldcereal-s2-l2a, worldcereal-s1-grd."""
    return f"worldcereal-{product.lower().replace('_', '-')}"


def default_id(path: Path, sensor: Sensor) -> str:
    """Return FOLDERNAME_SENTINEL2_L2A or FOLDERNAME_SENTINEL1_GRD."""
    folder = re.sub(r"[^\w.~-]+", "_", path.name)
    return f"{folder}_{sensor.suffix}".upper()


def _files(path: Path, product: str) -> list[Path]:
    """Return the product's files by name; none where `path` is no folder."""
    named = ((file, _FILE.search(file.name)) for file in sorted(path.glob("*.nc")))
    return [file for file, name in named if name is not None and name[1].upper() == product]


def _source(sensor: Sensor, path: Path, files: Sequence[PatchFile], collection_id: str | None) -> GridSource:
    if not files:
        raise ValueError("there are none")
    grid, times = _target_grid(files), _timeline(sensor, files)
    reader = PatchReader(tuple(layer(file, times, grid) for file in files), changed(path))
    bands, missing = _bands(sensor, files)
    shape = (len(grid.y), len(grid.x))
    data = {band.name: _whole(reader, band, len(times), shape) for band in bands}
    source = GridSource(
        id=collection_id or default_id(path, sensor),
        short_name=sensor.suffix,
        description=sensor.describe(path.name, missing),
        bands=tuple(_with_range(band, data[band.name]) for band in bands),
        grid=grid,
        items=Items(times, _properties(sensor, files, reader, data)),
        reader=reader,
        storage=StorageChunks(shape, shape),
        notes=tuple(_notes(files, times, missing)),
    )
    _ = source.acquisitions  # passes that cannot be told apart are an error here, not at the first request
    return source


def _target_grid(files: Sequence[PatchFile]) -> Grid:
    """Return the grid of the finest file, its cells divided where they are larger than 10 m."""
    grid = min((file.grid for file in files), key=lambda grid: grid.step)
    if any(file.grid.crs != grid.crs for file in files):
        raise ValueError("the files are in several CRS")
    parts = max(round(grid.step[0] / _PIXEL), 1)
    return Grid.of(_divided(grid.x, parts), _divided(grid.y, parts), grid.crs)


def _divided(centres: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    offsets = (np.arange(parts) - (parts - 1) / 2) / parts * step
    return np.ravel(centres[:, None] + offsets)


def _timeline(sensor: Sensor, files: Sequence[PatchFile]) -> NDArray[np.datetime64]:
    """Return the items' times: those that all files share, or, where files hold other orbits, all of them."""
    for file in files:
        if len(np.unique(file.time)) != len(file.time):
            raise ValueError(f"{Path(file.path).name} has a time twice")
    combine: Any = np.intersect1d if sensor.files_share_times else np.union1d
    times = np.asarray(reduce(combine, [file.time for file in files]), dtype="datetime64[ns]")
    times.sort()
    if not len(times):
        raise ValueError("the files have no time in common")
    return times


def _bands(sensor: Sensor, files: Sequence[PatchFile]) -> tuple[list[Band], list[str]]:
    """Return the bands that the files have, and the names of those that they lack."""
    stored = {name: variable for file in files for name, variable in file.variables.items()}
    bands = [replace(b, dtype=stored[b.name].dtype) for b in sensor.bands if b.name in stored]
    missing = [band.name for band in sensor.bands if band.name not in stored]
    if not bands:
        raise ValueError(f"they have none of the bands {', '.join(missing)}")
    return bands, missing


def _whole(reader: PatchReader, band: Band, items: int, shape: tuple[int, int]) -> NDArray[Any]:
    """Return all values of a band; patches are a few megabytes."""
    (values,) = reader.read([band], np.arange(items), (0, shape[0]), (0, shape[1]))
    return values


def _with_range(band: Band, values: NDArray[Any]) -> Band:
    valid = values[~band.missing(values)]
    if not valid.size:
        return band
    return replace(band, minimum=valid.min().item(), maximum=valid.max().item())


def _properties(
    sensor: Sensor, files: Sequence[PatchFile], reader: PatchReader, data: dict[str, NDArray[Any]]
) -> dict[str, Sequence[Any]]:
    found: dict[str, Sequence[Any]] = {}
    if "SCL" in data:
        found["eo:cloud_cover"] = cloud_cover(data["SCL"])
    if not sensor.files_share_times:
        found["sat:orbit_state"] = _orbit_states(files, reader)
    return found


def cloud_cover(classes: NDArray[Any]) -> tuple[float | None, ...]:
    """Return, per date, the percentage of valid pixels in the SCL classes of cloud (8, 9) and thin cirrus (10).

    Shadows are no cloud cover, as in the products' own CLOUDY_PIXEL_PERCENTAGE.
    """
    valid = (classes != 0).sum(axis=(1, 2))
    cloudy = np.isin(classes, CLOUDS).sum(axis=(1, 2))
    pairs = zip(cloudy.tolist(), valid.tolist(), strict=True)
    return tuple(round(100 * part / whole, 2) if whole else None for part, whole in pairs)


def _orbit_states(files: Sequence[PatchFile], reader: PatchReader) -> list[str | None]:
    states: list[str | None] = [None] * len(reader.layers[0].items)
    for file, source in zip(files, reader.layers, strict=True):
        name = _FILE.search(Path(file.path).name)
        for index in np.flatnonzero(source.items >= 0):
            states[index] = name[2].lower() if name and name[2] else None
    return states


def _notes(files: Sequence[PatchFile], times: NDArray[np.datetime64], missing: Sequence[str]) -> list[str]:
    notes = [f"the files have no band {name}" for name in missing]
    for file in files:
        extra = len(np.setdiff1d(file.time, times))
        if extra:
            notes.append(f"{extra} dates of {Path(file.path).name} are left out: other files lack them")
    return notes
