"""Paths that clients name, parsed once: relative, of plain names, of bounded length."""

from __future__ import annotations

import re
import unicodedata

from processes.errors import OpenEOError

LONGEST_NAME = 255  # bytes, which is what file systems allow
LONGEST_PATH = 1024
DEEPEST = 16
# What the API's own pattern for paths leaves out; the last is ours, for files that are being written.
_FORBIDDEN = re.compile(r"[\\:'\"]")
PARTIAL = ".partial-"


def parse_path(path: str) -> tuple[str, ...]:
    """Return the names of a relative path.

    Raises
    ------
    OpenEOError
        FilePathInvalid: says which rule the path breaks.
    """
    names = tuple(path.split("/"))
    if len(path.encode("utf-8", "replace")) > LONGEST_PATH or len(names) > DEEPEST:
        raise _invalid(path, f"it is longer than {LONGEST_PATH} bytes or deeper than {DEEPEST} folders")
    for name in names:
        reason = _wrong(name)
        if reason:
            raise _invalid(path, reason)
    return names


def _wrong(name: str) -> str | None:
    """Return what is wrong with a name of a file or folder."""
    if name in ("", ".", ".."):
        return "it has an empty name, . or .. in it; write it relative to your own folder"
    if _FORBIDDEN.search(name):
        return "it holds one of the characters \\ : ' \""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name) or "�" in name:
        return "it holds control characters or is not encoded in UTF-8"
    if name.startswith(PARTIAL):
        return f"names that begin with {PARTIAL} are the server's own"
    if len(name.encode()) > LONGEST_NAME:
        return f"a name in it is longer than {LONGEST_NAME} bytes"
    return None


def _invalid(path: str, reason: str) -> OpenEOError:
    shown = path[:100].encode("unicode_escape").decode()
    return OpenEOError("FilePathInvalid", f"File path is invalid: {reason} (path: {shown}).")
