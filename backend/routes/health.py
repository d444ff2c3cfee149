"""Whether the server can compute: `/health`, for supervisors and load balancers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from backend.context import current

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health() -> tuple[dict[str, Any], int]:
    """Answer 200 when the scheduler and at least one worker answer, else 503."""
    workers = current().services.cluster.workers()
    if workers is None:
        return {"status": "unavailable", "reason": "the Dask scheduler does not answer"}, 503
    if workers == 0:
        return {"status": "unavailable", "reason": "no Dask worker is there yet"}, 503
    return {"status": "ok", "workers": workers}, 200
