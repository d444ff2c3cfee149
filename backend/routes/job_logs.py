"""The logs of batch jobs: `/jobs/{job_id}/logs`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, request

from backend.auth import authenticated
from backend.context import current
from backend.jobs.model import LEVELS
from backend.jobs.views import log_entry
from backend.routes.paging import limit_parameter, page_links
from processes.errors import OpenEOError

blueprint = Blueprint("job_logs", __name__)


@blueprint.get("/jobs/<job_id>/logs")
@authenticated
def logs(job_id: str) -> dict[str, Any]:
    """List what was said while a job of the caller ran, from `offset`, the last id that the client has, on."""
    store = current().services.jobs
    job = store.get(g.user, job_id)
    level, limit = _level(), limit_parameter()
    found = store.entries(job.id, level, _offset(), limit and limit + 1)
    shown = [log_entry(entry) for entry in found[:limit]]
    least = max(level, job.draft.log_level, key=LEVELS.index)
    more = len(found) > len(shown)
    return {"level": least, "logs": shown, "links": page_links("offset", shown[-1]["id"] if more else None)}


def _level() -> str:
    level = request.args.get("level") or "debug"
    if level not in LEVELS:
        raise OpenEOError("LevelInvalid", f"level is {level[:50]!r}; it must be one of {', '.join(LEVELS)}.")
    return level


def _offset() -> str | None:
    offset = request.args.get("offset") or None
    if offset is not None and not (offset.isascii() and offset.isdigit() and len(offset) < 19):
        raise OpenEOError("OffsetInvalid", f"offset is {offset[:50]!r}; it must be the id of an entry of this log.")
    return offset
