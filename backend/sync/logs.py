"""What a synchronous request had to say: kept for a day in small files, readable by whoever asked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.sync.request import LOG_LEVELS, SyncRequest
from processes.errors import OpenEOError

KEPT_SECONDS = 86_400.0
KEPT_LOGS = 10_000  # of all users
EVERY_SECONDS = 30.0  # between two looks at what is old
_ID = re.compile(r"[0-9a-f]{32}")
_PROPERTIES = ("code", "message", "data", "path", "links")


class RequestLogs:
    """The logs of synchronous requests, shared by all web processes through `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0.0

    def write(self, asked: SyncRequest, messages: Iterable[Mapping[str, Any]]) -> None:
        """Keep the messages of a request that are at least as severe as it asked for; forget those of old requests."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget_old()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entries = []
        for index, message in enumerate(messages):
            level = message.get("level", "info")
            if level in LOG_LEVELS and LOG_LEVELS.index(level) >= LOG_LEVELS.index(asked.log_level):
                told = {key: message[key] for key in _PROPERTIES if key in message}
                entries.append({"id": str(index), "level": level, "time": message.get("time", now), **told})
        draft = self._folder / f".{asked.id}"
        draft.write_text(json.dumps({"user": asked.user, "logs": entries}, default=str), encoding="utf-8")
        os.replace(draft, self._folder / asked.id)

    def read(self, identifier: str, user: str) -> list[dict[str, Any]]:
        """Return the log of a request of `user`; OpenEOError NotFound for any other."""
        try:
            kept = (
                json.loads((self._folder / identifier).read_text(encoding="utf-8")) if _ID.fullmatch(identifier) else {}
            )
        except FileNotFoundError:
            kept = {}
        if kept.get("user") != user:
            raise OpenEOError("NotFound", f"You have no request {identifier!r}; logs are kept for a day.")
        return list(kept["logs"])

    def _forget_old(self) -> None:
        """Now and then drop what is older than a day, and the oldest of too many: whoever asks often fills no disk."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        oldest, written = time.time() - KEPT_SECONDS, []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process was first
                written.append((path.stat().st_mtime, path))
        written.sort(reverse=True)
        for index, (when, path) in enumerate(written):
            if when < oldest or index >= KEPT_LOGS:
                path.unlink(missing_ok=True)
