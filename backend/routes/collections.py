"""The collections that can be loaded: `/collections` and each of them."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response

from backend.context import current

# What the overview tells of each collection; the API recommends to leave out what is long.
OVERVIEW = (
    "stac_version",
    "stac_extensions",
    "type",
    "id",
    "title",
    "description",
    "keywords",
    "version",
    "deprecated",
    "experimental",
    "license",
    "providers",
    "extent",
)

blueprint = Blueprint("collections", __name__)


@blueprint.get("/collections")
def collections() -> dict[str, Any]:
    """List all collections; there are few, so a `limit` has no pages to make."""
    catalog = current().services.catalog
    listed = [_overview(catalog.get(identifier).metadata()) for identifier in catalog.ids()]
    return {"collections": listed, "links": [_link("self", "/collections"), _link("root", "/")]}


# Ids may hold slashes.
@blueprint.get("/collections/<path:collection_id>")
def collection(collection_id: str) -> dict[str, Any]:
    """Describe one collection completely."""
    metadata = current().services.catalog.get(collection_id).metadata()
    return {**metadata, "links": _links(metadata)}


@blueprint.get("/collections/<path:collection_id>/queryables")
def queryables(collection_id: str) -> Response:
    """Describe the item properties by which a collection can be filtered when it is loaded, as a JSON schema."""
    source = current().services.catalog.get(collection_id)
    schema = {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": current().url(f"/collections/{collection_id}/queryables"),
        "type": "object",
        "title": source.metadata().get("title", collection_id),
        "properties": {name: _property(name, about) for name, about in source.properties().items()},
        "additionalProperties": False,
    }
    return Response(json.dumps(schema), content_type="application/schema+json")


def _property(name: str, about: dict[str, Any]) -> dict[str, Any]:
    words = {"type": "type", "values": "enum", "minimum": "minimum", "maximum": "maximum"}
    return {"title": name, **{word: about[key] for key, word in words.items() if key in about}}


def _overview(metadata: dict[str, Any]) -> dict[str, Any]:
    return {**{key: metadata[key] for key in OVERVIEW if key in metadata}, "links": _links(metadata)}


def _links(metadata: dict[str, Any]) -> list[dict[str, str]]:
    """Return the collection's own links (its license, say) and ours."""
    ours = [_link("self", f"/collections/{metadata['id']}"), _link("root", "/"), _link("parent", "/collections")]
    return [*ours, *metadata.get("links", [])]


def _link(relation: str, path: str) -> dict[str, str]:
    return {"rel": relation, "href": current().url(path), "type": "application/json"}
