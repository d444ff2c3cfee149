"""Checking a process without running it: `/validation`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, request

from backend.auth import token_user
from backend.body import json_object
from backend.context import current
from backend.validation import find_faults
from processes.errors import OpenEOError

# Seconds that a request waits for its turn.
PATIENCE = 5.0

blueprint = Blueprint("validation", __name__)


@blueprint.post("/validation")
def validation() -> dict[str, Any]:
    """List the faults of a process; an empty list says that none was found."""
    process = json_object()
    if not isinstance(process.get("process_graph"), dict):
        raise OpenEOError("ProcessGraphMissing", "The request body must hold an object `process_graph`.")
    user = token_user() if "Authorization" in request.headers else None
    context = current()
    with context.planning.entered(PATIENCE):
        faults = find_faults(context.services, process, user)
    return {"errors": [{"id": g.request_id, "code": fault.code, "message": fault.message} for fault in faults]}
