"""A raster cube seen as a stack of georeferenced layers, the form that image formats want."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine

from backend.results.base import unsuitable
from backend.results.parts import read
from processes.errors import OpenEOError

# Pixel centres may stray from a regular grid by this share of a pixel; coordinates are float64, so this is generous.
STRAY = 0.01


@dataclass(frozen=True)
class Layers:
    """Layers of one grid: values (..., y, x), y descending, in memory or lazy; names, one for each; where it lies."""

    values: Any
    names: list[str]
    transform: Affine
    crs: Any

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.values.shape[-2:]
        return rows, columns

    def part(self, where: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """Return a part of all layers (layers, y, x), in memory."""
        part = read(self.values[(..., *where)])
        return part.reshape(-1, *part.shape[-2:])


def is_raster(value: Any) -> bool:
    """Whether `value` is a cube with both spatial dimensions."""
    return isinstance(value, xr.DataArray) and {"x", "y"} <= set(value.dims)


def check_raster(value: Any, form: str) -> xr.DataArray:
    """Return `value` if it is a raster cube with pixels on a regular grid; fails otherwise."""
    if not is_raster(value):
        dims = ", ".join(str(dim) for dim in value.dims) if isinstance(value, xr.DataArray) else ""
        what = f"it has the dimensions {dims or 'none'}" if isinstance(value, xr.DataArray) else "it is no data cube"
        raise unsuitable(form, f"{what}, but x and y are needed; save it as JSON or CSV")
    if value.size == 0:
        empty = ", ".join(str(dim) for dim, size in value.sizes.items() if size == 0)
        raise OpenEOError("DataCubeEmpty", f"The result has no labels along {empty}; choose a larger extent.")
    if value.dtype.kind not in "biuf":
        raise unsuitable(form, f"its values are of the kind {value.dtype}, not numbers")
    cube: xr.DataArray = value
    transform_of(cube, form)
    return cube


def layers_of(cube: xr.DataArray, form: str) -> Layers:
    """Stack everything but y and x of a cube into layers, times before bands; nothing is read or copied."""
    stacked = [dim for dim in cube.dims if dim not in ("t", "bands", "y", "x")]
    order = [dim for dim in ("t", *stacked, "bands") if dim in cube.dims]
    cube = north_up(cube).transpose(*order, "y", "x")
    return Layers(cube.data, layer_names(cube, order), transform_of(cube, form), crs_of(cube))


def layer_names(cube: xr.DataArray, order: list[Any]) -> list[str]:
    """Name each layer after its labels, leaving out times where there is only one."""
    told = [dim for dim in order if cube.sizes[dim] > 1 or dim == "bands"]
    labels = [label_texts(cube, dim) if dim in told else [""] * cube.sizes[dim] for dim in order]
    return [" ".join(part for part in parts if part) for parts in itertools.product(*labels)]


def label_texts(cube: xr.DataArray, dim: Any) -> list[str]:
    """Return the labels of a dimension as text; times at midnight as mere dates."""
    if dim not in cube.coords:
        return [str(index) for index in range(cube.sizes[dim])]
    labels = cube[dim].values
    if labels.dtype.kind == "M":
        return [str(np.datetime_as_string(label, unit="s")).removesuffix("T00:00:00") for label in labels]
    return [str(label) for label in labels]


def properties_of(cube: xr.DataArray, dim: Any) -> dict[str, xr.DataArray]:
    """Return what a cube tells of each label of a dimension: the properties of features."""
    return {str(name): held for name, held in cube.coords.items() if held.dims == (dim,) and name != dim}


def north_up(cube: xr.DataArray) -> xr.DataArray:
    """Return the cube with y descending and x ascending."""
    for dim, descending in (("y", True), ("x", False)):
        labels = cube[dim].values
        if len(labels) > 1 and (labels[0] > labels[-1]) != descending:
            cube = cube.isel({dim: slice(None, None, -1)})
    return cube


def transform_of(cube: xr.DataArray, form: str) -> Affine:
    """Return the affine transform of the north-up grid whose pixel centres are the cube's x and y."""
    width, height = _step(cube, "x", form), _step(cube, "y", form)
    # A single row or column does not tell its size; the other axis does, and else the grid that the cube came from.
    if width is None or height is None:
        width, height = _lone_step(cube, width, height, form)
    west = float(cube["x"].values.min()) - width / 2
    north = float(cube["y"].values.max()) + height / 2
    return Affine(width, 0, west, 0, -height, north)


def crs_of(cube: xr.DataArray) -> Any:
    """Return the cube's coordinate reference system, None where it carries none."""
    import rioxarray  # noqa: F401  # adds the accessor

    return cube.rio.crs


def _step(cube: xr.DataArray, dim: str, form: str) -> float | None:
    if dim not in cube.coords:
        raise unsuitable(form, f"its dimension {dim} has no labels")
    labels = np.asarray(cube[dim].values, dtype=np.float64)
    if len(labels) < 2:
        return None
    steps = np.diff(labels)
    step = float((labels[-1] - labels[0]) / (len(labels) - 1))
    if step == 0 or np.abs(steps - step).max() > STRAY * abs(step):
        raise unsuitable(form, f"its {dim} labels are not evenly spaced; resample it to a regular grid")
    return abs(step)


def _lone_step(cube: xr.DataArray, width: float | None, height: float | None, form: str) -> tuple[float, float]:
    geo = str(cube.coords["spatial_ref"].attrs.get("GeoTransform", "")).split() if "spatial_ref" in cube.coords else []
    if len(geo) == 6:
        return width or abs(float(geo[1])), height or abs(float(geo[5]))
    known = width or height
    if known is None:
        raise unsuitable(form, "it is one pixel, whose size nothing tells; choose a larger extent")
    return width or known, height or known
