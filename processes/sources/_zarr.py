"""Zarr archives: one group per collection, one array ``(t, y, x)`` per band.

The group's attribute ``openeo_collection`` describes collection and bands. ``item_scale`` and ``item_offset`` along
``t`` turn the stored numbers of scaled bands into physical values, item by item (Sentinel-2's offset exists only from
processing baseline 04.00 on). Variables along ``t`` with an attribute ``stac_property`` are item properties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from processes.errors import OpenEOError
from processes.sources._bands import Band
from processes.sources._blocks import StorageChunks
from processes.sources._grid import Grid, Span
from processes.sources._items import Items, plain_values
from processes.sources._source import GridSource
from processes.sources._stac import Description

ATTRIBUTE = "openeo_collection"
# From this Sentinel-2 processing baseline on, the stored numbers carry an offset.
_OFFSET_BASELINE = "04.00"
_OPTIONAL = ("unit", "common_name", "center_wavelength", "full_width_half_max", "gsd", "minimum", "maximum")


@dataclass(frozen=True, eq=False)
class ZarrReader:
    """Reads bands of the group at `path`; `scale` and `offset` hold one number per item."""

    path: str
    changed: int
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    def token(self) -> tuple[Any, ...]:
        """Return path and time of change."""
        return (self.path, self.changed)

    def read(self, bands: Sequence[Band], items: NDArray[np.intp], rows: Span, cols: Span) -> Iterator[NDArray[Any]]:
        """Yield the decoded values (items, rows, cols) of each band."""
        group = zarr.open_group(self.path, mode="r")
        for band in bands:
            array = group[band.name]
            raw = take_runs(
                lambda run, array=array: array[run, slice(*rows), slice(*cols)],  # type: ignore[misc]
                items,
                array.chunks[0],  # type: ignore[union-attr]
            )
            yield decode(raw, band, self.scale[items], self.offset[items])


def is_zarr(path: Path) -> bool:
    """Return whether a Zarr group lies at `path`."""
    return (path / "zarr.json").is_file() or (path / ".zgroup").is_file()


def changed(path: Path) -> int:
    """Return when the group's metadata were last written (ns)."""
    files = [path / name for name in ("zarr.json", ".zmetadata", ".zattrs", ".zgroup")]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


def open_zarr(path: Path, collection_id: str | None = None) -> GridSource:
    """Return the collection in the Zarr group at `path`; `OpenEOError` FileContentInvalid says what it lacks."""
    try:
        consolidated = zarr.open_group(path, mode="r").metadata.consolidated_metadata is not None
        with xr.open_zarr(path, chunks=None, mask_and_scale=False, consolidated=consolidated) as stored:
            return _source(path, stored, collection_id)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        message = f"The Zarr group {path} is not a collection that can be served: {reason}."
        raise OpenEOError("FileContentInvalid", message) from error


def decode(raw: NDArray[Any], band: Band, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[Any]:
    """Return physical values: float32 with NaN as no data; classes as they are stored.

    Parameters
    ----------
    raw : array (items, rows, cols)
    scale, offset : arrays (items,)
        Used for scaled bands: value = raw * scale + offset.
    """
    if band.is_class:
        return raw
    values = raw.astype(np.float64)
    if band.scaled:
        values *= scale[:, None, None]
        values += offset[:, None, None]
    nodata = 0 if band.scaled and band.nodata is None else band.nodata
    if nodata is not None and not np.isnan(nodata):
        values[raw == nodata] = np.nan
    return values.astype(np.float32)


def take_runs(read: Callable[[slice], NDArray[Any]], items: NDArray[np.intp], bridge: int) -> NDArray[Any]:
    """Return the elements `items` of an axis by reading slices: one per run, gaps below `bridge` read along.

    Faster than index arrays, which Zarr resolves element by element, and no chunk is decompressed twice.
    """
    wanted, back = np.unique(items, return_inverse=True)
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > bridge) + 1)
    parts = [read(slice(int(run[0]), int(run[-1]) + 1))[run - run[0]] for run in runs]
    taken = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return taken if np.array_equal(back, np.arange(len(items))) else taken[back]


