"""What every STAC Item of a model has: the extensions, where and when, and how its file is told and verified.

Written by hand: the package stac-model (0.7.0 was looked at) writes MLM 1.6.0, not 1.5.2, and brings pydantic, pystac,
typer, jsonschema and pip itself for a dictionary of twenty entries. That the Items are valid is tested against the
published schemas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

_SHA256 = "1220"  # a multihash's first two bytes: SHA-256, 32 bytes long
_HEX = re.compile(r"[0-9a-f]{64}")


def model_feature(
    id: str,
    instant: str,
    properties: Mapping[str, Any],
    assets: Mapping[str, Any],
    bbox: tuple[float, float, float, float] | None = None,
) -> dict[str, Any]:
    """Return the STAC 1.1 Item of a model.

    Parameters
    ----------
    instant : str
        When it was made, RFC 3339.
    properties, assets : mapping
        With MLM's own fields.
    bbox : tuple of float, optional
        West, south, east, north of the training data in EPSG:4326.
    """
    where: dict[str, Any] = {"geometry": None}
    if bbox:
        west, south, east, north = bbox
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        where = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [west, south, east, north]}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM, RASTER, FILE],
        "id": id,
        **where,
        "properties": {"datetime": instant, "created": instant, **properties},
        "links": [],
        "assets": dict(assets),
    }


def model_asset(
    href: str, title: str, artifact: str, bands: Sequence[Mapping[str, Any]], size: int | None, sha256: str
) -> dict[str, Any]:
    """Return the asset of a model's file; its media type is the caller's to add.

    Parameters
    ----------
    artifact : str
        The function that wrote it, as MLM's `mlm:artifact_type` has it.
    bands : sequence of mapping
        Band objects with a ``name``.
    size : int, optional
        In bytes.
    sha256 : str
        Hexadecimal, of the file.
    """
    return {
        "href": href,
        "title": title,
        "roles": ["mlm:model"],
        "mlm:artifact_type": artifact,
        # STAC 1.1 and MLM 1.5.2 do not agree on a place for STAC's own `bands`; both take this one.
        "raster:bands": [dict(band) for band in bands],
        **({} if size is None else {"file:size": size}),
        "file:checksum": _SHA256 + sha256,
    }


def sha256_of_asset(asset: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 that an asset's checksum tells; ValueError where it tells none."""
    checksum = str(asset.get("file:checksum", ""))
    digest = checksum.removeprefix(_SHA256)
    if not checksum.startswith(_SHA256) or not _HEX.fullmatch(digest):
        raise ValueError(f"`file:checksum` is {checksum!r}, not the multihash of a SHA-256 ({_SHA256} and 64 digits)")
    return digest


def mlm_name(text: str) -> str:
    """Return the text as `mlm:name` allows it: no marks but ``_ . -``, a letter first, no mark at the end."""
    plain = re.sub(r"[^a-zA-Z0-9_.\- ]+", " ", text)
    return re.sub(r"^[^a-zA-Z]+|[^a-zA-Z0-9]+$", "", plain)
