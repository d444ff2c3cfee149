"""Checking a process without running it: `/validation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, g

from backend.body import json_object
from backend.context import current
from backend.results import find_format
from processes.errors import OpenEOError

blueprint = Blueprint("validation", __name__)


@blueprint.post("/validation")
def validation() -> dict[str, Any]:
    """List the faults of a process; an empty list says that it is valid."""
    process = json_object()
    if not isinstance(process.get("process_graph"), dict):
        raise OpenEOError("ProcessGraphMissing", "The request body must hold an object `process_graph`.")
    faults = [*current().services.graphs.validate(process), *_format_faults(process["process_graph"])]
    return {"errors": [{"id": g.request_id, "code": fault.code, "message": fault.message} for fault in faults]}


def _format_faults(graph: Mapping[str, Any]) -> Iterator[OpenEOError]:
    """Find the formats that `save_result` would refuse: only this package knows which there are."""
    for node in graph.values():
        arguments = (
            node.get("arguments") if isinstance(node, dict) and node.get("process_id") == "save_result" else None
        )
        name = arguments.get("format") if isinstance(arguments, dict) else None
        if isinstance(name, str):
            try:
                find_format(name)
            except OpenEOError as error:
                yield error
