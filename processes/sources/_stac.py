"""The STAC 1.1 collection of a source: physical values with units, never a scale or an offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from processes.sources._bands import Band
from processes.sources._grid import Grid
from processes.sources._items import text_of

STAC_VERSION = "1.1.0"
_EXTENSIONS = "https://stac-extensions.github.io/"
DATACUBE = f"{_EXTENSIONS}datacube/v2.2.0/schema.json"
_OPTIONAL_EXTENSIONS = {
    "eo:": f"{_EXTENSIONS}eo/v2.0.0/schema.json",
    "sat:": f"{_EXTENSIONS}sat/v1.1.0/schema.json",
    "classification:": f"{_EXTENSIONS}classification/v1.1.0/schema.json",
}


@dataclass(frozen=True)
class Description:
    """What people wrote about a collection."""

    title: str
    description: str
    license: str = "other"
    keywords: tuple[str, ...] = ()
    providers: tuple[Mapping[str, Any], ...] = ()
    constellation: str | None = None
    platforms: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    gsd: float | None = None


def collection(
    collection_id: str,
    about: Description,
    bands: Sequence[Band],
    grid: Grid,
    period: tuple[np.datetime64, np.datetime64],
    properties: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the collection document, its `links` empty.

    `period` holds the first and the last acquisition; `properties` are the item properties' summaries.
    """
    document: dict[str, Any] = {
        "stac_version": STAC_VERSION,
        "stac_extensions": [DATACUBE],
        "type": "Collection",
        "id": collection_id,
        "title": about.title,
        "description": about.description,
        "license": about.license,
        "keywords": list(about.keywords),
        "providers": [dict(provider) for provider in about.providers],
        "extent": _extent(grid, period),
        "cube:dimensions": _dimensions(bands, grid, period),
        "summaries": _summaries(about, bands, properties),
        "item_assets": {band.name: _asset(band) for band in bands},
        "links": [],
    }
    text = str([document["summaries"], document["item_assets"]])
    document["stac_extensions"] += [url for key, url in _OPTIONAL_EXTENSIONS.items() if f"'{key}" in text]
    return document


def _extent(grid: Grid, period: tuple[np.datetime64, np.datetime64]) -> dict[str, Any]:
    bbox = [round(edge, 7) for edge in grid.bounds_in("EPSG:4326")]
    return {
        "spatial": {"bbox": [bbox]},
        "temporal": {"interval": [[text_of(period[0]), text_of(period[1])]]},
    }


def _dimensions(bands: Sequence[Band], grid: Grid, period: tuple[np.datetime64, np.datetime64]) -> dict[str, Any]:
    west, south, east, north = grid.bounds
    system = grid.epsg if grid.epsg is not None else grid.crs

    def spatial(axis: str, extent: list[float], step: float) -> dict[str, Any]:
        return {"type": "spatial", "axis": axis, "extent": extent, "step": step, "reference_system": system}

    return {
        "x": spatial("x", [west, east], grid.step[0]),
        "y": spatial("y", [south, north], grid.step[1]),
        "t": {"type": "temporal", "extent": [text_of(period[0]), text_of(period[1])], "step": None},
        "bands": {"type": "bands", "values": [band.name for band in bands]},
    }


def _summaries(
    about: Description, bands: Sequence[Band], properties: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    listed = {
        "constellation": [about.constellation] if about.constellation else [],
        "platform": list(about.platforms),
        "instruments": list(about.instruments),
        "gsd": [] if about.gsd is None else [about.gsd],
    }
    items = {name: _summary(found) for name, found in properties.items()}
    summaries = {**{key: values for key, values in listed.items() if values}, **items}
    summaries["bands"] = [_band(band) for band in bands]
    # The form before STAC 1.1, which many openEO clients still read.
    if any(band.common_name or band.center_wavelength for band in bands):
        summaries["eo:bands"] = [_eo_band(band) for band in bands]
    return {key: value for key, value in summaries.items() if value}


def _summary(found: Mapping[str, Any]) -> Any:
    if "values" in found:
        return list(found["values"])
    return {"minimum": found["minimum"], "maximum": found["maximum"]}


def _band(band: Band) -> dict[str, Any]:
    """Return STAC 1.1's band object."""
    described = {
        "name": band.name,
        "description": band.description or None,
        "gsd": band.gsd,
        "unit": band.unit,
        "eo:common_name": band.common_name,
        "eo:center_wavelength": band.center_wavelength,
        "eo:full_width_half_max": band.full_width_half_max,
        **_values(band),
    }
    return {key: value for key, value in described.items() if value is not None}


def _values(band: Band) -> dict[str, Any]:
    """Return type, no-data value, range and classes of the values as they are loaded."""
    limits = {"minimum": band.minimum, "maximum": band.maximum}
    statistics = {key: value for key, value in limits.items() if value is not None}
    return {
        "data_type": band.dtype if band.is_class else "float32",
        "nodata": band.nodata if band.is_class else "nan",
        "statistics": statistics or None,
        "classification:classes": [_class(entry) for entry in band.classes] or None,
    }


def _class(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: entry.get(key) for key in ("value", "name", "description", "color_hint")}
    found["description"] = found["description"] or found["name"] or str(found["value"])
    if found["color_hint"] is not None:
        found["color_hint"] = str(found["color_hint"]).lstrip("#").upper()
    return {key: value for key, value in found.items() if value is not None}


def _eo_band(band: Band) -> dict[str, Any]:
    described = {
        "name": band.name,
        "common_name": band.common_name,
        "description": band.description or None,
        "center_wavelength": band.center_wavelength,
        "full_width_half_max": band.full_width_half_max,
        "gsd": band.gsd,
    }
    return {key: value for key, value in described.items() if value is not None}


def _asset(band: Band) -> dict[str, Any]:
    described = {
        "title": band.name,
        "description": band.description or None,
        "roles": ["data"],
        "unit": band.unit,
        "gsd": band.gsd,
        **_values(band),
        "bands": [_band(band)],
    }
    return {key: value for key, value in described.items() if value is not None}
