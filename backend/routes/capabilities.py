"""What the server is and can: `/`, `/.well-known/openeo`, `/conformance`."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Blueprint, current_app

from backend.context import current

API_VERSION = "1.2.0"
STAC_VERSION = "1.1.0"
CONFORMS_TO = ["https://api.openeo.org/1.2.0", "https://api.stacspec.org/v1.0.0/collections"]
DESCRIPTION = (
    "An openEO back-end with one process that no other has: `multimodal_embed` turns a time series of Sentinel-2 (and "
    "Sentinel-1) images into seven numbers per 10 m pixel and date. Process graphs run on a Dask cluster."
)

blueprint = Blueprint("capabilities", __name__)


@blueprint.get("/")
def capabilities() -> dict[str, Any]:
    """Describe the server and list its endpoints."""
    return {
        "api_version": API_VERSION,
        "backend_version": backend_version(),
        "stac_version": STAC_VERSION,
        "type": "Catalog",
        "id": "openeo-embed",
        "title": "openeo-embed",
        "description": DESCRIPTION,
        "production": False,
        "conformsTo": CONFORMS_TO,
        "endpoints": endpoints(),
        "links": _links(),
    }


@blueprint.get("/.well-known/openeo")
def well_known() -> dict[str, Any]:
    """List the one version of the API that is served."""
    return {"versions": [{"url": current().url("/"), "api_version": API_VERSION, "production": False}]}


@blueprint.get("/conformance")
def conformance() -> dict[str, Any]:
    """List the conformance classes."""
    return {"conformsTo": CONFORMS_TO}


def endpoints() -> list[dict[str, Any]]:
    """Return the application's own routes in the form of the API; `/` itself is not listed, as the API wants it."""
    found: dict[str, set[str]] = {}
    for rule in current_app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        found.setdefault(path, set()).update((rule.methods or set()) - {"HEAD", "OPTIONS"})
    return [{"path": path, "methods": sorted(methods)} for path, methods in sorted(found.items()) if path != "/"]


def backend_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("openeo-embed")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"


def _links() -> list[dict[str, str]]:
    url = current().url
    json = "application/json"
    return [
        {"rel": "self", "href": url("/"), "type": json, "title": "This document"},
        {"rel": "version-history", "href": url("/.well-known/openeo"), "type": json, "title": "Versions of the API"},
        {"rel": "conformance", "href": url("/conformance"), "type": json, "title": "Conformance classes"},
        {"rel": "data", "href": url("/collections"), "type": json, "title": "Collections"},
    ]
