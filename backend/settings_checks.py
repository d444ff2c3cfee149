"""Settings held against each other and against what they name, at start: nothing wrong waits for the first request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backend.cluster_address import check_address
from processes.errors import OpenEOError

if TYPE_CHECKING:
    from backend.settings import Settings

# Requests of a web process that build graphs without computing them (validations and estimates): so many at once, and
# as many that wait. They take processor time, and validating needs no login.
PLANNING = 2
# Threads that are left for requests that only read.
READING = 2
LEAST_MEMORY = 100e6
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)


def check_settings(settings: Settings) -> None:
    """Refuse settings that cannot be; OpenEOError SettingInvalid names the variable, its value and what it may be."""
    _check_threads(settings)
    _check_memory(settings.worker_memory)
    if settings.public_url is not None:
        _check_url(settings.public_url)
    check_address(settings)
    if settings.metrics_token is not None and len(settings.metrics_token) < 16:
        raise _invalid("METRICS_TOKEN", "(not shown)", "it must have at least 16 characters")


def _check_threads(settings: Settings) -> None:
    """Keep requests that compute or plan from taking all threads of a web process."""
    most = settings.web_threads - 2 * PLANNING - READING
    if settings.sync_concurrent > most:
        reason = (
            f"of OPENEO_EMBED_WEB_THREADS, {settings.web_threads}, {2 * PLANNING + READING} are kept for other "
            f"requests, so it must be at most {max(most, 0)}; or allow {settings.sync_concurrent - most} more threads"
        )
        raise _invalid("SYNC_CONCURRENT", settings.sync_concurrent, reason)


def _check_memory(text: str) -> None:
    if text == "auto":
        return
    found = _SIZE.fullmatch(text.strip())
    if found is None or float(found[1]) * _UNITS[(found[2] or "").lower()] < LEAST_MEMORY:
        raise _invalid("WORKER_MEMORY", text, "it must be auto or a size such as 4GiB, of at least 100 MB")


def _check_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username is not None or re.search(r"\s", text):
        raise _invalid("PUBLIC_URL", text, "it must be a URL such as https://openeo.example.org/, without a query")


def _invalid(name: str, value: object, reason: str) -> OpenEOError:
    shown = value if value == "(not shown)" else repr(value)
    return OpenEOError("SettingInvalid", f"OPENEO_EMBED_{name} is {shown}: {reason}.")
