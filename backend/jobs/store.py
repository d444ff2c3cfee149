"""The seam of batch jobs: what the routes and the runners ask of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from backend.jobs.model import Draft, Job, LogEntry
from backend.jobs.states import Event


@dataclass(frozen=True)
class Limits:
    """How many jobs run at once: of one user, and in all; how often a run is attempted; how many a user may keep."""

    per_user: int = 1
    in_all: int = 16
    attempts: int = 3
    kept: int = 10_000


@dataclass(frozen=True)
class Tally:
    """All jobs in numbers: how many there are of each status, and seconds since the oldest waiting one was queued."""

    by_status: Mapping[str, int]
    queue_age: float


class JobStore(Protocol):
    """Jobs and their logs. Whatever takes a `user` raises OpenEOError JobNotFound for another user's job."""

    def create(self, user: str, draft: Draft) -> Job:
        """Keep a new job; StorageQuotaExceeded where the user has as many as there may be."""
        ...

    def get(self, user: str, identifier: str) -> Job:
        """Return a user's job."""
        ...

    def find(self, identifier: str) -> Job | None:
        """Return a job of whomever, None where there is none."""
        ...

    def of(self, user: str, limit: int | None = None, after: str | None = None) -> list[Job]:
        """Return a user's jobs, the latest first, at most `limit` of them, from the one after the job `after`.

        They come with what lists tell: title and description, times, status and progress.
        """
        ...

    def edit(self, user: str, identifier: str, changes: Mapping[str, Any]) -> Job:
        """Change fields of a job's draft; OpenEOError JobLocked unless it is at rest."""
        ...

    def start(self, user: str, identifier: str) -> Job:
        """Queue a job and forget what its last run left; nothing happens to one that waits or runs."""
        ...

    def cancel(self, user: str, identifier: str) -> Job:
        """Take a job out of the queue or away from its runner; nothing happens to one at rest."""
        ...

    def delete(self, user: str, identifier: str) -> None:
        """Delete a job and its log; a runner that has it stops."""
        ...

    def delete_all(self, user: str) -> list[str]:
        """Delete all jobs of a user and return their ids."""
        ...

    def any_waiting(self) -> bool:
        """Return whether a job is queued."""
        ...

    def tally(self) -> Tally:
        """Count the jobs of all users by status, and tell how long the one that waits longest has been waiting."""
        ...

    def claim(self, runner: str, seconds: float) -> Job | None:
        """Give the job whose turn it is to a runner for `seconds`; None where none may run.

        The users' turns come by who has fewest jobs running, then by whose last job was begun first; one user's jobs
        run in the order in which they were started.
        """
        ...

    def report(self, identifier: str, event: Event, **what: Any) -> Job:
        """Apply a runner's event, with `usage`, `results` and `result_bytes` where it has them.

        Raises
        ------
        LeaseLost
            The runner has not got the job any more, or the job is gone.
        """
        ...

    def take_back(self) -> list[Job]:
        """Take all jobs whose lease has lapsed from their runners, and return them in their new state."""
        ...

    def expire(self, before: float) -> list[Job]:
        """Take the results away from all jobs that were over before that time, and return these in their new state."""
        ...

    def log(self, identifier: str, entries: Iterable[LogEntry]) -> None:
        """Append entries to a job's log; those of a job that is gone are dropped."""
        ...

    def entries(
        self, identifier: str, level: str = "debug", after: str | None = None, limit: int | None = None
    ) -> list[LogEntry]:
        """Return entries of a job's log in their order: as severe as `level`, after the entry `after`."""
        ...

    def result_bytes(self, user: str) -> int:
        """Return how much room the results of a user's jobs take."""
        ...
