"""A netCDF-4 file as a lazy cube: its dimensions recognised, its values decoded after the CF conventions."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import pyproj
import rioxarray  # noqa: F401  (and `.rio`)
import xarray as xr
from dask.base import tokenize
from numpy.typing import NDArray
from pyproj.exceptions import CRSError

from processes.fetch import FetchError, WrongFormat
from processes.fetch.netcdf import NetcdfFile, Variable, open_netcdf
from processes.sources.origin import Origin

# What dimensions are called in files, and here.
_NAMES = {
    "x": ("x", "lon", "longitude", "easting"),
    "y": ("y", "lat", "latitude", "northing"),
    "t": ("t", "time", "timestamp"),
    "bands": ("bands", "band"),
}
_WIDE = ("int32", "uint32", "int64", "uint64", "float64")
_GEOGRAPHIC = ("lon", "longitude")
_LARGEST_LABELS = 10_000_000
# What one task reads, unless the file's own chunks are larger.
_BLOCK_BYTES = 8 * 2**20


def netcdf_cube(url: str, origin: Origin) -> xr.DataArray:
    """Return the variables of a file over x and y as a lazy cube, one band each; float, NaN is no data.

    Variables count that have the same dimensions as the first of the most dimensions; a variable with a dimension of
    bands is a cube by itself.

    Raises
    ------
    FetchError
        WrongFormat where there is no such variable, or no reference system.
    """
    with open_netcdf(origin.files, url) as file:
        variables = file.variables()
        names = {dim: _ours(dim, variables.get(dim)) for v in variables.values() for dim in v.dims}
        chosen = _chosen(variables, names)
        labels = {names[dim]: _labels(file, variables.get(dim), dim) for dim in chosen[0].dims}
        crs = _crs(variables, chosen[0])
    try:
        return _assembled([_lazy(url, origin, one) for one in chosen], chosen, names, labels, crs)
    except (ValueError, TypeError, KeyError) as error:
        told = f"{type(error).__name__}: {str(error)[:100]}"
        raise WrongFormat(f"the variables and dimensions of the file do not fit together ({told})") from error


def _assembled(
    data: Sequence[Any],
    variables: Sequence[Variable],
    names: Mapping[str, str],
    labels: Mapping[str, NDArray[Any] | None],
    crs: str,
) -> xr.DataArray:
    """Return the variables as one cube."""
    order = [names[dim] for dim in variables[0].dims]
    held: dict[str, Any] = {name: values for name, values in labels.items() if values is not None}
    parts = [xr.DataArray(values, dims=order) for values in data]
    if "bands" in order:
        return _standard(parts[0].assign_coords(held), crs)
    cube = xr.concat(parts, dim="bands").assign_coords(held | {"bands": [one.name for one in variables]})
    return _standard(cube, crs)


@dataclass(frozen=True, eq=False)
class _Stored:
    """A variable that is read when it is indexed, decoded: value = stored * scale + offset, NaN where it is a fill."""

    url: str
    origin: Origin
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    offset: float
    fills: tuple[float, ...]

    @property
    def ndim(self) -> int:
        """Return how many dimensions it has."""
        return len(self.shape)

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return the values at slices, integers or index arrays, taken dimension by dimension."""
        parts = [np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True)]
        if not all(len(part) for part in parts):
            return np.empty([len(part) for part in parts], self.dtype)
        hull = tuple(slice(int(part.min()), int(part.max()) + 1) for part in parts)
        try:
            with open_netcdf(self.origin.files, self.url) as file:
                raw = file.read(self.name, hull)
        except FetchError as error:
            raise self.origin.invalid(str(error)) from error
        block = raw[np.ix_(*(part - part.min() for part in parts))]
        dropped = tuple(axis for axis, part in enumerate(key) if isinstance(part, numbers.Integral))
        return np.asarray(np.squeeze(self._decoded(block), dropped))

    def _decoded(self, raw: NDArray[Any]) -> NDArray[Any]:
        values = raw.astype(np.float64) * self.scale + self.offset if (self.scale, self.offset) != (1, 0) else raw
        decoded = values.astype(self.dtype)
        for fill in self.fills:
            decoded[raw == raw.dtype.type(fill)] = np.nan
        return decoded


def _ours(dim: str, variable: Variable | None) -> str:
    """Return what a dimension of the file is called here: by its axis, or its name."""
    axis = str((variable.attributes if variable is not None else {}).get("axis", "")).lower()
    if axis in ("x", "y", "t"):
        return axis
    return next((ours for ours, theirs in _NAMES.items() if dim.lower() in theirs), dim)


