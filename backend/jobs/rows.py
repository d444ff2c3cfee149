"""Jobs and log entries as rows of the database, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from backend.jobs.model import LEVELS, Draft, Job, LogEntry
from backend.jobs.states import JobState, Lease
from backend.state.tables import JOBS

# What lists of jobs read: asked for again and again, of many jobs.
LISTED = [JOBS.c[name] for name in ("id", "user", "title", "description", "created", "updated", "status", "progress")]
_PLAIN = ("status", "run", "attempts", "queued", "started", "ended", "claimed", "heartbeat", "progress")


def columns_of_draft(draft: Draft) -> dict[str, Any]:
    """Return the columns of what a user says of a job."""
    return {**asdict(draft), "process": dict(draft.process)}


def columns_of_state(state: JobState) -> dict[str, Any]:
    """Return the columns of a state."""
    columns = {key: value for key, value in vars(state).items() if key != "lease"}
    lease = state.lease
    return {**columns, "runner": lease and lease.runner, "lease_until": lease and lease.until}


def job_of(row: Any) -> Job:
    """Return the job of a row."""
    told = row._asdict()
    lease = Lease(told["runner"], told["lease_until"]) if told["runner"] is not None else None
    state = JobState(lease=lease, has_results=bool(told["has_results"]), **{key: told[key] for key in _PLAIN})
    draft = Draft(told["process"] or {}, told["title"], told["description"], told["log_level"])
    plain = (told["id"], told["user"], draft, told["created"], told["updated"], state)
    return Job(*plain, told["usage"], told["results"])


def listed_job(row: Any) -> Job:
    """Return as much of a job as the columns `LISTED` tell."""
    identifier, user, title, description, created, updated, status, progress = row
    return Job(identifier, user, Draft({}, title, description), created, updated, JobState(status, progress=progress))


def columns_of_entry(job: str, entry: LogEntry) -> dict[str, Any]:
    """Return the columns of a log entry."""
    level = LEVELS.index(entry.level)
    message, code = _storable(entry.message), entry.code and _storable(entry.code)
    more = dict(entry.more)
    return {"job": job, "time": entry.time, "level": level, "message": message, "code": code, "more": more}


def _storable(text: str) -> str:
    """Return a text without what no database takes; PostgreSQL has no room for the character 0."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def entry_of(row: Any) -> LogEntry:
    """Return the log entry of a row."""
    return LogEntry(LEVELS[row.level], row.message, row.time, row.code, row.more, str(row.id))
