"""The files that users upload: `/files`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import wrap_file

from backend.auth import authenticated
from backend.context import current
from backend.files import StoredFile
from backend.times import rfc3339

blueprint = Blueprint("files", __name__)


@blueprint.get("/files")
@authenticated
def files() -> dict[str, Any]:
    """List the caller's files, all of them, whatever the `limit`."""
    return {"files": [_told(file) for file in current().services.files.of(g.user)], "links": []}


@blueprint.get("/files/<path:path>")
@authenticated
def download(path: str) -> Response:
    """Send a file of the caller, never in a form that a browser would open."""
    file, about = current().services.files.open(g.user, path)
    body = wrap_file(request.environ, file)
    response = Response(body, content_type="application/octet-stream", direct_passthrough=True)
    response.call_on_close(file.close)
    response.content_length = about.size
    response.last_modified = about.modified  # type: ignore[assignment]
    response.set_etag(f"{about.modified}-{about.size}")
    response.headers["Content-Disposition"] = "attachment"
    try:
        response.make_conditional(request.environ, accept_ranges=True, complete_length=about.size)
    except HTTPException:  # a range that the file does not have
        file.close()
        raise
    return response


@blueprint.put("/files/<path:path>")
@authenticated
def upload(path: str) -> Response:
    """Write a file of the caller from the request's body, block by block."""
    context = current()
    # One more than a file may have: which limit was exceeded is for the workspace to say.
    request.max_content_length = context.settings.file_bytes + 1
    others = context.services.jobs.result_bytes(g.user)
    return jsonify(_told(context.services.files.write(g.user, path, request.stream, others)))


@blueprint.delete("/files/<path:path>")
@authenticated
def delete(path: str) -> Response:
    """Delete a file of the caller."""
    current().services.files.delete(g.user, path)
    return Response(status=204, mimetype="application/json")


def _told(file: StoredFile) -> dict[str, Any]:
    return {"path": file.path, "size": file.size, "modified": rfc3339(file.modified)}