def _chosen(variables: Mapping[str, Variable], names: Mapping[str, str]) -> list[Variable]:
    spatial = [
        one
        for one in variables.values()
        if {"x", "y"} <= {names[dim] for dim in one.dims} and one.dtype.kind in "iuf" and one.name not in one.dims
    ]
    if not spatial:
        raise WrongFormat("the file has no variable of numbers over x and y")
    model = max(spatial, key=lambda one: len(one.dims))
    if any(names[dim] == "bands" for dim in model.dims):
        return [model]
    return [one for one in spatial if one.dims == model.dims and one.shape == model.shape]


def _labels(file: NetcdfFile, variable: Variable | None, dim: str) -> NDArray[Any] | None:
    """Return the labels of a dimension, decoded; None where the file has none."""
    if variable is None or variable.dims != (dim,):
        return None
    if variable.shape[0] > _LARGEST_LABELS:
        raise WrongFormat(f"the dimension {dim!r} has {variable.shape[0]} labels")
    kept = {key: variable.attributes[key] for key in ("units", "calendar") if key in variable.attributes}
    values = file.read(variable.name)
    if "since" not in str(kept.get("units", "")):
        return values
    try:
        decoded = xr.decode_cf(xr.Dataset(coords={"t": ("t", values, kept)}))["t"].to_numpy()
        return np.asarray(decoded.astype("datetime64[ns]"))
    except (ValueError, TypeError, OverflowError) as error:
        raise WrongFormat(f"the dates of the dimension {dim!r} cannot be decoded") from error


def _crs(variables: Mapping[str, Variable], variable: Variable) -> str:
    mapping = str(variable.attributes.get("grid_mapping", "spatial_ref")).split(":")[0].split(" ")[0]
    attributes = variables[mapping].attributes if mapping in variables else {}
    text = attributes.get("crs_wkt") or attributes.get("spatial_ref")
    if text is None and any(dim.lower() in _GEOGRAPHIC for dim in variable.dims):
        return "EPSG:4326"
    try:
        return str((pyproj.CRS.from_wkt(str(text)) if text else pyproj.CRS.from_cf(dict(attributes))).to_wkt())
    except (CRSError, KeyError, ValueError, TypeError) as error:
        raise WrongFormat("the file does not say what reference system its x and y are in (grid_mapping)") from error


def _lazy(url: str, origin: Origin, variable: Variable) -> Any:
    about = variable.attributes
    scale, offset = _number(about.get("scale_factor"), 1.0), _number(about.get("add_offset"), 0.0)
    fills = tuple(dict.fromkeys(_fills(about, variable.dtype)))
    packed = np.dtype("float32") if variable.dtype.itemsize <= 2 else variable.dtype
    dtype = np.dtype("float64" if str(packed) in _WIDE else "float32")
    stored = _Stored(url, origin, variable.name, variable.shape, dtype, scale, offset, fills)
    place = origin.files.token(url)
    name = "load-url-" + tokenize(place, variable.name, variable.shape, str(dtype), scale, offset, fills)
    from_array: Any = da.from_array
    return from_array(
        stored, chunks=_chunks(variable, dtype.itemsize), name=name, meta=np.empty((0,) * stored.ndim, dtype)
    )


def _fills(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> Sequence[float]:
    told = [attributes.get("_FillValue"), attributes.get("missing_value")]
    numbers_told = [one for one in told if isinstance(one, int | float) and one == one]
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    return [one for one in numbers_told if limits is None or limits.min <= one <= limits.max]


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def _chunks(variable: Variable, itemsize: int) -> tuple[int, ...]:
    """Return chunks that hold whole chunks of the file, of a size that a task can have."""
    sizes = list(variable.chunks)
    for axis in reversed(range(len(sizes))):
        room = _BLOCK_BYTES // max(int(np.prod(sizes, dtype=float)) * itemsize, 1)
        sizes[axis] = min(sizes[axis] * max(room, 1), variable.shape[axis])
    return tuple(max(size, 1) for size in sizes)


def _standard(cube: xr.DataArray, crs: str) -> xr.DataArray:
    """Return the cube with its dimensions in order, north-up, and a reference system."""
    known = [dim for dim in ("t", "bands", "y", "x") if dim in cube.dims]
    further = [dim for dim in cube.dims if dim not in known]
    ordered = cube.transpose(*further, *known)
    for axis in ("x", "y"):
        if axis not in ordered.coords:
            raise WrongFormat(f"the file has no coordinates along {axis}")
        if ordered[axis].dtype.kind not in "iuf":
            raise WrongFormat(f"the coordinates along {axis} are no numbers")
    x, y = ordered["x"].to_numpy(), ordered["y"].to_numpy()
    ordered = ordered.isel(y=slice(None, None, -1)) if len(y) > 1 and y[0] < y[-1] else ordered
    ordered = ordered.isel(x=slice(None, None, -1)) if len(x) > 1 and x[0] > x[-1] else ordered
    return ordered.odc.assign_crs(crs).rename(None)  # type: ignore[no-any-return]
