"""Request bodies: JSON, checked at the edge, refused with a message that says where it breaks."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from flask import request

from processes.errors import OpenEOError

DEEPEST = 200
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def json_object() -> dict[str, Any]:
    """Return the request's body, a JSON object.

    Raises
    ------
    OpenEOError
        ContentTypeInvalid for another media type, ProcessInvalid for what is no JSON object (with line and column).
    """
    if request.mimetype != "application/json":
        given = request.mimetype or "none"
        message = f"The media type {given[:100]} is not supported. Allowed: application/json"
        raise OpenEOError("ContentTypeInvalid", message)
    value = parse_json(request.get_data(cache=False))
    if not isinstance(value, dict):
        raise OpenEOError("ProcessInvalid", f"The request body must be a JSON object, not {_kind(value)}.")
    return value


def parse_json(text: bytes) -> Any:
    """Parse JSON strictly: no NaN, no infinite number, no key twice, no nesting deeper than `DEEPEST`."""
    _check_depth(text)
    try:
        hooks: dict[str, Any] = {"parse_constant": _no_constant, "parse_float": _finite, "object_pairs_hook": _unique}
        return json.loads(text.decode("utf-8"), **hooks)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise OpenEOError("ProcessInvalid", f"The request body is no valid JSON at {where}: {error.msg}.") from None
    except UnicodeDecodeError as error:
        message = f"The request body is not encoded in UTF-8 (byte {error.start})."
        raise OpenEOError("ProcessInvalid", message) from None
    except ValueError:
        raise OpenEOError("ProcessInvalid", "The request body holds a number that is too long.") from None


def _check_depth(text: bytes) -> None:
    depth = 0
    for token in _TOKENS.finditer(text):
        first = token[0][:1]
        if first in b"[{":
            depth += 1
            if depth > DEEPEST:
                raise OpenEOError("ProcessInvalid", f"The request body nests deeper than {DEEPEST} levels.")
        elif first in b"]}":
            depth -= 1


def _no_constant(name: str) -> Any:
    raise OpenEOError("ProcessInvalid", f"The request body holds {name}, which is no JSON; use null.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise OpenEOError("ProcessInvalid", f"The request body holds the number {text[:50]}, which is too large.")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise OpenEOError("ProcessInvalid", f"The request body holds the key {twice!r} twice in one object.")
    return result


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
