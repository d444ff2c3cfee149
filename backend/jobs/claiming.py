"""Whose turn it is: the one UPDATE by which a runner takes a job.

What it writes is `states.move` of a `Claim`; a test holds the two against each other.
"""

from __future__ import annotations

from sqlalchemy import UpdateBase, func, select, update

from backend.jobs.states import QUEUED, RUNNING
from backend.jobs.store import Limits
from backend.state.tables import JOBS


def claim_statement(runner: str, now: float, seconds: float, limits: Limits) -> UpdateBase:
    """Return the statement that gives the next job to a runner and returns its row, or changes nothing."""
    waiting, running, begun = JOBS.alias("waiting"), JOBS.alias("running"), JOBS.alias("begun")
    in_all = select(func.count()).select_from(running).where(running.c.status == RUNNING).scalar_subquery()
    of_user = (
        select(func.count())
        .select_from(running)
        .where(running.c.status == RUNNING, running.c.user == waiting.c.user)
        .correlate(waiting)
        .scalar_subquery()
    )
    last_turn = (
        select(func.coalesce(func.max(begun.c.claimed), 0.0))
        .where(begun.c.user == waiting.c.user)
        .correlate(waiting)
        .scalar_subquery()
    )
    turn = (
        select(waiting.c.id)
        .where(waiting.c.status == QUEUED, of_user < limits.per_user, in_all < limits.in_all)
        .order_by(of_user, last_turn, waiting.c.queued, waiting.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return (
        update(JOBS)
        .where(JOBS.c.id == turn, JOBS.c.status == QUEUED)
        .values(
            status=RUNNING,
            attempts=JOBS.c.attempts + 1,
            started=func.coalesce(JOBS.c.started, now),
            claimed=now,
            runner=runner,
            lease_until=now + seconds,
            heartbeat=now,
            updated=now,
            version=JOBS.c.version + 1,
        )
        .returning(JOBS)
    )
