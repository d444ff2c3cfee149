"""Results of batch jobs as cubes: read lazily from where the server keeps them, with the labels that they had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from processes.environment import ResultFiles
from processes.errors import OpenEOError
from processes.fetch import FetchRules
from processes.implementations.input_formats import INPUT_FORMATS, InputFormat, find_input_format, gtiff_layers
from processes.implementations.input_formats import read_file as read_other
from processes.implementations.local_files import LocalFiles
from processes.sources.origin import Origin
from processes.sources.stac.cube import Request, stac_cube
from processes.sources.stac.item import StacItem
from processes.vectors.columns import with_values

Json = Mapping[str, Any]

# The media types that a job's files have, and the format as which each is read.
_FORMATS = {
    "application/geo+json": "GeoJSON",
    "application/vnd.apache.parquet": "Parquet",
    "application/x-netcdf": "netCDF",
    "image/tiff": "GTiff",
}
_KNOWN = {"t", "bands", "y", "x"}
_DAY, _EPOCH = np.timedelta64(24 * 3600 * 10**9, "ns"), np.datetime64("2000-01-01", "ns")


def stored_cube(results: ResultFiles, rules: FetchRules, parameter: str, process: str) -> xr.DataArray:
    """Return the result of a job: a lazy raster cube, or a vector cube.

    Parameters
    ----------
    results : ResultFiles
        With one file of data.
    rules : FetchRules
        How large files may be that are read as a whole.
    parameter, process : str
        What names the job, for messages.

    Raises
    ------
    OpenEOError
        FormatUnsuitable; ProcessParameterInvalid for a file that cannot be read.
    """
    name, form = _only_file(results.assets, parameter, process)
    about = results.assets[name]
    origin = Origin(LocalFiles(results), rules, parameter, process)
    read = _READERS.get(form.name)
    if read is None:
        return _with_values(read_other(form, name, origin), about)
    # `read_file` tells what goes wrong in whichever reader the format has.
    cube = read_other(replace(form, read=lambda name, origin: read(name, about, origin)), name, origin)
    return _as_integers(cube, about)


def _only_file(assets: Mapping[str, Json], parameter: str, process: str) -> tuple[str, InputFormat]:
    """Return the file of data and its format."""
    data = {name: str(about.get("type")) for name, about in assets.items() if "data" in (about.get("roles") or ())}
    readable = {name: kind for name, media in data.items() if (kind := _FORMATS.get(media.split(";")[0].strip()))}
    if len(readable) == 1:
        ((name, kind),) = readable.items()
        return name, find_input_format(kind, None, process)
    known = ", ".join(form.name for form in INPUT_FORMATS)
    held = ", ".join(f"{name} ({media})" for name, media in data.items()) or "none"
    reason = "can be loaded" if not readable else "is the one to load: there are several"
    raise OpenEOError(
        "FormatUnsuitable",
        f"None of the files of the batch job named in parameter '{parameter}' of '{process}' {reason} ({held}). Save "
        f"the result as one of {known}.",
    )


def _geotiff(name: str, about: Json, origin: Origin) -> xr.DataArray:
    """Return the layers of a GeoTIFF as dates and bands again; layers of further dimensions stay bands."""
    layers, dimensions = gtiff_layers(name, origin), about.get("cube:dimensions") or {}
    dates, bands = _labels(dimensions, "t"), _labels(dimensions, "bands")
    rows, columns = _length(dates), _length(bands)
    if not {*dimensions} <= _KNOWN or rows * columns != len(layers):
        (rows, dates), (columns, bands) = (1, None), (len(layers), np.array([layer.name for layer in layers]))
    # As far from each other as no two dates are taken for one; the real labels come afterwards.
    items = [
        StacItem(str(row), _EPOCH + row * _DAY, {}, None, tuple(
            replace(layer, name=f"{column:05d}")
            for column, layer in enumerate(layers[row * columns : (row + 1) * columns])
        ))
        for row in range(rows)
    ]  # fmt: skip
    cube = stac_cube(items, {}, Request(), origin)
    for name, labels in (("t", dates), ("bands", bands)):
        cube = cube.isel({name: 0}, drop=True) if labels is None else cube.assign_coords({name: labels})
    return cube


def _netcdf(name: str, about: Json, origin: Origin) -> xr.DataArray:
    """Return a netCDF file's variables as bands again: in their order, by their labels."""
    cube = find_input_format("netCDF", None, origin.process).read(name, origin)
    dimensions = about.get("cube:dimensions") or {}
    bands = _labels(dimensions, "bands")
    if "bands" not in cube.dims:
        return cube
    if bands is None:
        return cube.isel(bands=0, drop=True) if dimensions and cube.sizes["bands"] == 1 else cube
    there = cube["bands"].to_numpy().tolist()
    found = [next((n for n in _variable_names(label) if n in there), None) for label in bands.tolist()]
    if None in found or len(set(found)) < len(found):
        return cube
    return cube.isel(bands=[there.index(n) for n in found]).assign_coords(bands=bands)


def _with_values(cube: xr.DataArray, about: Json) -> xr.DataArray:
    """Return a vector cube's columns as values again, along the dimensions that they had."""
    dimensions = about.get("cube:dimensions") or {}
    order = ((about.get("cube:variables") or {}).get("value") or {}).get("dimensions") or []
    others = {
        name: _labels(dimensions, name) for name in order if (dimensions.get(name) or {}).get("type") != "geometry"
    }
    return with_values(cube, others, str(about.get("data_type", "float64"))) if order else cube


def _variable_names(label: Any) -> tuple[Any, ...]:
    """Return what a band may be called in a netCDF file: some labels can be no names of variables."""
    text = str(label).replace("/", "_") or "_"
    return (label, text, f"band_{text}")


_READERS: Mapping[str, Callable[[str, Json, Origin], xr.DataArray]] = {"GTiff": _geotiff, "netCDF": _netcdf}


def _labels(dimensions: Mapping[str, Json], name: str) -> Any:
    """Return the labels that a dimension had, (n,); None where the cube had no such dimension."""
    if name not in dimensions:
        return None
    about = dimensions[name]
    values = list(about.get("values") or ())
    if about.get("type") == "temporal":
        return np.array([text.removesuffix("Z") for text in values], "datetime64[ns]")
    kinds = {isinstance(value, str) for value in values}
    return np.array(values, object if len(kinds) > 1 else None)


def _length(labels: Any) -> int:
    return 1 if labels is None else len(labels)


def _as_integers(cube: xr.DataArray, about: Json) -> xr.DataArray:
    """Return integers where integers without a no-data value were saved; readers give floats."""
    kind = str(about.get("data_type", ""))
    if "nodata" in about or not kind.startswith(("int", "uint")):
        return cube
    return cube.astype(np.dtype(kind))
