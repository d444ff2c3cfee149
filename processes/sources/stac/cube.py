"""From STAC items to one lazy cube."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import rioxarray  # noqa: F401  (and `.rio`)
import xarray as xr
from dask.base import tokenize

from processes.environment import Halo
from processes.errors import OpenEOError, invalid
from processes.fetch.files import Files
from processes.fetch.rasters import open_raster
from processes.sources._bands import Band, band_coordinates
from processes.sources._blocks import StorageChunks, StoredCube, plan_chunks
from processes.sources._grid import Grid, Window
from processes.sources._items import Acquisition, Items
from processes.sources.extents import Bbox, Interval, transformed_bounds
from processes.sources.origin import Origin
from processes.sources.stac.bands import choose_labels, layer_of
from processes.sources.stac.item import Bounds, Json, Layer, StacItem
from processes.sources.stac.reader import StacReader
from processes.sources.stac.target import BLOCK, target_grid

# Types of which float32 does not hold all values.
_WIDE = {"int32", "uint32", "int64", "uint64", "float64", "cint32", "cfloat64"}
_TRACK = ("platform", "sat:relative_orbit", "sat:orbit_state")
_THREADS = 8
_MOST_BANDS = 1000


@dataclass(frozen=True)
class Request:
    """Which part of the items to load; every None means all of it."""

    bbox: Bbox | None = None
    interval: Interval | None = None
    bands: Sequence[str] | None = None
    properties: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    halo: Halo | None = None


def stac_cube(
    items: Sequence[StacItem], collection: Json, request: Request, origin: Origin, headers: Files | None = None
) -> xr.DataArray:
    """Return the lazy cube ``(t, bands, y, x)`` of stored values, float32 (float64 where that is needed), NaN no data.

    Granules of one pass on one solar day become one date; where they overlap, the first valid value is taken. Errors
    of files that are read later name the origin's process. `headers` reads what metadata lack, by default as pixels are
    read.

    Raises
    ------
    OpenEOError
        NoDataAvailable; ProcessParameterInvalid for bands or properties that there are not, or files that cannot be
        read.
    FetchError
        Where metadata lack what a file's header must tell, and that cannot be read.
    """
    labels = choose_labels(items, request.bands, collection)
    if not labels:
        message = "None of the items has a raster that can be read: GeoTIFF or JPEG 2000 at an https address."
        raise OpenEOError("NoDataAvailable", message)
    if len(labels) > _MOST_BANDS:
        raise invalid("bands", origin.process, f"the items have {len(labels)} bands; choose {_MOST_BANDS} at most")
    passes = _passes(items, request)
    used = sorted({index for one in passes for index in one.items})
    found = {label: [layer_of(item, label) for item in items] for label in labels}
    layers = _completed(found, used, headers or origin.files)
    wanted = [layer for of in layers.values() for index in used if (layer := of[index]) is not None]
    outlines = [box for index in used if (box := items[index].bbox) is not None]
    margin = 0 if request.halo is None else request.halo.pixels
    grid, offset = target_grid(wanted, outlines, request.bbox, margin)
    window = grid.window(request.bbox, margin)
    dtype = "float64" if any(layer.dtype in _WIDE for layer in wanted) else "float32"
    reader = StacReader(origin, layers, grid.x, grid.y, grid.crs, dtype)
    bands = [_band(label, layers[label], dtype) for label in labels]
    stored = StoredCube(reader, tuple(one.items for one in passes), tuple(bands), window, np.dtype(dtype))
    return _labelled(_lazy(stored, offset), passes, bands, grid, window)


def _passes(items: Sequence[StacItem], request: Request) -> tuple[Acquisition, ...]:
    """Return the dates that are wanted, each with its granules."""
    names = dict.fromkeys(str(name) for item in items for name in item.properties)
    columns = {name: [_plain(item.properties.get(name), name) for item in items] for name in names}
    times = np.array([item.time for item in items], dtype="datetime64[ns]")
    boxes = [item.bbox for item in items if item.bbox is not None]
    longitude = float(np.mean([(box[0] + box[2]) / 2 for box in boxes])) if boxes else 0.0
    granules = Items(times, columns)
    try:
        acquisitions = granules.acquisitions(longitude)
    except ValueError:
        # Passes that share their time cannot be told apart by labels: they become one.
        untracked = {name: values for name, values in columns.items() if name not in _TRACK}
        acquisitions = Items(times, untracked).acquisitions(longitude)
    return granules.select(acquisitions, request.interval, request.properties, request.halo)


def _plain(value: Any, name: str) -> Any:
    return str(value) if name in _TRACK and isinstance(value, list | dict) else value


def _completed(
    layers: Mapping[str, Sequence[Layer | None]], used: Sequence[int], files: Files
) -> dict[str, list[Layer | None]]:
    """Return layers with what their metadata lack, read from the header of one file per band.

    The type of values is taken to be the same in all of a band's files; reference systems are each file's own, and
    are read again with its pixels.
    """
    complete = {label: list(of) for label, of in layers.items()}
    lacking = [
        (label, index)
        for label, of in complete.items()
        if (index := next((i for i in used if of[i] is not None), None)) is not None and _lacks(of[index])
    ]
    with ThreadPoolExecutor(_THREADS) as threads:
        read = threads.map(partial(_with_header, files), [complete[label][index] for label, index in lacking])
        for (label, index), layer in zip(lacking, read, strict=True):
            complete[label] = [one and replace(one, dtype=one.dtype or layer.dtype) for one in complete[label]]
            complete[label][index] = layer
    return complete


def _lacks(layer: Layer | None) -> bool:
    return layer is not None and (layer.dtype is None or layer.crs is None or layer.transform is None)


def _with_header(files: Files, layer: Layer | None) -> Layer:
    assert layer is not None
    with open_raster(files, layer.href) as dataset:
        place = tuple(dataset.transform)[:6]
        kind = dataset.dtypes[min(layer.index, dataset.count) - 1]
        crs = dataset.crs.to_wkt() if dataset.crs else layer.crs
        return replace(
            layer, dtype=kind, crs=crs, transform=place, shape=dataset.shape, resolution=abs(dataset.transform.a)
        )


def _band(label: str, layers: Sequence[Layer | None], dtype: str) -> Band:
    described = next(layer for layer in layers if layer is not None)
    return Band(
        name=label,
        dtype=dtype,
        common_name=described.common_name,
        center_wavelength=described.center_wavelength,
    )


def _lazy(stored: StoredCube, offset: tuple[int, int]) -> Any:
    """Return the cube as a Dask array whose blocks follow those of the files.

    The reader, which names every file, is one task of its own that all others refer to.
    """
    rows, cols = stored.window.rows, stored.window.cols
    counted = Window((rows[0] + offset[0], rows[1] + offset[0]), (cols[0] + offset[1], cols[1] + offset[1]))
    chunks = plan_chunks(stored.shape, counted, StorageChunks((BLOCK, BLOCK), (BLOCK, BLOCK)), stored.dtype.itemsize)
    names = [band.name for band in stored.bands]
    name = "load-stac-" + tokenize(stored.reader.token(), stored.passes, names, rows, cols)
    meta = np.empty((0,) * stored.ndim, stored.dtype)
    from_array: Any = da.from_array
    return from_array(stored, chunks=chunks, name=name, meta=meta)


def _labelled(
    data: Any, passes: Sequence[Acquisition], bands: Sequence[Band], grid: Grid, window: Window
) -> xr.DataArray:
    coordinates = {
        "t": np.array([one.time for one in passes], dtype="datetime64[ns]"),
        "bands": np.array([band.name for band in bands]),
        "y": grid.y[slice(*window.rows)],
        "x": grid.x[slice(*window.cols)],
        "spatial_ref": grid.spatial_ref(),
        **{name: ("bands", values) for name, values in band_coordinates(bands, bands).items()},
    }
    return xr.DataArray(data, dims=("t", "bands", "y", "x"), coords=coordinates).rename(None)


def outline(bbox: Bbox | None, halo: Halo | None) -> Bounds | None:
    """Return a bounding box in longitude and latitude, a little wider for a halo; None where it is not to be told."""
    if bbox is None:
        return None
    west, south, east, north = transformed_bounds(bbox.bounds, bbox.crs, "EPSG:4326")
    if not np.isfinite([west, south, east, north]).all():
        return None
    pad = 0.1 if halo is not None and halo.pixels else 0.0
    return (west - pad, south - pad, east + pad, north + pad)
