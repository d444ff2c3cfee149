"""The batch jobs of a server, opened as its settings say."""

from __future__ import annotations

from backend.jobs.sql_store import SqlJobStore
from backend.jobs.store import Limits
from backend.settings import Settings
from backend.state import Database


def open_jobs(settings: Settings, database: Database) -> SqlJobStore:
    """Return the jobs in the server's database."""
    limits = Limits(settings.jobs_per_user, settings.jobs_at_once, settings.job_attempts, settings.jobs_kept)
    return SqlJobStore(database, limits)
