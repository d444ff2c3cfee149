"""Small STAC catalogues with real files for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from tests.processes.rasters import ORIGIN, UTM, tiff
from tests.processes.site import Site

COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def asset(href: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an asset of STAC 1.1 with one band."""
    bands = {} if name is None else {"bands": [{"name": name}]}
    return {"href": href, "type": COG, "roles": ["data"], **bands, **more}


def raster(
    site: Site,
    path: str,
    values: NDArray[Any],
    name: str | None = None,
    step: float = 10.0,
    origin: tuple[float, float] = ORIGIN,
    crs: str = UTM,
    href: str | None = None,
    file: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Put a GeoTIFF on the site; return its asset, whose metadata say everything about it."""
    site.add(path, tiff(values, step, origin, crs, **(file or {})))
    place = {
        "proj:code": crs,
        "proj:transform": [step, 0, origin[0], 0, -step, origin[1]],
        "proj:shape": list(values.shape[-2:]),
        "data_type": str(values.dtype),
    }
    return asset(href or path, name, **place, **more)


def item(id: str, when: str, assets: dict[str, Any], bounds: Any = None, **properties: Any) -> dict[str, Any]:
    """Return an item; `bounds` in UTM."""
    to_degrees = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    west, north = ORIGIN
    box = to_degrees.transform_bounds(*(bounds or (west, north - 640, west + 640, north)))
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": id,
        "bbox": list(box),
        "geometry": None,
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": assets,
    }


def collection(id: str, *links: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Return a collection with links (rel, href)."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": id,
        "description": id,
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": rel, "href": href} for rel, href in links],
        **more,
    }


def static(site: Site, *items: dict[str, Any], **more: Any) -> str:
    """Put a static collection of these items on the site; return its URL."""
    for one in items:
        site.add(f"/items/{one['id']}.json", one)
    links = [("item", f"./items/{one['id']}.json") for one in items]
    return site.add("/collection.json", collection("static", *links, **more))


def constant(value: float, size: int = 64, kind: str = "uint16") -> NDArray[Any]:
    """Return a square of one value."""
    return np.full((size, size), value, kind)
