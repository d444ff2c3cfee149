"""Polygons as a spatial extent: GeoJSON or a vector cube, their bounding box, and the mask outside of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
import shapely.geometry
import xarray as xr
from dask.base import tokenize
from numpy.typing import NDArray
from shapely.errors import ShapelyError

from processes.sources._blocks import dask_array
from processes.sources.extents import Bbox, crs_text, invalid, parse_crs, plain

_POLYGONS = ("Polygon", "MultiPolygon")


@dataclass(frozen=True, eq=False)
class Footprint:
    """An area in `crs`, as one shapely geometry."""

    geometry: Any
    crs: str

    @property
    def bbox(self) -> Bbox:
        """Return the bounding box, in the footprint's own CRS."""
        west, south, east, north = self.geometry.bounds
        return Bbox(west, south, east, north, self.crs)


def parse_footprint(value: Any, parameter: str = "spatial_extent", process: str = "load_collection") -> Footprint:
    """Return the area of GeoJSON polygons (as an object) or of a vector cube's polygons.

    GeoJSON is in longitude and latitude unless it has the former `crs` member. Empty geometries are ignored;
    other types than Polygon and MultiPolygon are errors.
    """
    value = plain(value)
    try:
        shapes, crs = _shapes(value)
    except (AttributeError, KeyError, TypeError, ValueError, ShapelyError) as error:
        reason = f"it is not valid GeoJSON of polygons ({type(error).__name__}: {error})."
        raise invalid(parameter, reason, process) from error
    wrong = {shape.geom_type for shape in shapes} - set(_POLYGONS)
    if wrong:
        raise invalid(parameter, f"it holds {', '.join(sorted(wrong))}; only polygons are possible.", process)
    # Mended one by one: where parts of a multipolygon overlap, mending it as a whole would cut a hole.
    area = shapely.union_all(shapely.make_valid(shapely.get_parts(shapes)))
    if area.is_empty:
        raise invalid(parameter, "it holds no polygon that is not empty.", process)
    return Footprint(area, crs_text(parse_crs(4326 if crs is None else crs, parameter, process)))


def mask_outside(cube: xr.DataArray, footprint: Footprint, nodata: float | None) -> xr.DataArray:
    """Return `cube` with `nodata` (NaN for None) where a pixel's centre does not touch the footprint; lazy.

    Centres are transformed to the footprint's CRS, where its edges are straight; the edges count as inside.
    """
    area, crs = footprint.geometry.wkb, str(cube.rio.crs.to_wkt())
    pixels = _Touching(cube["y"].to_numpy(), cube["x"].to_numpy(), crs, area, footprint.crs)
    name = "inside-" + tokenize(pixels.y, pixels.x, crs, area, footprint.crs)
    chunks = (cube.chunksizes["y"], cube.chunksizes["x"])
    mask = xr.DataArray(dask_array(pixels, chunks, name), dims=("y", "x"))
    if nodata is not None:
        return cube.where(mask, np.asarray(nodata, cube.dtype))
    return cube.astype("float32", copy=False).where(mask)


@dataclass(frozen=True, eq=False)
class _Touching:
    """An array (y, x) that tells, when it is indexed, which pixel centres touch the area (WKB)."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    crs: str
    area: bytes
    area_crs: str

    dtype = np.dtype(bool)
    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns)."""
        return (len(self.y), len(self.x))

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the mask of a block."""
        x, y = np.meshgrid(self.x[key[1]], self.y[key[0]])
        # Geometry and transformer of this call's own: neither may be shared by threads.
        area = shapely.from_wkb(self.area)
        shapely.prepare(area)
        to_area = pyproj.Transformer.from_crs(self.crs, self.area_crs, always_xy=True)
        touching: NDArray[np.bool_] = shapely.intersects_xy(area, *to_area.transform(x, y))
        return touching


def _shapes(value: Any) -> tuple[list[Any], Any]:
    """Return the geometries and their CRS (None: longitude and latitude)."""
    if isinstance(value, xr.DataArray | xr.Dataset):
        return _of_vector_cube(value)
    if isinstance(value, Mapping):
        member = value.get("crs") or {}
        return [shapely.geometry.shape(g) for g in _geometries(value)], member.get("properties", {}).get("name")
    # A GeoDataFrame, perhaps a lazy one: features are few, and their bounds are needed now.
    frame = value.compute() if hasattr(value, "dask") else value
    return list(frame.geometry), frame.crs.to_wkt() if frame.crs is not None else None


def _geometries(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the geometry objects of a GeoJSON document."""
    kind = document["type"]
    if kind == "FeatureCollection":
        features: Iterable[Mapping[str, Any]] = document["features"]
        yield from (feature["geometry"] for feature in features if feature["geometry"] is not None)
    elif kind == "Feature":
        yield document["geometry"]
    else:
        yield document


def _of_vector_cube(cube: xr.DataArray | xr.Dataset) -> tuple[list[Any], Any]:
    for name, coordinate in cube.coords.items():
        values: Sequence[Any] = coordinate.to_numpy().ravel()
        if len(values) and all(isinstance(value, shapely.Geometry) for value in values):
            crs = getattr(cube.xindexes.get(name), "crs", None)
            return list(values), None if crs is None else crs.to_wkt()
    raise ValueError("a vector cube needs a dimension of geometries")
