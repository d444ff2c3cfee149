"""What every answer carries: CORS, security headers, the request's id; and the requests' log line."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, g, request

logger = logging.getLogger("backend.requests")

EXPOSED = "Accept-Ranges, Content-Range, ETag, Link, Location, OpenEO-Costs, OpenEO-Identifier"
PREFLIGHT = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Range, If-Range",
    "Access-Control-Allow-Methods": "OPTIONS, GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Max-Age": "3600",
}
# Asked again and again by machines: not worth a line each.
POLLED = {"/health", "/requests/progress"}
# Nothing that this server answers is a page: a browser that opens an answer runs no code from it.
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def install_headers(app: Flask) -> None:
    """Give each request an id, answer preflights, and complete the headers of all answers."""
    app.before_request(_begin)
    app.after_request(_finish)


def collapse_slashes(wsgi: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Serve `//processes` as `/processes`: clients join URLs carelessly."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["PATH_INFO"] = re.sub("//+", "/", environ.get("PATH_INFO", "/"))
        return wsgi(environ, start_response)

    return application


def _begin() -> Response | None:
    g.request_id = uuid.uuid4().hex
    g.started = time.monotonic()
    if request.method != "OPTIONS":
        return None
    return Response(status=204, headers=PREFLIGHT, mimetype="application/json")


def _finish(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    response.headers.update(SECURITY)
    if "Authorization" in request.headers:
        response.headers["Cache-Control"] = "no-store"
    _log(response)
    return response


def _log(response: Response) -> None:
    level = logging.DEBUG if request.path in POLLED else logging.INFO
    path = request.path.encode("unicode_escape").decode()  # a line break in a path starts no line of its own
    milliseconds = (time.monotonic() - g.get("started", time.monotonic())) * 1000
    logger.log(
        level, "%s %s %d %.0f ms %s", request.method, path[:200], response.status_code, milliseconds, g.request_id
    )
