"""The files that users upload, and the models that they have trained: `/files`."""

from __future__ import annotations

from typing import IO, Any

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import wrap_file

from backend.auth import authenticated
from backend.context import current
from backend.files import StoredFile
from backend.files.models import FOLDER, is_reserved, model_at, model_files
from backend.files.quota import used_besides_files
from backend.times import rfc3339
from processes.errors import OpenEOError
from processes.machine_learning.store import ModelStore

blueprint = Blueprint("files", __name__)


@blueprint.get("/files")
@authenticated
def files() -> dict[str, Any]:
    """List the caller's files and trained models, all of them, whatever the `limit`."""
    models = _models()
    listed = [*current().services.files.of(g.user), *(model_files(models) if models is not None else ())]
    return {"files": [_told(file) for file in sorted(listed, key=lambda file: file.path)], "links": []}


@blueprint.get("/files/<path:path>")
@authenticated
def download(path: str) -> Response:
    """Send a file of the caller, never in a form that a browser would open."""
    file, about = _open_model(path) if is_reserved(path) else current().services.files.open(g.user, path)
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
    if is_reserved(path):
        message = f"'{FOLDER}' has the models that 'save_ml_model' saves; choose another folder for your files."
        raise OpenEOError("FileOperationUnsupported", message)
    # One more than a file may have: which limit was exceeded is for the workspace to say.
    request.max_content_length = context.settings.file_bytes + 1
    others = used_besides_files(context.services, g.user)
    return jsonify(_told(context.services.files.write(g.user, path, request.stream, others)))


@blueprint.delete("/files/<path:path>")
@authenticated
def delete(path: str) -> Response:
    """Delete a file or a trained model of the caller."""
    if is_reserved(path):
        models, id = _models(), model_at(path)
        if models is None or id is None or not models.delete(id):
            raise _no_model(path)
    else:
        current().services.files.delete(g.user, path)
    return Response(status=204, mimetype="application/json")


def _models() -> ModelStore | None:
    store = current().services.ml_models
    return None if store is None else store(g.user)


def _open_model(path: str) -> tuple[IO[bytes], StoredFile]:
    """Open the file of a trained model."""
    models, id = _models(), model_at(path)
    model = models.find(id) if models is not None and id is not None else None
    try:
        if model is not None:
            status = model.path.stat()
            return model.path.open("rb"), StoredFile(path, status.st_size, status.st_mtime)
    except FileNotFoundError:  # deleted meanwhile
        pass
    raise _no_model(path)


def _no_model(path: str) -> OpenEOError:
    return OpenEOError("FileNotFound", f"There is no model of yours at '{path[:100]}'; GET /files lists them.")


def _told(file: StoredFile) -> dict[str, Any]:
    return {"path": file.path, "size": file.size, "modified": rfc3339(file.modified)}
