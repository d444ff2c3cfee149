"""Jobs and log entries as rows of the database, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from backend.jobs.model import LEVELS, Draft, Job, LogEntry
from backend.jobs.states import JobState, Lease


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
    lease = Lease(row.runner, row.lease_until) if row.runner is not None else None
    plain = ("status", "run", "attempts", "queued", "started", "ended", "claimed", "heartbeat", "progress")
    state = JobState(lease=lease, has_results=bool(row.has_results), **{key: getattr(row, key) for key in plain})
    draft = Draft(row.process, row.title, row.description, row.log_level)
    return Job(row.id, row.user, draft, row.created, row.updated, state, row.usage, row.results)


def columns_of_entry(job: str, entry: LogEntry) -> dict[str, Any]:
    """Return the columns of a log entry."""
    level = LEVELS.index(entry.level)
    # PostgreSQL has no room for this one character.
    message = entry.message.replace("\0", "�").encode("utf-8", "replace").decode()
    more = dict(entry.more)
    return {"job": job, "time": entry.time, "level": level, "message": message, "code": entry.code, "more": more}


def entry_of(row: Any) -> LogEntry:
    """Return the log entry of a row."""
    return LogEntry(LEVELS[row.level], row.message, row.time, row.code, row.more, str(row.id))
