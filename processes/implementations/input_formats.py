"""The formats that files can be loaded in, from the web or from a user's folder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from shapely.errors import ShapelyError

from processes.errors import OpenEOError, invalid
from processes.fetch import FetchError, FetchRules, WrongFormat
from processes.fetch.rasters import open_raster
from processes.fetch.urls import shown
from processes.sources.origin import Origin
from processes.sources.stac.cube import Request, stac_cube
from processes.sources.stac.item import Layer, StacItem
from processes.sources.url_netcdf import netcdf_cube
from processes.vectors.geojson import read_geojson
from processes.vectors.inputs import require_vector

_MOST_ROWS = 1_000_000
# How much larger a table may be in memory than its file may be.
_EXPANDS = 4


@dataclass(frozen=True)
class InputFormat:
    """A format that can be read: what `/file_formats` tells of it, and how a file becomes a cube."""

    name: str
    title: str
    description: str
    gis_data_types: tuple[str, ...]
    read: Callable[[str, Origin], xr.DataArray]


def find_input_format(format: str, options: Mapping[str, Any] | None, process: str) -> InputFormat:
    """Return a format by its name, in upper or lower case; ProcessParameterInvalid for others, and for options."""
    form = next((one for one in INPUT_FORMATS if one.name.lower() == str(format).lower()), None)
    if form is None:
        known = ", ".join(one.name for one in INPUT_FORMATS)
        raise invalid("format", process, f"{str(format)[:50]!r} cannot be read; possible are {known}")
    if options:
        raise invalid("options", process, f"{form.name} has no option {', '.join(options)}; it has none at all")
    return form


def read_file(form: InputFormat, name: str, origin: Origin) -> xr.DataArray:
    """Return a file as a cube.

    Raises
    ------
    OpenEOError
        FormatUnsuitable; ProcessParameterInvalid where it cannot be read for other reasons.
    """
    try:
        return form.read(name, origin)
    except WrongFormat as error:
        told = f"from parameter '{origin.parameter}': {error}. Name another format."
        raise OpenEOError("FormatUnsuitable", f"Data can't be loaded as {form.name} {told}") from error
    except FetchError as error:
        raise origin.invalid(str(error)) from error


def _geojson(url: str, origin: Origin) -> xr.DataArray:
    content = origin.files.content(url, origin.rules.document_bytes)
    try:
        return read_geojson(json.loads(content), origin.parameter, origin.process).cube()
    except (ValueError, RecursionError) as error:
        raise WrongFormat(f"{shown(url)} holds no JSON") from error
    except OpenEOError as error:
        raise WrongFormat(f"{shown(url)} holds no GeoJSON that can be read ({error.message.rstrip('.')})") from error


def _parquet(url: str, origin: Origin) -> xr.DataArray:
    """Read a table whose size in memory is known beforehand: a small file can hold a huge one."""
    import geopandas
    import pyarrow

    content = origin.files.content(url, origin.rules.file_bytes)
    try:
        _require_small(content, origin.rules)
        frame = geopandas.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, ShapelyError, ValueError, KeyError, TypeError, OSError) as error:
        raise WrongFormat(f"{shown(url)} holds no GeoParquet: {type(error).__name__}") from error
    return require_vector(frame, origin.parameter, origin.process)


def _require_small(content: bytes, rules: FetchRules) -> None:
    from pyarrow import parquet

    file = parquet.ParquetFile(io.BytesIO(content))
    if file.metadata.num_rows > _MOST_ROWS:
        raise WrongFormat(f"the table has {file.metadata.num_rows} rows; {_MOST_ROWS} at most can be read")
    total = 0
    for batch in file.iter_batches(batch_size=1024):
        total += batch.nbytes
        if total > _EXPANDS * rules.file_bytes:
            raise WrongFormat("the table takes too much memory")


def _gtiff(url: str, origin: Origin) -> xr.DataArray:
    """Return the bands of a file, called by their descriptions, else B1, B2, and so on."""
    whole = StacItem("file", np.datetime64("2000-01-01", "ns"), {}, None, gtiff_layers(url, origin))
    return stac_cube([whole], {}, Request(), origin).isel(t=0, drop=True)


def gtiff_layers(url: str, origin: Origin) -> tuple[Layer, ...]:
    """Return the bands of a GeoTIFF or JPEG 2000 file; `WrongFormat` where it has no reference system."""
    with open_raster(origin.files, url) as dataset:
        if not dataset.crs:
            raise WrongFormat(f"{shown(url)} has no reference system")
        descriptions = [text or "" for text in dataset.descriptions]
        distinct = len(set(descriptions)) == dataset.count and all(descriptions)
        names = descriptions if distinct else [f"B{i + 1}" for i in range(dataset.count)]
        return tuple(
            Layer(
                key="file",
                index=i + 1,
                name=name,
                href=url,
                dtype=dataset.dtypes[i],
                crs=dataset.crs.to_wkt(),
                transform=tuple(dataset.transform)[:6],
                shape=dataset.shape,
                resolution=abs(dataset.transform.a),
            )
            for i, name in enumerate(names)
        )


# What can be read, in the order in which it is listed.
INPUT_FORMATS = (
    InputFormat(
        "GeoJSON",
        "GeoJSON",
        "A vector cube: one label per feature, properties as coordinates. Longitude and latitude, unless the file has "
        "the member `crs` of the format's former version.",
        ("vector",),
        _geojson,
    ),
    InputFormat(
        "GTiff",
        "GeoTIFF",
        "A raster cube of a GeoTIFF, best a cloud-optimized one, or of a JPEG 2000 file: dimensions bands, y, x. "
        "Values as they are stored, the file's no-data value as no-data. Bands are called by their descriptions.",
        ("raster",),
        _gtiff,
    ),
    InputFormat(
        "netCDF",
        "netCDF-4",
        "A raster cube of a netCDF-4 file after the CF conventions: variables over x and y become bands, scale, offset "
        "and fill values are decoded. A grid mapping must tell the reference system.",
        ("raster",),
        netcdf_cube,
    ),
    InputFormat(
        "Parquet",
        "GeoParquet",
        "A vector cube: one label per row, further columns as coordinates.",
        ("vector",),
        _parquet,
    ),
)
