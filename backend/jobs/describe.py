"""What is in a result: where and when, which bands, how large. Kept with the job, and made into STAC when asked for."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.warp
import xarray as xr

from backend.jobs.dimensions import describe_dimensions
from backend.results import ResultFormat
from backend.results.gtiff import nodata_of
from backend.results.raster import crs_of, is_raster, label_texts, transform_of
from processes.errors import OpenEOError

WGS84 = "EPSG:4326"


def describe_file(path: Path, form: ResultFormat, value: Any) -> dict[str, Any]:
    """Return the asset of one written file, without its link.

    Parameters
    ----------
    path : Path
        The file.
    form : ResultFormat
        Its format.
    value : Any
        What was written: a computed cube or anything else.
    """
    asset: dict[str, Any] = {"title": path.name, "type": form.media_type, "roles": ["data"]}
    asset["file:size"] = path.stat().st_size
    # A multihash: 0x12 names SHA-256, 0x20 its length.
    asset["file:checksum"] = "1220" + _sha256(path)
    if isinstance(value, xr.DataArray) and "bands" in value.dims:
        asset["bands"] = [{"name": name} for name in label_texts(value, "bands")]
    return {**asset, **_values(value), **_grid(value), **describe_dimensions(value)}


def extents(value: Any, loaded: Iterable[xr.DataArray]) -> dict[str, Any]:
    """Return where and when a result is: `bbox` (west, south, east, north) and `interval`, None for the unknown.

    What the result does not tell itself (a time series has no place, a median no dates), the cubes that were loaded for
    it do.
    """
    cubes = [value] if isinstance(value, xr.DataArray) else []
    sources = list(loaded)
    return {
        "bbox": _bbox(cubes) or _bbox(sources),
        "interval": _interval(cubes) or _interval(sources),
    }


def _values(value: Any) -> dict[str, Any]:
    """Return the type of a cube's numbers, and their no-data value where integers have one."""
    if not isinstance(value, xr.DataArray) or value.dtype.kind not in "biuf":
        return {}
    if value.dtype.kind == "b":  # written as 0 and 1
        return {"data_type": "uint8"}
    nodata = nodata_of(value.dtype, value.attrs) if value.dtype.kind in "iu" else None
    return {"data_type": str(value.dtype), **({} if nodata is None else {"nodata": nodata})}


def _grid(value: Any) -> dict[str, Any]:
    """Return the projection extension's fields of a raster cube."""
    if not is_raster(value) or value.size == 0:
        return {}
    fields: dict[str, Any] = {"proj:shape": [value.sizes["y"], value.sizes["x"]]}
    crs = crs_of(value)
    if crs is not None:
        fields["proj:code"] = _code(crs)
    with contextlib.suppress(OpenEOError):  # its pixels are on no regular grid
        fields["proj:transform"] = list(transform_of(value, "STAC"))[:6]
    return fields


def _code(crs: Any) -> str | None:
    authority = crs.to_authority()
    return ":".join(authority) if authority else None


def _bbox(cubes: Iterable[xr.DataArray]) -> list[float] | None:
    boxes = [box for cube in cubes if (box := _box(cube))]
    if not boxes:
        return None
    west, south, east, north = zip(*boxes, strict=True)
    return [min(west), min(south), max(east), max(north)]


def _box(cube: xr.DataArray) -> tuple[float, float, float, float] | None:
    if not is_raster(cube) or cube.size == 0 or crs_of(cube) is None:
        return None
    try:
        transform = transform_of(cube, "STAC")
    except OpenEOError:
        return None
    west, north = transform.c, transform.f
    east, south = west + transform.a * cube.sizes["x"], north + transform.e * cube.sizes["y"]
    bounds = rasterio.warp.transform_bounds(crs_of(cube), WGS84, west, south, east, north)
    box = tuple(round(float(bound), 7) for bound in bounds)
    return box if all(np.isfinite(box)) else None  # type: ignore[return-value]


def _interval(cubes: Iterable[xr.DataArray]) -> list[str] | None:
    times = [
        cube["t"].values for cube in cubes if "t" in cube.coords and cube["t"].dtype.kind == "M" and cube["t"].size
    ]
    valid = [time for labels in times for time in np.ravel(labels) if not np.isnat(time)]
    if not valid:
        return None
    return [f"{np.datetime_as_string(time, unit='s')}Z" for time in (min(valid), max(valid))]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def total_bytes(assets: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how much room the files of a result take."""
    return sum(int(asset["file:size"]) for asset in assets.values())
