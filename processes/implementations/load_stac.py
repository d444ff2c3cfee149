"""`load_stac`: rasters that a STAC catalogue of somebody's lists, as a lazy cube of stored values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr

from processes.environment import Environment, Halo
from processes.errors import OpenEOError, invalid
from processes.fetch import FetchError
from processes.fetch.gate import Gate
from processes.implementations.load_result import load_stored
from processes.overrides._area import blank, inside
from processes.sources import Bbox, Footprint, parse_bbox, parse_footprint, parse_interval
from processes.sources.extents import Interval, plain
from processes.sources.origin import Origin
from processes.sources.stac.catalogue import CatalogueError, Found, Wanted, find_items
from processes.sources.stac.cube import Request, outline, stac_cube
from processes.sources.stac.item import StacItem, parse_item

_PROCESS = "load_stac"


def load_stac(
    url: str,
    spatial_extent: Any = None,
    temporal_extent: Any = None,
    bands: list[str] | None = None,
    properties: Mapping[str, Callable[..., Any]] | None = None,
    *,
    env: Environment,
) -> xr.DataArray:
    """Load rasters from STAC: an Item, a static Collection or Catalog, or a Collection of a STAC API.

    Metadata are read while the graph is built, pixels when the cube is computed; both through the fetch gate.

    Parameters
    ----------
    url : str
    spatial_extent : bounding box, GeoJSON, vector cube or None
        Pixels whose centres touch it are loaded. For polygons the cube covers their bounding box and has no data
        outside of them.
    temporal_extent : array of two dates or date-times, or None
        Half-open; one of the two may be null.
    bands : list of str, optional
        Names of bands, keys of assets, or common names; their order is the cube's.
    properties : mapping of str to callback, optional
        Conditions on the items' properties, all of which must hold.
    env : Environment
        Its fetch rules say what may be read; its halo widens what is loaded. Results of this back-end's own batch jobs
        that the user may read are read from its disk, as `load_result` does.

    Returns
    -------
    xr.DataArray
        Lazy cube ``(t, bands, y, x)`` of values as they are stored, without scale and offset; float32, or float64
        where that does not hold all values; NaN is no data, by what each item's metadata say of each band.

    Raises
    ------
    OpenEOError
        NoDataAvailable, TemporalExtentEmpty, PropertiesUnsupported, ProcessParameterInvalid.
    """
    own = env.results.at(url) if env.results is not None and isinstance(url, str) else None
    if own is not None:
        _refuse_properties(properties)
        return load_stored(own, "url", _PROCESS, env, spatial_extent, temporal_extent, bands)
    bbox, footprint = _where(spatial_extent)
    interval = parse_interval(temporal_extent, "temporal_extent", _PROCESS)
    conditions = {name: _condition(name, test) for name, test in (properties or {}).items()}
    request = Request(bbox, interval, _names(bands), conditions, env.halo)
    with _told():
        wanted = Wanted(outline(bbox, env.halo), _widened(interval, env.halo))
        gate = Gate(env.fetch)
        hurried = gate.hurried()
        found = find_items(hurried, url, wanted)
        items = _parsed(found)
        if not items:
            raise _nothing(spatial_extent is not None or interval is not None)
        cube = stac_cube(items, found.collection, request, Origin(gate, env.fetch, "url", _PROCESS), hurried)
    env.ledger.note(cube)
    return cube if footprint is None else blank(cube, inside(cube, footprint))


def _refuse_properties(properties: Any) -> None:
    if properties:
        message = (
            f"Results of batch jobs have no properties to choose by: leave out 'properties' of '{_PROCESS}' "
            f"({', '.join(map(str, properties))}), or choose dates with 'temporal_extent'."
        )
        raise OpenEOError("PropertiesUnsupported", message)


def _where(extent: Any) -> tuple[Bbox | None, Footprint | None]:
    """Return the bounding box to load, and the polygons outside of which there is no data."""
    extent = plain(extent)
    if extent is None:
        return None, None
    if isinstance(extent, dict) and "type" not in extent:
        return parse_bbox(extent, "spatial_extent", _PROCESS), None
    footprint = parse_footprint(extent, "spatial_extent", _PROCESS)
    return footprint.bbox, footprint


def _names(bands: Any) -> list[str] | None:
    if bands is None:
        return None
    if not isinstance(bands, list | tuple) or not bands or not all(isinstance(name, str) for name in bands):
        raise invalid("bands", _PROCESS, f"{bands!r} is not an array of at least one band name; null stands for all")
    return list(bands)


def _condition(name: str, callback: Any) -> Callable[[Any], Any]:
    """Return the condition as a function of one value."""
    if not callable(callback):
        raise invalid("properties", _PROCESS, f"the condition on '{name}' is not a process graph")
    return lambda value: callback(value, positional_parameters={"value": 0}, named_parameters={})


def _widened(interval: Interval | None, halo: Halo | None) -> Interval | None:
    if interval is None or halo is None:
        return interval
    days = np.timedelta64(round(halo.days * 86400e9), "ns")
    start, end = interval
    return (None if start is None else start - days, None if end is None else end + days)


@contextmanager
def _told() -> Iterator[None]:
    """Tell what went wrong with a catalogue as an error of the parameter `url`, and of this process."""
    try:
        yield
    except (FetchError, CatalogueError) as error:
        raise invalid("url", _PROCESS, str(error)) from error
    except OpenEOError as error:
        # The choice of items is shared with collections, and names their process.
        message = error.message.replace("process 'load_collection'", f"process '{_PROCESS}'")
        raise OpenEOError(error.code, message, error.status) from error


def _parsed(found: Found) -> list[StacItem]:
    defaults = found.collection.get("item_assets")
    try:
        return [parse_item(document, place, defaults) for place, document in found.items]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        reason = f"it lists something that is no STAC Item ({type(error).__name__}: {str(error)[:200]})"
        raise invalid("url", _PROCESS, reason) from error


def _nothing(limited: bool) -> OpenEOError:
    where = " for the extents in 'spatial_extent' and 'temporal_extent'" if limited else ""
    return OpenEOError("NoDataAvailable", f"The STAC catalogue at 'url' has no items{where}.")
