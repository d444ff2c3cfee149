"""Jobs and log entries as the API writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backend.jobs.model import Job, LogEntry
from backend.jobs.states import CREATED, FINISHED, QUEUED
from backend.times import rfc3339

Url = Callable[[str], str]


def job_summary(job: Job) -> dict[str, Any]:
    """Return what the list of jobs tells of one."""
    told: dict[str, Any] = {
        "id": job.id,
        "title": job.draft.title,
        "description": job.draft.description,
        "status": job.state.status,
        "progress": progress_of(job),
        "created": rfc3339(job.created),
        "updated": rfc3339(job.updated),
        "costs": 0,
    }
    return {key: value for key, value in told.items() if value is not None}


def job_details(job: Job, url: Url) -> dict[str, Any]:
    """Return all that is told of a job."""
    usage = {"usage": dict(job.usage)} if job.usage else {}
    own = url(f"/jobs/{job.id}")
    links = [_link("self", own, "This job"), _link("monitor", f"{own}/logs", "Log of the job")]
    if job.state.has_results:
        links.append(_link("result", f"{own}/results", "Results of the job"))
    draft = job.draft
    return {**job_summary(job), "process": draft.process, "log_level": draft.log_level, **usage, "links": links}


def progress_of(job: Job) -> float:
    """Return a job's progress in percent, as its status allows."""
    if job.state.status in (CREATED, QUEUED):
        return 0
    return 100 if job.state.status == FINISHED else round(job.state.progress, 1)


def log_entry(entry: LogEntry) -> dict[str, Any]:
    """Return an entry of a log."""
    code = {"code": entry.code} if entry.code else {}
    time = rfc3339(entry.time)
    return {"id": entry.id, **code, "level": entry.level, "message": entry.message, "time": time, **entry.more}


def _link(relation: str, href: str, title: str) -> dict[str, str]:
    return {"rel": relation, "href": href, "type": "application/json", "title": title}