def _source(path: Path, stored: xr.Dataset, collection_id: str | None) -> GridSource:
    about = stored.attrs[ATTRIBUTE]
    bands = tuple(_band(entry, stored) for entry in about["bands"])
    names = [band.name for band in bands]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"it describes the bands {names}; there must be at least one, and each only once")
    scale, offset = _scaling(stored, bands)
    items = _items(stored)
    source = GridSource(
        id=collection_id or about["id"],
        short_name=about["id"],
        description=_description(about),
        bands=bands,
        grid=Grid.of(stored["x"], stored["y"], _crs(stored)),
        items=items,
        reader=ZarrReader(str(path), changed(path), scale, offset),
        storage=_chunks(path, bands),
        notes=tuple(_baseline_notes(items, offset)),
    )
    _ = source.acquisitions  # passes that cannot be told apart are an error here, not at the first request
    return source


def _band(entry: Mapping[str, Any], stored: xr.Dataset) -> Band:
    variable = stored[entry["name"]]
    if variable.dims != ("t", "y", "x"):
        raise ValueError(f"band {entry['name']} has dimensions {variable.dims}, not (t, y, x)")
    nodata = entry.get("nodata")
    return Band(
        name=entry["name"],
        dtype=str(variable.dtype),
        scaled=bool(entry.get("scaled", False)),
        nodata=None if nodata is None else float(nodata),
        description=entry.get("description") or "",
        classes=tuple(entry.get("classes") or ()),
        **{key: entry.get(key) for key in _OPTIONAL},
    )


def _description(about: Mapping[str, Any]) -> Description:
    platforms = about.get("platform") or ()
    return Description(
        title=about.get("title") or about["id"],
        description=about.get("description") or about["id"],
        license=about.get("license") or "other",
        keywords=tuple(about.get("keywords") or ()),
        providers=tuple(about.get("providers") or ()),
        constellation=about.get("constellation"),
        platforms=(platforms,) if isinstance(platforms, str) else tuple(platforms),
        instruments=tuple(about.get("instruments") or ()),
        gsd=about.get("gsd"),
    )


def _scaling(stored: xr.Dataset, bands: Sequence[Band]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if any(band.scaled for band in bands):
        scale, offset = (stored[name].to_numpy().astype(np.float64) for name in ("item_scale", "item_offset"))
        return scale, offset
    return np.ones(stored.sizes["t"]), np.zeros(stored.sizes["t"])


def _items(stored: xr.Dataset) -> Items:
    times = stored["t"].to_numpy()
    if times.dtype.kind != "M":
        raise ValueError("t does not decode to dates")
    if not len(times):
        raise ValueError("t is empty")
    properties = {
        str(variable.attrs["stac_property"]): plain_values(variable.to_numpy())
        for variable in stored.variables.values()
        if "stac_property" in variable.attrs
    }
    return Items(times.astype("datetime64[ns]"), properties)


def _crs(stored: xr.Dataset) -> str:
    attributes = stored["spatial_ref"].attrs
    return str(attributes.get("crs_wkt") or attributes["spatial_ref"])


def _chunks(path: Path, bands: Sequence[Band]) -> StorageChunks:
    """Return the sizes of the first band's chunks and shards; the archive stores all bands alike."""
    array: Any = zarr.open_group(path, mode="r")[bands[0].name]
    chunk, shard = array.chunks, array.shards or array.chunks
    return StorageChunks((chunk[1], chunk[2]), (shard[1], shard[2]))


def _baseline_notes(items: Items, offset: NDArray[np.float64]) -> Iterator[str]:
    """Yield a note when processing baselines and offsets contradict each other."""
    baselines = items.properties.get("s2:processing_baseline", ())
    pairs = zip(baselines, offset, strict=False)
    known = [(str(baseline) >= _OFFSET_BASELINE, value != 0) for baseline, value in pairs if baseline is not None]
    lacking, surplus = sum(new and not has for new, has in known), sum(has and not new for new, has in known)
    if lacking:
        yield f"{lacking} items of processing baseline {_OFFSET_BASELINE} or later have no offset"
    if surplus:
        yield f"{surplus} items of a processing baseline before {_OFFSET_BASELINE} have an offset"
