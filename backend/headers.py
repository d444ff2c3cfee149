"""What every answer carries: CORS, security headers, the request's id; and the requests' log line."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, g, request

from backend.logs import about, about_nothing

logger = logging.getLogger("backend.requests")

EXPOSED = "Accept-Ranges, Content-Range, ETag, Link, Location, OpenEO-Costs, OpenEO-Identifier"
PREFLIGHT = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Range, If-Range",
    "Access-Control-Allow-Methods": "OPTIONS, GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Max-Age": "3600",
}
_ID = re.compile(r"[0-9a-f]{32}")
# Asked again and again by machines: not worth a line each.
POLLED = {"/health", "/ready", "/metrics", "/requests/progress"}
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
    app.teardown_request(lambda _: about_nothing())


def collapse_slashes(wsgi: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Serve `//processes` as `/processes`: clients join URLs carelessly."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["PATH_INFO"] = re.sub("//+", "/", environ.get("PATH_INFO", "/"))
        return wsgi(environ, start_response)

    return application


def _begin() -> Response | None:
    g.request_id = uuid.uuid4().hex
    g.started = time.monotonic()
    about(request=g.request_id, **_job_of_path())
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


def _job_of_path() -> dict[str, str]:
    """Return the job that a request is about; an id that can be none is left out."""
    job = str((request.view_args or {}).get("job_id", ""))
    return {"job": job} if _ID.fullmatch(job) else {}


def _log(response: Response) -> None:
    level = logging.DEBUG if request.path in POLLED else logging.INFO
    path = request.path.encode("unicode_escape").decode()  # a line break in a path starts no line of its own
    milliseconds = (time.monotonic() - g.get("started", time.monotonic())) * 1000
    if not logger.isEnabledFor(level):
        return
    told = (request.method, path[:200], response.status_code, milliseconds)
    fields = dict(zip(("method", "path", "status", "milliseconds"), (*told[:3], round(milliseconds, 1)), strict=True))
    logger.log(level, "%s %s %d %.0f ms %s", *told, g.get("request_id", ""), extra={"fields": fields})
