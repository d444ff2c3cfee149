"""The openEO form of every failure, and the one table from HTTP failures to openEO codes.

`OpenEOError` carries its own code and status. Werkzeug's HTTP exceptions are translated by `HTTP_CODES`; their status
becomes that of the openEO code. A database that does not answer and a full disk are told as such. Anything else is a
defect of ours: the client learns only its id, the log has the rest.
"""

from __future__ import annotations

import logging

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from backend.disk import disk_full, is_full
from backend.state import is_outage, outage_error
from processes.errors import OpenEOError

logger = logging.getLogger("backend.errors")

HTTP_CODES = {
    404: ("NotFound", "There is nothing at {path}; GET / lists the endpoints."),
    405: ("FeatureUnsupported", "{path} does not take {method}; it takes {allowed}."),
    408: ("RequestTimeout", "The request took too long to arrive."),
    413: ("FileSizeExceeded", "The request body is larger than {limit} bytes; send less."),
    415: ("ContentTypeInvalid", "The media type is not supported. Allowed: application/json"),
}


def error_response(error: OpenEOError) -> Response:
    """Return the answer that tells `error` to the client."""
    body = {"id": g.get("request_id", ""), "code": error.code, "message": error.message, "links": []}
    response = jsonify(body)
    response.status_code = error.status
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def install_errors(app: Flask) -> None:
    """Make `app` answer every failure in the openEO form."""
    app.register_error_handler(OpenEOError, error_response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400 and error.response is not None:
        return error.response  # type: ignore[return-value]
    methods = sorted(getattr(error, "valid_methods", None) or [])
    allowed = ", ".join(method for method in methods if method not in ("HEAD", "OPTIONS"))
    code, message = "Internal" if status >= 500 else str(status), error.description or error.name
    if status in HTTP_CODES:
        code, template = HTTP_CODES[status]
        limit = request.max_content_length
        message = template.format(path=request.path, method=request.method, allowed=allowed, limit=limit)
        # The one that has no code of its own: the method is unsupported here, not the server's whole feature.
        status = 405 if status == 405 else OpenEOError(code, message).status
    response = error_response(OpenEOError(code, message, status))
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(methods)
    return response


def _defect(error: Exception) -> Response:
    if is_outage(error):
        logger.warning("the database does not answer: %s", getattr(error, "orig", error))
        return error_response(outage_error(error))
    if is_full(error):
        logger.error("the disk is full: %s", error)
        return error_response(disk_full())
    identifier = g.get("request_id", "")
    logger.error("request %s %s failed (id %s)", request.method, request.path, identifier, exc_info=error)
    message = f"The server failed; its operator finds the reason in the log under the id {identifier}."
    return error_response(OpenEOError("Internal", message))
