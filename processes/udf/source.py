"""The source of users' code: written in the graph, in a file of the user's, or at a URL."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from typing import Any

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.fetch import FetchError
from processes.fetch.gate import Gate
from udf.rules import UserCodeRules

PROCESS = "run_udf"
RUNTIME = "Python"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


def versions() -> tuple[str, ...]:
    """Return the names of the runtime's one version, the longest one first."""
    major, minor, _ = platform.python_version_tuple()
    return platform.python_version(), f"{major}.{minor}", major


def require_rules(env: Environment) -> UserCodeRules:
    """Return the rules for users' code; FeatureUnsupported says why there is none."""
    if env.udf is None:
        raise OpenEOError("FeatureUnsupported", "This server runs no code of users: `run_udf` is off.")
    if env.udf.refused is not None:
        raise OpenEOError("FeatureUnsupported", f"`run_udf` is off on this server: {env.udf.refused}")
    return env.udf


def require_runtime(runtime: str, version: str | None) -> None:
    """Refuse other runtimes than Python, and other versions than the one there is."""
    if not isinstance(runtime, str) or runtime.lower() != RUNTIME.lower():
        raise OpenEOError("InvalidRuntime", f"The runtime {runtime!r} is not supported; the only one is '{RUNTIME}'.")
    if version is not None and version not in versions():
        known = ", ".join(versions())
        raise OpenEOError(
            "InvalidVersion",
            f"Version {version!r} of the runtime '{RUNTIME}' is not supported; there is {known}, the default.",
        )


def read_source(udf: str, env: Environment, limit: int) -> str:
    """Return the code that `udf` is, or names: text with a line break is code, http(s) is a URL, else it is a file."""
    if not isinstance(udf, str) or not udf.strip():
        raise invalid("udf", PROCESS, "it must be source code, a URL or the path of a file")
    if _LINE_BREAK.search(udf):
        return _checked(udf.encode(), "the code", limit)
    if udf.startswith(("http://", "https://")):
        return _fetched(udf, env, limit)
    return _uploaded(udf, env, limit)


def _fetched(url: str, env: Environment, limit: int) -> str:
    try:
        content = Gate(env.fetch).hurried().content(url, limit)
    except FetchError as error:
        raise invalid("udf", PROCESS, f"the code cannot be fetched: {error}") from error
    return _checked(content, f"the code at {url[:200]}", limit)


def _uploaded(path: str, env: Environment, limit: int) -> str:
    if env.files is None:
        raise OpenEOError("FileNotFound", "Files are loaded for the user who uploaded them: log in first.")
    try:
        with env.files.open(path) as file:
            content = file.read(limit + 1)
    except OpenEOError as error:
        if error.code == "FileOperationUnsupported":
            raise OpenEOError("FileNotFound", error.message) from None
        raise
    return _checked(content, f"the file '{path}'", limit)


def _checked(content: bytes, what: str, limit: int) -> str:
    if len(content) > limit:
        raise invalid("udf", PROCESS, f"{what} has more than {limit} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid("udf", PROCESS, f"{what} is no text in UTF-8") from None
    if "\0" in text:
        raise invalid("udf", PROCESS, f"{what} has null characters")
    return text


def plain_context(context: Any) -> Any:
    """Return the context as JSON data; values of cubes cannot be part of it."""
    if context is None:
        return {}
    _require_plain(context)
    return context


def _require_plain(value: Any) -> None:
    if isinstance(value, Mapping):
        for item in value.values():
            _require_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _require_plain(item)
    elif value is not None and not isinstance(value, str | int | float | bool):
        reason = f"it holds {type(value).__name__}; numbers, texts, arrays and objects can be passed on"
        raise invalid("context", PROCESS, reason)
