"""What a batch job is, as stores hand it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.jobs.states import JobState
from processes.errors import OpenEOError

# In the order of their severity; the database keeps their index.
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Draft:
    """What a user says of a job."""

    process: Mapping[str, Any]
    title: str | None = None
    description: str | None = None
    log_level: str = "info"


@dataclass(frozen=True)
class Job:
    """A job of `user`: what it is, where it is, and what its last run used and produced.

    `results` is what `backend.jobs.describe` made of the files of the run, None until they are there.
    """

    id: str
    user: str
    draft: Draft
    created: float
    updated: float
    state: JobState
    usage: Mapping[str, Any] | None = None
    results: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class LogEntry:
    """One entry of a job's log; `more` may hold data, path, links and usage. The store gives it its `id`."""

    level: str
    message: str
    time: float
    code: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


def job_not_found(identifier: str) -> OpenEOError:
    """Return the error for a job that does not exist or is another user's: nobody learns which."""
    return OpenEOError("JobNotFound", f"The batch job '{identifier[:100]}' does not exist; GET /jobs lists yours.")
