"""netCDF-4 with CF metadata: one variable per band, or the cube as one variable."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.array.core import normalize_chunks

from backend.disk import writing_to
from backend.results.base import Option, Options, check_options, unsuitable
from backend.results.parts import PART_BYTES, parts_of, read
from backend.results.raster import crs_of, is_raster
from processes.errors import OpenEOError

# A chunk has as many values at most, and as many pixels along y and x.
CHUNK_VALUES = 2**20
CHUNK_SIDE = 256
COMPRESSION = {"zlib": True, "complevel": 4, "shuffle": True}
SINGLE = "data"
CRS = "spatial_ref"
# Dask's settings are those of all threads: two that change them by turns would leave the first one's behind.
_one_at_a_time = threading.Lock()


class NetCDF:
    """netCDF for analysing further."""

    name: ClassVar[str] = "netCDF"
    title: ClassVar[str] = "Network Common Data Form"
    description: ClassVar[str] = (
        "netCDF-4 after the CF conventions, dimensions t, y, x; NaN is no-data. Each band is a variable of its own, "
        "or the whole cube is one variable with the dimensions t, bands, y, x."
    )
    media_type: ClassVar[str] = "application/x-netcdf"
    suffix: ClassVar[str] = ".nc"
    gis_data_types: ClassVar[tuple[str, ...]] = ("raster", "other")
    copies: ClassVar[int] = 2
    options: ClassVar[Mapping[str, Option]] = {
        "variables": Option("`bands` (default), one variable per band, or `one`, a single variable.", ("bands", "one"))
    }

    def check(self, value: Any, options: Options) -> None:
        """Refuse what is no data cube of numbers."""
        check_options(self, options)
        if not isinstance(value, xr.DataArray):
            raise unsuitable(self.name, "it is no data cube; save it as JSON")
        if value.size == 0:
            raise OpenEOError("DataCubeEmpty", "The result holds no values; choose a larger extent.")
        if value.dtype.kind not in "biuf":
            raise unsuitable(self.name, f"its values are of the kind {value.dtype}, not numbers")
        strange = [str(dim) for dim in value.dims if dim in value.coords and _is_geometry(value[dim])]
        if strange:
            remedy = "save it as JSON, CSV, GeoJSON or Parquet"
            raise unsuitable(self.name, f"the labels of {', '.join(strange)} are geometries; {remedy}")

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a cube."""
        dataset = to_dataset(value, options.get("variables", "bands") == "one")
        for name in dataset.data_vars:
            dataset[name] = dataset[name].copy(data=_in_parts(dataset[name]))
            dataset[name].encoding = _encoding(dataset[name])
        for dim in {"x", "y"} & set(dataset.coords):
            dataset[dim].encoding = {"_FillValue": None}
        with _one_at_a_time, _emptied_on_failure(path), dask.config.set(scheduler="synchronous"):
            dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4")


@contextlib.contextmanager
def _emptied_on_failure(path: Path) -> Iterator[None]:
    """Give the room of a file back that could not be written.

    HDF5 cannot close a file that it cannot write out, and keeps it open: even with the file deleted, a full disk would
    stay full for as long as this process lives.
    """
    try:
        with writing_to(path.parent):  # later, there is room again
            yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.truncate(path, 0)
        raise


class _Parts:
    """Values as an array that is read when it is indexed."""

    def __init__(self, values: Any) -> None:
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self._values = values

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        return read(self._values[key])


def _in_parts(variable: xr.DataArray) -> Any:
    """Return the values of a variable as parts that are written one after the other, each of whole chunks."""
    values = variable.data
    if variable.ndim == 0 or variable.nbytes <= PART_BYTES:
        return read(values)
    shape, chunk = variable.shape, chunk_of(variable.shape)
    sizes = [part.stop - part.start for part in next(parts_of(shape, chunk, variable.dtype.itemsize))]
    chunks = tuple(normalize_chunks(tuple(sizes), shape))
    meta = np.empty((0,) * variable.ndim, variable.dtype)
    return da.from_array(_Parts(values), chunks=chunks, name=f"parts-{uuid4().hex}", meta=meta)


def chunk_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the chunks of a variable in the file: squares of the last two dimensions, some labels of the others."""
    room, chunk = CHUNK_VALUES, []
    for axis, size in reversed(list(enumerate(shape))):
        most = CHUNK_SIDE if axis >= len(shape) - 2 else max(room, 1)
        chunk.append(min(size, most))
        room //= chunk[-1]
    return tuple(reversed(chunk))


def to_dataset(cube: xr.DataArray, single: bool) -> xr.Dataset:
    """Return the dataset that is written: spatial dimensions last, CRS as grid mapping, plain attributes."""
    crs = crs_of(cube) if is_raster(cube) else None
    spatial = [dim for dim in ("y", "x") if dim in cube.dims]
    others = [dim for dim in cube.dims if dim not in spatial]
    cube = cube.transpose(*sorted(others, key=lambda dim: dim != "t"), *spatial)
    cube = cube.drop_vars([name for name in cube.coords if name not in cube.dims])
    cube = cube.copy(data=cube.data.view(np.int8)) if cube.dtype.kind == "b" else cube
    if single or "bands" not in cube.dims:
        dataset = cube.to_dataset(name=SINGLE)
    else:
        dataset = xr.Dataset({_name(label): cube.sel(bands=label, drop=True) for label in cube["bands"].values})
    for variable in dataset.variables.values():
        variable.attrs, variable.encoding = _plain(variable.attrs), {}
    dataset.attrs = {"Conventions": "CF-1.8"}
    if crs is not None:
        dataset = dataset.rio.write_crs(crs, grid_mapping_name=CRS).rio.write_coordinate_system()
    return dataset


def _name(label: Any) -> str:
    """Return a variable's name for a band label: no slash, and no name that a coordinate has."""
    name = str(label).replace("/", "_") or "_"
    return f"band_{name}" if name in ("t", "x", "y", CRS) or name[0].isdigit() else name


def _encoding(variable: xr.DataArray) -> dict[str, Any]:
    fill = np.array(np.nan, variable.dtype) if variable.dtype.kind == "f" else None
    # Named as a coordinate too: else readers take the grid mapping for one more variable of data.
    mapping = {"grid_mapping": CRS, "coordinates": CRS} if CRS in variable.coords else {}
    stored = {**COMPRESSION, "chunksizes": chunk_of(variable.shape)} if variable.ndim else {}
    return {**stored, **mapping, "_FillValue": fill}


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Keep the attributes that netCDF can write: text, numbers, arrays of numbers."""
    kept = {}
    for key, value in attrs.items():
        array = np.asarray(value) if not isinstance(value, dict | set) and value is not None else None
        if array is not None and array.size and (array.dtype.kind in "iuf" or isinstance(value, str)):
            kept[str(key)] = value
    # Written by xarray itself from the encoding; in the attributes they would clash with it.
    return {key: value for key, value in kept.items() if key not in ("_FillValue", "grid_mapping", "coordinates")}


def _is_geometry(labels: xr.DataArray) -> bool:
    return labels.dtype == object and labels.size > 0 and hasattr(labels.values.flat[0], "geom_type")
