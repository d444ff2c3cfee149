"""STAC items parsed once: when, where, and in which files each band lies."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from processes.fetch.urls import join
from processes.sources.extents import parse_instant

Bounds = tuple[float, float, float, float]
Json = Mapping[str, Any]

_RASTER_TYPES = re.compile(r"image/(tiff|jp2|jpx|geotiff|vnd\.stac\.geotiff|x\.geotiff)|application/(x-)?geotiff")
_RASTER_NAMES = re.compile(r"\.(tiff?|jp2)$", re.IGNORECASE)
# Assets that show data rather than hold them; read only where they are asked for by name.
_SHOWN = {"thumbnail", "overview", "visual", "metadata"}
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True)
class Layer:
    """One band of one asset. What the metadata do not say is None; `transform` has six numbers as in affine's order."""

    key: str
    index: int
    name: str | None
    href: str
    common_name: str | None = None
    center_wavelength: float | None = None
    nodata: float | None = None
    dtype: str | None = None
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    shape: tuple[int, int] | None = None
    resolution: float = math.inf
    shown: bool = False

    @property
    def label(self) -> str:
        """Return the band's own name, or the asset's key for one that has none."""
        return self.name or self.key

    @property
    def bounds(self) -> Bounds | None:
        """Return west, south, east, north in `crs`; None where they are not known."""
        if self.crs is None or self.transform is None or self.shape is None:
            return None
        a, b, c, d, e, f = self.transform
        rows, columns = self.shape
        x = [c, c + a * columns, c + b * rows, c + a * columns + b * rows]
        y = [f, f + d * columns, f + e * rows, f + d * columns + e * rows]
        return (min(x), min(y), max(x), max(y))


@dataclass(frozen=True)
class StacItem:
    """One item: its time (UTC), properties, bounds in longitude and latitude, and layers."""

    id: str
    time: np.datetime64
    properties: Json
    bbox: Bounds | None
    layers: tuple[Layer, ...]


def parse_item(document: Json, base: str, defaults: Json | None = None) -> StacItem:
    """Return a STAC item.

    Parameters
    ----------
    document : mapping
    base : str
        Where it was found: what relative links are relative to.
    defaults : mapping, optional
        The collection's ``item_assets``, which complete the assets of the same key.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        What makes it no item.
    """
    properties = dict(document.get("properties") or {})
    instant = properties.get("datetime") or properties.get("start_datetime")
    if instant is None:
        raise ValueError(f"the item {document.get('id')!r} has neither datetime nor start_datetime")
    layers = [
        layer
        for key, asset in (document.get("assets") or {}).items()
        for layer in _layers(key, {**((defaults or {}).get(key) or {}), **asset}, properties, base)
    ]
    time = parse_instant(instant, "url", "load_stac")
    return StacItem(str(document.get("id")), time, properties, item_bounds(document), tuple(layers))


def item_bounds(document: Json) -> Bounds | None:
    """Return the bounding box of an item in longitude and latitude, two of its dimensions."""
    box = document.get("bbox")
    if not isinstance(box, Sequence) or len(box) not in (4, 6):
        return None
    half = len(box) // 2
    return (float(box[0]), float(box[1]), float(box[half]), float(box[half + 1]))


def _layers(key: str, asset: Json, properties: Json, base: str) -> Iterator[Layer]:
    """Yield the bands of an asset; none where it is no raster, or none that can be reached."""
    href = _href(asset)
    if href is None or not _is_raster(asset, href):
        return
    bands, described = _lists(asset)
    count = max(len(bands), len(described), 1)
    for i in range(count):
        band = {**(described[i] if i < len(described) else {}), **(bands[i] if i < len(bands) else {})}
        inherited = asset if count == 1 else {k: v for k, v in asset.items() if k != "name"}
        name = band.get("name") or (f"{key}_{i + 1}" if count > 1 else None)
        yield _layer(key, i + 1, name, join(base, href), band, inherited, properties)


def _layer(key: str, index: int, name: Any, href: str, band: Json, asset: Json, properties: Json) -> Layer:
    transform = _numbers(_first("proj:transform", asset, properties), 6)
    wavelength = _first("eo:center_wavelength", band, asset) or band.get("center_wavelength")
    dtype = _first("data_type", band, asset)
    return Layer(
        key=key,
        index=index,
        name=None if name is None else str(name),
        href=href,
        common_name=_first("eo:common_name", band, asset) or band.get("common_name"),
        center_wavelength=None if wavelength is None else float(wavelength),
        nodata=_number(_first("nodata", band, asset)),
        dtype=None if dtype is None else str(dtype),
        crs=_crs(asset) or _crs(properties),
        transform=transform,
        shape=_shape(_first("proj:shape", asset, properties)),
        resolution=_resolution(band, asset, properties, transform),
        shown=bool(_SHOWN & set(asset.get("roles") or ())) or key in _SHOWN,
    )


def _href(asset: Json) -> str | None:
    """Return where the asset lies, or an alternate place of it that is on the web."""
    alternates = asset.get("alternate") or {}
    places = [asset.get("href"), *(one.get("href") for one in alternates.values() if isinstance(one, Mapping))]
    for place in places:
        scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", str(place or ""))
        if place and (scheme is None or scheme[0].lower() in ("https:", "http:")):
            return str(place)
    return None


def _is_raster(asset: Json, href: str) -> bool:
    kind = str(asset.get("type") or "").lower()
    if kind:
        return bool(_RASTER_TYPES.match(kind))
    return bool(_RASTER_NAMES.search(re.split(r"[?#]", href, maxsplit=1)[0]))


def _lists(asset: Json) -> tuple[list[Json], list[Json]]:
    """Return the bands with names (STAC 1.1, or the extension eo), and the bands with values' types (1.0)."""
    named = asset.get("bands") or asset.get("eo:bands") or []
    described = asset.get("raster:bands") or []
    return ([one for one in part if isinstance(one, Mapping)] for part in (named, described))  # type: ignore[return-value]


def _first(name: str, *places: Json) -> Any:
    return next((place[name] for place in places if place.get(name) is not None), None)


def _crs(place: Json) -> str | None:
    """Return the reference system of an asset, or of an item: code, number, or text in this order."""
    code = place.get("proj:code") or place.get("proj:epsg")
    if code is not None:
        return f"EPSG:{code}" if isinstance(code, int) or str(code).isdigit() else str(code)
    wkt = place.get("proj:wkt2")
    return None if wkt is None else str(wkt)


def _resolution(band: Json, asset: Json, properties: Json, transform: tuple[float, ...] | None) -> float:
    """Return the size of a pixel in the unit of its reference system or in metres, whichever is known."""
    if transform is not None:
        return max(math.hypot(transform[0], transform[3]), 0.0) or math.inf
    told = _first("raster:spatial_resolution", band, asset) or band.get("spatial_resolution")
    told = told or _first("gsd", asset, properties)
    return float(told) if isinstance(told, int | float) and told > 0 else math.inf


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _SPECIAL.get(value.lower())
    return float(value) if isinstance(value, int | float) else None


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < count:
        return None
    numbers = tuple(float(one) for one in value[:count])
    return numbers if all(map(math.isfinite, numbers)) else None


def _shape(value: Any) -> tuple[int, int] | None:
    numbers = _numbers(value, 2)
    return None if numbers is None else (int(numbers[0]), int(numbers[1]))
