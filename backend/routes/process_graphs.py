"""Users' stored processes: `/process_graphs`."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, g

from backend.auth import authenticated
from backend.body import json_object
from backend.context import current
from backend.graphs.store import StoredProcess, not_found
from backend.parsing import ProcessBody, parse
from processes.errors import OpenEOError

# With dashes, which the API's pattern leaves out and its clients send.
_ID = re.compile(r"[\w-]{1,255}")
# What the list leaves out.
_LONG = ("process_graph", "exceptions", "examples", "links")

blueprint = Blueprint("process_graphs", __name__)


@blueprint.get("/process_graphs")
@authenticated
def process_graphs() -> dict[str, Any]:
    """List the caller's processes, all of them, whatever the `limit`."""
    listed = [_told(stored) for stored in current().services.stored.of(g.user)]
    short = [{key: value for key, value in process.items() if key not in _LONG} for process in listed]
    return {"processes": short, "links": []}


@blueprint.get("/process_graphs/<process_graph_id>")
@authenticated
def process_graph(process_graph_id: str) -> dict[str, Any]:
    """Describe one process of the caller completely."""
    stored = current().services.stored.find(g.user, process_graph_id)
    if stored is None:
        raise not_found(process_graph_id)
    return _told(stored)


@blueprint.put("/process_graphs/<process_graph_id>")
@authenticated
def store(process_graph_id: str) -> Response:
    """Store a process; the id of the path counts, whatever the body says."""
    services = current().services
    if not _ID.fullmatch(process_graph_id):
        message = f"The id {process_graph_id[:100]!r} must be 1 to 255 letters, digits, underscores and dashes."
        raise OpenEOError("ProcessInvalid", message)
    if any(spec["id"] == process_graph_id for spec in services.specs()):
        message = f"There is a predefined process '{process_graph_id}'; choose another id."
        raise OpenEOError("PredefinedProcessExists", message)
    process = parse(ProcessBody, json_object()).given()
    services.graphs.of(g.user).check(process)
    services.stored.put(g.user, process_graph_id, {key: value for key, value in process.items() if key != "id"})
    return Response(status=200, mimetype="application/json")


@blueprint.delete("/process_graphs/<process_graph_id>")
@authenticated
def delete(process_graph_id: str) -> Response:
    """Delete a process; jobs that name it fail when they run."""
    current().services.stored.delete(g.user, process_graph_id)
    return Response(status=204, mimetype="application/json")


def _told(stored: StoredProcess) -> dict[str, Any]:
    return {"id": stored.id, **stored.process}
