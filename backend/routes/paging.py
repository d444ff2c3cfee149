"""Query parameters that several lists share."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import request

from backend.context import current
from processes.errors import OpenEOError


def limit_parameter() -> int | None:
    """Return the query's `limit`, None where it is not given; OpenEOError LimitInvalid for what is no such number."""
    text = request.args.get("limit", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= 1_000_000 and len(text) < 10):
        raise OpenEOError("LimitInvalid", f"limit is {text[:50]!r}; it must be a whole number from 1 to 1000000.")
    return int(text)


def page_links(parameter: str, last: str | None) -> list[dict[str, str]]:
    """Return the link to the next page: what comes after the element `last`, None where that is the end."""
    if last is None:
        return []
    query = urlencode({**request.args.to_dict(), parameter: last})
    return [{"rel": "next", "href": f"{current().url(request.path)}?{query}", "type": "application/json"}]
