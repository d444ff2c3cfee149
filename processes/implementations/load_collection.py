"""`load_collection`: part of a collection as a lazy cube of physical values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from processes.environment import Environment
from processes.sources import (
    Bbox,
    CollectionSource,
    Footprint,
    LoadRequest,
    mask_outside,
    parse_bbox,
    parse_footprint,
    parse_interval,
)
from processes.sources.extents import invalid, plain


def load_collection(
    id: str,
    spatial_extent: Any,
    temporal_extent: Any,
    bands: list[str] | None = None,
    properties: Mapping[str, Callable[..., Any]] | None = None,
    *,
    env: Environment,
) -> xr.DataArray:
    """Load part of a collection.

    Parameters
    ----------
    id : str
        The collection id.
    spatial_extent : bounding box, GeoJSON, vector cube or None
        Pixels whose centres touch it are loaded. For polygons the cube covers their bounding box and has no data
        outside of them.
    temporal_extent : array of two dates or date-times, or None
        Half-open; one of the two may be null.
    bands : list of str, optional
        Names or common names; their order is the cube's.
    properties : mapping of str to callback, optional
        Conditions on the items' properties, all of which must hold.
    env : Environment
        Its catalog has the collection; its halo widens what is loaded.

    Returns
    -------
    xr.DataArray
        Lazy cube ``(t, bands, y, x)``, float32 with NaN as no data; integers when all bands hold classes.

    Raises
    ------
    OpenEOError
        CollectionNotFound, NoDataAvailable, TemporalExtentEmpty, ProcessParameterInvalid.
    """
    source = env.catalog.get(id)
    bbox, footprint = _where(spatial_extent)
    request = LoadRequest(
        bbox=bbox,
        interval=parse_interval(temporal_extent),
        bands=_band_names(bands),
        properties={name: _predicate(name, test) for name, test in (properties or {}).items()},
        halo=env.halo,
    )
    cube = source.load(request)
    return cube if footprint is None else mask_outside(cube, footprint, _nodata(cube, source))


def _where(extent: Any) -> tuple[Bbox | None, Footprint | None]:
    """Return the bounding box to load, and the polygons outside of which there is no data."""
    extent = plain(extent)
    if extent is None:
        return None, None
    if isinstance(extent, dict) and "type" not in extent:
        return parse_bbox(extent), None
    footprint = parse_footprint(extent)
    return footprint.bbox, footprint


def _band_names(bands: Any) -> tuple[str, ...] | None:
    if bands is None:
        return None
    if not isinstance(bands, list | tuple) or not bands or not all(isinstance(name, str) for name in bands):
        raise invalid("bands", f"{bands!r} is not an array of at least one band name; null stands for all.")
    return tuple(bands)


def _predicate(name: str, callback: Any) -> Callable[[Any], Any]:
    """Return the condition as a function of one value; the graph's callbacks want to know the parameter's name."""
    if not callable(callback):
        raise invalid("properties", f"the condition on '{name}' is not a process graph.")
    return lambda value: callback(value, positional_parameters={"value": 0}, named_parameters={})


def _nodata(cube: xr.DataArray, source: CollectionSource) -> float | None:
    """Return the value that marks no data in a cube of classes; None (for NaN) in others."""
    if not np.issubdtype(cube.dtype, np.integer):
        return None
    described = {band["name"]: band for band in source.metadata()["summaries"]["bands"]}
    values = {described[name].get("nodata") for name in cube["bands"].to_numpy().tolist()}
    return values.pop() if len(values) == 1 else None
