"""Failures of a user's code, told by its own lines."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

FILE = "udf.py"
_LONGEST = 2_000
_MOST_FRAMES = 20


class UserError(Exception):
    """The user's code failed; `message` is one line, `trace` its own frames."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.trace = trace


@contextmanager
def blamed() -> Iterator[None]:
    """Turn whatever the user's code raises, even `sys.exit`, into a `UserError`."""
    try:
        yield
    except (UserError, MemoryError):  # what memory it may have is the sandbox's to tell
        raise
    except (Exception, SystemExit) as error:
        raise _told(error) from None


def _told(error: BaseException) -> UserError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    last = _cut("".join(traceback.format_exception_only(error)).strip().rpartition("\n")[2])
    if isinstance(error, SyntaxError) and error.filename == FILE:
        where, lines = f"line {error.lineno}", [_line(error.lineno or 0, "<module>")]
    elif frames:
        where = f"line {frames[-1].lineno}, in {frames[-1].name}"
        lines = [_line(frame.lineno or 0, frame.name) for frame in frames[-_MOST_FRAMES:]]
    else:
        return UserError(last)
    trace = "\n".join(["Traceback (most recent call last):", *lines, last])
    return UserError(f"{last} ({where})", trace)


def _line(number: int, name: str) -> str:
    source = linecache.getline(FILE, number).strip()
    head = f'  File "{FILE}", line {number}, in {name}'
    return f"{head}\n    {_cut(source)}" if source else head


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
