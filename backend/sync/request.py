"""A synchronous request, parsed once at the edge."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.parsing import NewJob, parse

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class SyncRequest:
    """Who asks for which process; `id` names the request in headers, logs and progress."""

    id: str
    user: str
    process: Mapping[str, Any]
    log_level: str = "info"
    started: float = field(default_factory=time.time)
    kind: str = "request"
    warnings: tuple[str, ...] = ()

    @property
    def about(self) -> dict[str, str]:
        """What lines of logs call it."""
        return {self.kind: self.id}


def read_request(body: Mapping[str, Any], identifier: str, user: str) -> SyncRequest:
    """Parse the body of `POST /result`; OpenEOErrors as of `backend.parsing.parse`."""
    asked = parse(NewJob, body)
    warning = asked.warning()
    return SyncRequest(
        identifier, user, asked.process.given(), asked.log_level or "info", warnings=(warning,) if warning else ()
    )
