"""`/metrics`: what the server measures of itself, for Prometheus."""

from __future__ import annotations

import hmac
import ipaddress

from flask import Blueprint, Response, request

from backend.auth.guard import bearer_token
from backend.context import current
from backend.metrics.exposition import MEDIA_TYPE, exposition
from processes.errors import OpenEOError

# Headers that proxies add, and browsers for the pages that they show.
ELSEWHERE = ("X-Forwarded", "Forwarded", "Via", "Origin")

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Tell what is measured to whoever holds the token for it; where there is none, to this machine alone."""
    context = current()
    token = context.settings.metrics_token
    if token is None:
        _check_local()
    elif not hmac.compare_digest(bearer_token().encode(), token.encode()):
        raise OpenEOError("TokenInvalid", "The token is not that of the server's measurements.")
    return Response(exposition(context.meters, context.services), content_type=MEDIA_TYPE)


def _check_local() -> None:
    """Refuse whoever is elsewhere, and whoever on this machine may speak for others: proxies and web pages."""
    forwarded = any(name.title().startswith(ELSEWHERE) for name, _ in request.headers)
    try:
        local = ipaddress.ip_address((request.remote_addr or "").split("%")[0]).is_loopback
    except ValueError:
        local = False
    if forwarded or not local:
        message = "Measurements are told to the server's own machine alone, unless its operator sets a token for them."
        raise OpenEOError("AuthenticationRequired", message)
