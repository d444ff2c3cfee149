"""Results as STAC 1.1: a Collection with all assets, and an Item for each; made when asked for, with fresh links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from backend.jobs import dimensions
from backend.jobs.model import Job
from backend.jobs.states import QUEUED, RUNNING
from backend.times import rfc3339

STAC_VERSION = "1.1.0"
EXTENSIONS = [
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
]
WORLD = [-180.0, -90.0, 180.0, 90.0]
GEOJSON = "application/geo+json"

# Turns a path of this server into a URL that opens without logging in.
Signed = Callable[[str], str]


def collection(job: Job, signed: Signed, expires: int) -> dict[str, Any]:
    """Return the results of a job as a STAC Collection; those of a job that runs are what is there so far."""
    assets = _assets(job, signed)
    items = {name: signed(item_path(job, name)) for name in assets}
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": _extensions(assets) if assets else [],
        "id": job.id,
        "title": job.draft.title or f"Results of the batch job {job.id}",
        "description": job.draft.description or "What the batch job has computed.",
        "license": "other",
        "extent": {"spatial": {"bbox": [_bbox(job) or WORLD]}, "temporal": {"interval": [_interval(job)]}},
        "openeo:status": status(job),
        "expires": rfc3339(expires),
        "assets": assets,
        "links": [
            _canonical(job, signed),
            *({"rel": "item", "href": href, "type": GEOJSON, "title": name} for name, href in items.items()),
        ],
    }


def all_in_one(job: Job, signed: Signed, expires: int) -> dict[str, Any]:
    """Return the results of a job as one STAC Item."""
    told = _item(job, job.id, _assets(job, signed))
    told["properties"] |= {"openeo:status": status(job), "expires": rfc3339(expires)}
    told["links"] = [_canonical(job, signed)]
    return told


def item(job: Job, name: str, signed: Signed) -> dict[str, Any]:
    """Return one file of the results as a STAC Item; KeyError where there is none of that name."""
    told = _item(job, PurePath(name).stem, {name: _assets(job, signed)[name]})
    parent = {"href": signed(results_path(job)), "type": "application/json"}
    own = {"rel": "self", "href": signed(item_path(job, name)), "type": GEOJSON}
    told["links"] = [own, {"rel": "collection", **parent}, {"rel": "parent", **parent}, {"rel": "root", **parent}]
    return {**told, "collection": job.id}


def status(job: Job) -> str:
    """Return the job's status as results tell it: one that waits for a further attempt counts as running."""
    return RUNNING if job.state.status == QUEUED else job.state.status


def results_path(job: Job) -> str:
    """Return the path of a job's results."""
    return f"/jobs/{job.id}/results"


def item_path(job: Job, name: str) -> str:
    """Return the path of the item of one file."""
    return f"/jobs/{job.id}/results/items/{name}"


def asset_path(job: Job, name: str) -> str:
    """Return the path of one file."""
    return f"/jobs/{job.id}/results/assets/{name}"


def _canonical(job: Job, signed: Signed) -> dict[str, str]:
    title = "These results, for anyone who has this link"
    return {"rel": "canonical", "href": signed(results_path(job)), "type": "application/json", "title": title}


def _item(job: Job, identifier: str, assets: Mapping[str, Any]) -> dict[str, Any]:
    start, end = _interval(job)
    period = {"start_datetime": start, "end_datetime": end}
    moment = start if start == end else None
    bbox = _bbox(job)
    located = {"bbox": bbox, "geometry": _rectangle(bbox)} if bbox else {"geometry": None}
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": _extensions(assets),
        "id": identifier,
        **located,
        "properties": {"datetime": moment, **({} if moment else period), "created": rfc3339(job.updated)},
        "assets": dict(assets),
        "links": [],
    }


def _assets(job: Job, signed: Signed) -> dict[str, Any]:
    described = (job.results or {}).get("assets", {})
    return {name: {"href": signed(asset_path(job, name)), **about} for name, about in described.items()}


def _extensions(assets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    has_dimensions = any("cube:dimensions" in asset for asset in assets.values())
    return [*EXTENSIONS, dimensions.EXTENSION] if has_dimensions else EXTENSIONS


def _bbox(job: Job) -> list[float] | None:
    return (job.results or {}).get("bbox")


def _interval(job: Job) -> list[str]:
    """Return when the results are from; where nothing tells, when they were computed: extents must be closed."""
    known = (job.results or {}).get("interval")
    begun = job.state.started or job.created
    return known or [rfc3339(begun), rfc3339(job.state.ended or job.updated)]


def _rectangle(bbox: list[float]) -> dict[str, Any]:
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
