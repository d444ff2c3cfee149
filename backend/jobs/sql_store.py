"""Batch jobs in the server's database."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, false, func, insert, select, tuple_, update

from backend.jobs.claiming import claim_statement
from backend.jobs.model import LEVELS, Draft, Job, LogEntry, job_not_found
from backend.jobs.rows import (
    LISTED,
    columns_of_draft,
    columns_of_entry,
    columns_of_state,
    entry_of,
    job_of,
    listed_job,
)
from backend.jobs.states import (
    AT_REST,
    QUEUED,
    RUNNING,
    STATUSES,
    Cancel,
    Edit,
    Event,
    Expire,
    JobState,
    Lapse,
    LeaseLost,
    Refused,
    Start,
    move,
)
from backend.jobs.store import Limits, Tally
from backend.state import Database
from backend.state.tables import JOB_LOGS, JOBS
from processes.errors import OpenEOError

# Any numbers that differ from those of other parts of the server.
CREATING, CLAIMING = 0x0E07, 0x0E08
TRIES = 20
_ID = re.compile(r"[0-9a-f]{32}")

# What clients ask for again and again: statements that are made once.
OWN = select(JOBS).where(JOBS.c.user == bindparam("owner"), JOBS.c.id == bindparam("job"))
OWN_LIST = select(*LISTED).where(JOBS.c.user == bindparam("owner")).order_by(JOBS.c.created.desc(), JOBS.c.id.desc())
ENTRIES = (
    select(JOB_LOGS)
    .where(
        JOB_LOGS.c.job == bindparam("of_job"),
        JOB_LOGS.c.level >= bindparam("least"),
        JOB_LOGS.c.id > bindparam("last"),
    )
    .order_by(JOB_LOGS.c.id)
)


class SqlJobStore:
    """Jobs and their logs in the server's database; see `JobStore` for what the methods promise.

    Every change is one transaction: read the row, make the move, write it unless another was faster (then again).
    """

    def __init__(
        self, database: Database, limits: Limits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._limits = limits or Limits()
        self._clock = clock

    def create(self, user: str, draft: Draft) -> Job:
        """Keep a new job."""
        now = self._clock()
        row = {
            **columns_of_draft(draft),
            **columns_of_state(JobState()),
            **{"id": uuid.uuid4().hex, "user": user, "created": now, "updated": now, "version": 0, "result_bytes": 0},
        }
        with self._database.taking_turns(CREATING) as connection:
            count = connection.execute(select(func.count()).where(JOBS.c.user == user)).scalar_one()
            if count >= self._limits.kept:
                message = f"You have {count} batch jobs, as many as there may be; delete those that you need no more."
                raise OpenEOError("StorageQuotaExceeded", message)
            return job_of(connection.execute(insert(JOBS).values(row).returning(JOBS)).one())

    def get(self, user: str, identifier: str) -> Job:
        """Return a user's job."""
        with self._database.reading() as connection:
            row = connection.execute(OWN, {"owner": user, "job": _possible(identifier)}).one_or_none()
        if row is None:
            raise job_not_found(identifier)
        return job_of(row)

    def find(self, identifier: str) -> Job | None:
        """Return a job of whomever."""
        with self._database.reading() as connection:
            row = connection.execute(select(JOBS).where(_is(identifier))).one_or_none()
        return None if row is None else job_of(row)

    def of(self, user: str, limit: int | None = None, after: str | None = None) -> list[Job]:
        """Return a user's jobs, the latest first."""
        query = OWN_LIST
        if after is not None:
            last = select(JOBS.c.created, JOBS.c.id).where(_of(user, after)).subquery()
            query = query.where(tuple_(JOBS.c.created, JOBS.c.id) < select(last).scalar_subquery())
        query = query if limit is None else query.limit(limit)
        with self._database.reading() as connection:
            return [listed_job(row) for row in connection.execute(query, {"owner": user})]

    def edit(self, user: str, identifier: str, changes: Mapping[str, Any]) -> Job:
        """Change fields of a job's draft."""
        try:
            return self._apply(_of(user, identifier), identifier, Edit(self._clock()), dict(changes))
        except Refused as refused:
            message = (
                f"The batch job cannot be changed: {refused}. Cancel it first (DELETE /jobs/{identifier}/results)."
            )
            raise OpenEOError("JobLocked", message) from None

    def start(self, user: str, identifier: str) -> Job:
        """Queue a job and forget what its last run left."""
        nothing = {"usage": None, "results": None, "result_bytes": 0}
        return self._apply(_of(user, identifier), identifier, Start(self._clock()), {}, nothing)

    def cancel(self, user: str, identifier: str) -> Job:
        """Take a job out of the queue or away from its runner."""
        return self._apply(_of(user, identifier), identifier, Cancel(self._clock()), {})

    def delete(self, user: str, identifier: str) -> None:
        """Delete a job and its log."""
        with self._database.writing() as connection:
            if connection.execute(delete(JOBS).where(_of(user, identifier))).rowcount == 0:
                raise job_not_found(identifier)

    def delete_all(self, user: str) -> list[str]:
        """Delete all jobs of a user."""
        with self._database.writing() as connection:
            return list(connection.execute(delete(JOBS).where(JOBS.c.user == user).returning(JOBS.c.id)).scalars())

    def any_waiting(self) -> bool:
        """Return whether a job is queued."""
        with self._database.reading() as connection:
            return connection.execute(select(JOBS.c.id).where(JOBS.c.status == QUEUED).limit(1)).first() is not None

    def tally(self) -> Tally:
        """Count all jobs, and tell how long the one that waits longest has been waiting."""
        counts = select(JOBS.c.status, func.count()).group_by(JOBS.c.status)
        oldest = select(func.min(JOBS.c.queued)).where(JOBS.c.status == QUEUED)
        with self._database.reading() as connection:
            found = {status: int(count) for status, count in connection.execute(counts)}
            since = connection.execute(oldest).scalar()
        age = 0.0 if since is None else max(0.0, self._clock() - since)
        return Tally({status: found.get(status, 0) for status in STATUSES}, age)

    def claim(self, runner: str, seconds: float) -> Job | None:
        """Give the job whose turn it is to a runner: one UPDATE, beside which no other claim runs."""
        statement = claim_statement(runner, self._clock(), seconds, self._limits)
        with self._database.taking_turns(CLAIMING) as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else job_of(row)

    def report(self, identifier: str, event: Event, **what: Any) -> Job:
        """Apply a runner's event."""
        try:
            return self._apply(JOBS.c.id == identifier, identifier, event, what)
        except OpenEOError as gone:
            if gone.code == "JobNotFound":
                raise LeaseLost("the job is gone") from None
            raise

    def take_back(self) -> list[Job]:
        """Take all jobs whose lease has lapsed from their runners."""
        now = self._clock()
        lapsed = and_(JOBS.c.status == RUNNING, JOBS.c.lease_until < now)
        with self._database.reading() as connection:
            identifiers = connection.execute(select(JOBS.c.id).where(lapsed)).scalars().all()
        taken = []
        for identifier in identifiers:
            try:
                taken.append(self.report(identifier, Lapse(now)))
            except Refused:  # its runner was heard of, or another one took it back
                continue
        return taken

    def expire(self, before: float) -> list[Job]:
        """Take the results away from all jobs that were over before a time."""
        old = and_(JOBS.c.has_results, JOBS.c.status.in_(AT_REST), JOBS.c.ended < before)
        with self._database.reading() as connection:
            identifiers = connection.execute(select(JOBS.c.id).where(old)).scalars().all()
        expired = []
        for identifier in identifiers:
            try:
                expired.append(self.report(identifier, Expire(self._clock()), results=None, result_bytes=0))
            except Refused:  # its user has started or deleted it
                continue
        return expired

    def log(self, identifier: str, entries: Iterable[LogEntry]) -> None:
        """Append entries to a job's log."""
        rows = [columns_of_entry(identifier, entry) for entry in entries]
        if not rows:
            return
        with self._database.writing() as connection:
            # Locked until they are written: a job that is being deleted takes no entries along.
            job = select(JOBS.c.id).where(JOBS.c.id == identifier).with_for_update(read=True)
            if connection.execute(job).one_or_none() is not None:
                connection.execute(insert(JOB_LOGS), rows)

    def entries(
        self, identifier: str, level: str = "debug", after: str | None = None, limit: int | None = None
    ) -> list[LogEntry]:
        """Return entries of a job's log in their order."""
        query = ENTRIES if limit is None else ENTRIES.limit(limit)
        which = {"of_job": identifier, "least": LEVELS.index(level), "last": int(after or 0)}
        with self._database.reading() as connection:
            return [entry_of(row) for row in connection.execute(query, which)]

    def result_bytes(self, user: str) -> int:
        """Return how much room the results of a user's jobs take."""
        query = select(func.coalesce(func.sum(JOBS.c.result_bytes), 0)).where(JOBS.c.user == user)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def _apply(
        self,
        where: Any,
        identifier: str,
        event: Event,
        what: Mapping[str, Any],
        fresh: Mapping[str, Any] | None = None,
    ) -> Job:
        """Make a move; `what` is written with it in any case, `fresh` where it begins a new run, without its log."""
        for _ in range(TRIES):
            with self._database.writing() as connection:
                row = connection.execute(select(JOBS).where(where)).one_or_none()
                if row is None:
                    raise job_not_found(identifier)
                before = job_of(row)
                state = move(before.state, event, self._limits.attempts)
                begins = fresh is not None and state.run > before.state.run
                values = {**what, **(fresh or {})} if begins else dict(what)
                if state == before.state and not values:
                    return before
                if begins:
                    connection.execute(delete(JOB_LOGS).where(JOB_LOGS.c.job == row.id))
                after = self._write(connection, row, before.state, state, values)
                if after is not None:
                    return after
        raise OpenEOError("InfrastructureBusy", "The batch job is being changed all the time; try again in a minute.")

    def _write(
        self, connection: Connection, row: Any, before: JobState, after: JobState, values: Mapping[str, Any]
    ) -> Job | None:
        """Write a job's new columns unless somebody else has changed the row since it was read."""
        seen = and_(JOBS.c.id == row.id, JOBS.c.version == row.version)
        updated = self._clock() if values or after.status != before.status else row.updated
        columns = {**columns_of_state(after), **values, "version": row.version + 1, "updated": updated}
        changed = connection.execute(update(JOBS).where(seen).values(columns).returning(JOBS)).one_or_none()
        if changed is None:
            connection.rollback()
            return None
        return job_of(changed)


def _of(user: str, identifier: str) -> Any:
    return and_(JOBS.c.user == user, _is(identifier))


def _possible(identifier: str) -> str:
    """Return a job's id; what is none becomes nothing (PostgreSQL refuses null characters)."""
    return identifier if _ID.fullmatch(identifier) else ""


def _is(identifier: str) -> Any:
    """Return the condition for a job's id; what is none matches nothing (PostgreSQL refuses null characters)."""
    return JOBS.c.id == identifier if _ID.fullmatch(identifier) else false()
