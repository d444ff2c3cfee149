"""Log lines: for people, or one JSON object each. No header, body, token or password ever enters one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar, Token
from typing import Any

# Loggers of libraries that tell at `info` what only their authors want to know.
_NOISY = (
    "distributed",
    "tornado",
    "asyncio",
    "rasterio",
    "fiona",
    "urllib3",
    "botocore",
    "gunicorn",
    "numba",
    "fsspec",
    "alembic",
)

# What the lines of this thread are about: `request` and `job`, each an id.
_ABOUT: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)


def about(**ids: str) -> Token[dict[str, str] | None]:
    """Have the lines that this thread logs from now on name the request or job that they are about."""
    return _ABOUT.set({**(_ABOUT.get() or {}), **ids})


def about_nothing() -> None:
    """Have the lines of this thread name nothing any more."""
    _ABOUT.set(None)


@contextlib.contextmanager
def logging_about(**ids: str) -> Iterator[None]:
    """Have the lines that this thread logs within the block name what they are about."""
    token = about(**ids)
    try:
        yield
    finally:
        _ABOUT.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object per line.

    It has time (UTC), level, part and message; the ids of the request or job that it is about, on workers those of the
    task; what the line gives as `extra={"fields": ...}`; and the traceback where there is one.
    """

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        """Write `record` as a line of JSON."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "part": self.part,
            "message": record.getMessage(),
            **(_ABOUT.get() or {}),
            **getattr(record, "task", {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def of_task(record: logging.LogRecord) -> bool:
    """Note in a record of a worker whose the task is that it comes from; a filter that lets everything pass."""
    from udf.cluster import about_task

    task = about_task()
    record.task = task
    record.whose = "".join(f" [{name} {value}]" for name, value in task.items())
    return True


def configure_logging(part: str, log_format: str = "human", level: str = "info") -> None:
    """Send this process's log to standard error; `part` names the process in each line.

    Lines of the part "worker" name the job (or request) and the node of the task that they come from.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_no_end_of_waiting)
    is_worker = part == "worker"
    if is_worker:
        handler.addFilter(of_task)
    whose = "%(whose)s" if is_worker else ""
    human = logging.Formatter(f"%(asctime)s {part:<9} %(levelname)-7s %(message)s{whose}", "%H:%M:%S")
    handler.setFormatter(JsonFormatter(part) if log_format == "json" else human)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in _NOISY:
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    logging.getLogger("distributed.worker").addFilter(_is_no_failed_task)
    # Warns on import of processes that we do not use.
    logging.getLogger("openeo_processes_dask").setLevel(logging.ERROR)


def _is_no_end_of_waiting(record: logging.LogRecord) -> bool:
    """Leave out tracebacks, without a word, of attempts to connect that Dask gave up: who waited for them says why."""
    failure = record.exc_info[1] if record.exc_info else None
    return not (record.name.startswith("distributed") and isinstance(failure, asyncio.CancelledError))


def _is_no_failed_task(record: logging.LogRecord) -> bool:
    """Leave out what Dask tells of failed tasks, arguments and all.

    The request's own failure reaches whoever asked; where it is a defect, the web process logs it with its traceback.
    """
    return not str(record.msg).startswith("Compute Failed")
