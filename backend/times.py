"""Times as the API writes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(seconds: float) -> str:
    """Return seconds since 1970 as a date-time in UTC."""
    return _written(math.floor(seconds))


@lru_cache(maxsize=4096)  # lists of jobs, asked for every second, are mostly made of the same times
def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
