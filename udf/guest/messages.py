"""Messages of `openeo.udf.inspect`, with bounds."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
MOST = 100  # for each call
_LONGEST = 4_000  # characters of a message, and of its data


@contextmanager
def forwarded(log: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Hand the messages of the user's code to `log` as long as the block runs."""
    from openeo.udf import debug

    logger = debug._user_log
    handler = _Handler(log)
    logger.addHandler(handler)
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


class _Handler(logging.Handler):
    def __init__(self, log: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._log = log
        self._told = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._told += 1
        if self._told > MOST:
            return
        level = record.levelname.lower()
        entry = {
            "level": level if level in LEVELS else "error" if level == "critical" else "info",
            "code": str(getattr(record, "code", "User"))[:64],
            "message": str(record.msg)[:_LONGEST],
        }
        data = plain(getattr(record, "data", None))
        self._log(entry if data is None else {**entry, "data": data})
        if self._told == MOST:
            text = f"There are more than {MOST} messages; the rest is left out."
            self._log({"level": "warning", "code": "User", "message": text})


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
