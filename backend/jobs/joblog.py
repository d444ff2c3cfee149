"""A job's own log, as the runner writes it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from backend.jobs.model import LEVELS, Job, LogEntry
from backend.jobs.store import JobStore
from backend.state import is_outage

logger = logging.getLogger("backend.jobs")

_MORE = ("data", "path", "links", "usage")


# So many entries wait for a database that does not answer; of more, the oldest are dropped.
MOST_WAITING = 1_000


class JobLog:
    """Writes entries that are at least as severe as the job's `log_level`.

    A database that does not answer is no reason for a job to fail: entries wait for the next one, or for `flush`.
    Threads may share it: the work writes, and whoever looks after it.
    """

    def __init__(self, store: JobStore, job: Job) -> None:
        self._store = store
        self._job = job
        self._waiting: list[LogEntry] = []
        self._lock = threading.Lock()

    def add(self, level: str, message: str, code: str | None = None, **more: Any) -> None:
        """Write an entry; `more` may hold data, path, links and usage."""
        logger.log(logging.getLevelNamesMapping()[level.upper()], "job %s: %s", self._job.id, message)
        self._write([LogEntry(level, message, time.time(), code, plain(more))])

    def told(self, messages: list[dict[str, Any]]) -> None:
        """Write what processes said, and forget it; meanwhile, more may be said."""
        with self._lock:
            told = messages[:]
            del messages[: len(told)]  # and nothing that was added since
            self._write_now([_entry(message) for message in told])

    def flush(self) -> None:
        """Write what waits."""
        self._write([])

    def _write(self, entries: list[LogEntry]) -> None:
        with self._lock:
            self._write_now(entries)

    def _write_now(self, entries: list[LogEntry]) -> None:
        least = LEVELS.index(self._job.draft.log_level)
        self._waiting += [entry for entry in entries if LEVELS.index(entry.level) >= least]
        try:
            self._store.log(self._job.id, self._waiting)
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            logger.warning("job %s: its log cannot be written: %s", self._job.id, getattr(error, "orig", error))
            del self._waiting[:-MOST_WAITING]
        else:
            self._waiting = []


def _entry(message: Mapping[str, Any]) -> LogEntry:
    level = message.get("level", "info")
    more = plain({key: message[key] for key in _MORE if key in message})
    code = message.get("code")
    known = level if level in LEVELS else "info"
    return LogEntry(known, str(message.get("message", "")), time.time(), str(code)[:64] if code else None, more)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: no NaN, no foreign types."""
    return json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
