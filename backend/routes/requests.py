"""The caller's own synchronous requests, an extension of the API: how far they are and what they said."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g

from backend.auth import authenticated
from backend.context import current

blueprint = Blueprint("requests", __name__)


@blueprint.get("/requests/progress")
@authenticated
def progress() -> dict[str, Any]:
    """List the caller's synchronous requests that are being computed, with the share of their Dask tasks done."""
    return {"requests": [item.to_dict() for item in current().services.cluster.progress(g.user)]}


@blueprint.get("/requests/<request_id>/logs")
@authenticated
def logs(request_id: str) -> dict[str, Any]:
    """List what a request of the caller said; results link here with rel="monitor"."""
    return {"logs": current().logs.read(request_id, g.user), "links": []}
