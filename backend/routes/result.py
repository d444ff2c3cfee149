"""Synchronous processing: `POST /result`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from flask import Blueprint, Response, g, request

from backend.auth import authenticated
from backend.body import json_object
from backend.context import current
from backend.sync.deadline import Deadline, hang_up_of
from backend.sync.request import SyncRequest, read_request
from backend.sync.run import ResultFile, run_sync
from processes.errors import OpenEOError

BLOCK = 1 << 16

blueprint = Blueprint("result", __name__)


@blueprint.post("/result")
@authenticated
def result() -> Response:
    """Compute a process graph and send its result."""
    context = current()
    asked = read_request(json_object(), g.request_id, g.user)
    deadline = Deadline(context.settings.sync_seconds, hang_up_of(request.environ))
    if not context.slots.acquire(blocking=False):
        message = "The server computes as many synchronous requests as it can; try again in a minute."
        raise OpenEOError("InfrastructureBusy", message)
    try:
        return _answer(asked, run_sync(context, asked, deadline))
    finally:
        context.slots.release()


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK):
            yield block


def _answer(asked: SyncRequest, result: ResultFile) -> Response:
    response = Response(_blocks(result.file), content_type=result.form.media_type)
    response.call_on_close(result.file.close)
    response.content_length = result.size
    response.headers["OpenEO-Identifier"] = asked.id
    response.headers["OpenEO-Costs"] = "0"
    response.headers["Link"] = f'<{current().url(f"/requests/{asked.id}/logs")}>; rel="monitor"'
    response.headers["Content-Disposition"] = f'inline; filename="result{result.form.suffix}"'
    return response
