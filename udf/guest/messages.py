"""What a user's code says: `openeo.udf.inspect`, `print` and `logging`, with bounds."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from udf.guest.failure import FILE

LEVELS = ("debug", "info", "warning", "error")
MOST = 100  # for each call
_LONGEST = 4_000  # characters of a message, and of its data
Log = Callable[[dict[str, Any]], None]


@contextmanager
def forwarded(log: Log) -> Iterator[None]:
    """Hand what the user's code says to `log` as long as the block runs.

    Of libraries only what they log as a warning or an error; their `warnings` are not told.
    """
    from openeo.udf import debug

    said = _Bounded(log)
    printed, complained = _Lines(said, "info"), _Lines(said, "warning")
    own, every = _Handler(said), _Handler(said)
    every.addFilter(lambda record: record.pathname == FILE or record.levelno >= logging.WARNING)
    with (
        _handled(debug._user_log, own, logging.DEBUG),
        _handled(logging.getLogger(), every, logging.INFO),
        warnings.catch_warnings(),
        redirect_stdout(printed),
        redirect_stderr(complained),
    ):
        warnings.showwarning = lambda *_, **__: None
        try:
            yield
        finally:
            printed.end()
            complained.end()


@contextmanager
def _handled(logger: logging.Logger, handler: logging.Handler, least: int) -> Iterator[None]:
    """Have a logger hand its records, and no others, to the handler alone."""
    before = logger.level, logger.propagate, logger.handlers[:]
    logger.handlers[:] = [handler]
    logger.setLevel(least)
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]
        logger.handlers[:] = before[2]


class _Bounded:
    """Hands on the first `MOST` messages, cut to their longest."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told = 0

    def __call__(self, level: str, code: str, message: str, data: Any = None) -> None:
        self._told += 1
        if self._told > MOST:
            return
        entry = {"level": level, "code": code[:64], "message": message[:_LONGEST]}
        data = plain(data)
        self._log(entry if data is None else {**entry, "data": data})
        if self._told == MOST:
            text = f"There are more than {MOST} messages; the rest is left out."
            self._log({"level": "warning", "code": "User", "message": text})


class _Handler(logging.Handler):
    def __init__(self, said: _Bounded) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + logging.Formatter().formatException(record.exc_info)
        except Exception:  # the user's own mistake: arguments that do not fit to the message
            message = str(record.msg)
        level = record.levelname.lower()
        level = level if level in LEVELS else "error" if level == "critical" else "info"
        self._said(level, str(getattr(record, "code", "User")), message, getattr(record, "data", None))


class _Lines(io.TextIOBase):
    """A text file whose lines are messages; white space alone is none."""

    def __init__(self, said: _Bounded, level: str) -> None:
        self._said, self._level = said, level
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, rest = (self._rest + text).split("\n")
        for line in lines:
            self._tell(line)
        self._rest = rest[-_LONGEST:]
        return len(text)

    def end(self) -> None:
        """Tell the last line, which nothing has ended."""
        self._tell(self._rest)
        self._rest = ""

    def _tell(self, line: str) -> None:
        line = line.rstrip().rpartition("\r")[2]  # what a terminal shows in the end
        if line:
            self._said(self._level, "User", line)


def plain(data: Any) -> Any:
    """Return data as JSON has it; arrays and cubes are described, what is too long is cut."""
    if hasattr(data, "dims") and hasattr(data, "sizes") and hasattr(data, "dtype"):
        return {"dimensions": {str(name): int(size) for name, size in data.sizes.items()}, "data_type": str(data.dtype)}
    if hasattr(data, "shape") and hasattr(data, "dtype") and getattr(data, "size", 0) > 100:
        return {"shape": list(data.shape), "data_type": str(data.dtype)}
    if hasattr(data, "tolist"):
        data = data.tolist()
    try:
        text = json.dumps(data, default=str)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(str(type(data)))
    if len(text) > _LONGEST:
        return text[:_LONGEST] + " ..."
    return json.loads(text, parse_constant=lambda _: None)
