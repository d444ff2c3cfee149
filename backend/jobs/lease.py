"""A runner's hold on its job: kept up by a thread, which also tells the work when to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from backend.jobs.model import Job, LogEntry
from backend.jobs.states import Beat, Fail, LeaseLost
from backend.jobs.store import JobStore
from backend.state import is_outage
from processes.errors import OpenEOError

logger = logging.getLogger("backend.jobs")

Answer = TypeVar("Answer")

LONGEST_BEAT = 2.0
# Seconds between two attempts to reach a database that does not answer.
PAUSE = 0.5
# Work that was told to stop and does not (it is in a library, say) is ended with its process after so long.
GRACE_SECONDS = 15.0


class Stopping(Exception):
    """The runner itself is told to stop."""


def end_process() -> None:
    """End this process at once; its supervisor starts the next one."""
    os._exit(70)


class Lease:
    """Keeps a job for a runner as long as the block runs.

    Parameters
    ----------
    store : JobStore
    job : Job
        As it was claimed.
    seconds : float
        How long the lease lasts from each beat.
    limit : float
        How long the work may take, in seconds.
    watch : callable
        Called at each beat; returns the percentage that is done.
    limits : callable
        Called often; raises the OpenEOError that ends work which uses too much.
    stopping : Event
        Set when the runner has to stop.
    abort : callable
        Ends work that does not stop.
    """

    def __init__(
        self,
        store: JobStore,
        job: Job,
        seconds: float,
        limit: float,
        watch: Callable[[], float],
        limits: Callable[[], None],
        stopping: threading.Event,
        abort: Callable[[], None] = end_process,
        grace: float = GRACE_SECONDS,
    ) -> None:
        assert job.state.lease is not None
        self._store, self._job, self._seconds, self._limit = store, job, seconds, limit
        self.runner = job.state.lease.runner
        self._watch, self._limits, self._stopping = watch, limits, stopping
        self._abort, self._grace = abort, grace
        self._lost: LeaseLost | None = None
        self._over = threading.Event()
        self._end = time.monotonic() + limit
        self._held_until = time.monotonic() + seconds
        self._thread = threading.Thread(target=copy_context().run, args=(self._keep,), name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def insist(self, step: Callable[[], Answer]) -> Answer:
        """Return what `step` returns, which asks the database: again and again, as long as the job is held.

        What was written although its answer was lost is written twice: the moves of a job bear that.

        Raises
        ------
        LeaseLost
            The job is another runner's by now, or may be.
        """
        while True:
            try:
                return step()
            except SQLAlchemyError as error:
                if not is_outage(error):
                    raise
                logger.warning("job %s: the database does not answer: %s", self._job.id, getattr(error, "orig", error))
                self.check_held()
                if self._stopping.wait(PAUSE):
                    raise LeaseLost("the runner stops and the database does not answer") from None

    def check(self) -> None:
        """Raise what ends the work: LeaseLost, Stopping, OpenEOError RequestTimeout, or what `limits` raises."""
        self.check_held()
        if self._stopping.is_set():
            raise Stopping
        if time.monotonic() > self._end:
            message = (
                f"The batch job ran longer than {self._limit:g} seconds (OPENEO_EMBED_JOB_SECONDS). "
                "Choose a smaller extent or fewer dates."
            )
            raise OpenEOError("RequestTimeout", message)
        self._limits()

    def check_held(self) -> None:
        """Raise LeaseLost where the job is held no more.

        Also where the thread that keeps the lease up cannot tell, because it hangs in the database itself.
        """
        if self._lost is not None:
            raise self._lost
        if time.monotonic() > self._held_until:
            raise LeaseLost("the database did not answer in time")

    def _keep(self) -> None:
        must_end: float | None = None
        while not self._over.wait(min(LONGEST_BEAT, self._seconds / 4)):
            self._beat()
            try:
                self.check()
                continue
            except Exception as error:
                reason = error
            must_end = must_end or time.monotonic() + self._grace
            if time.monotonic() > must_end:
                self._give_up(reason)
                return

    def _give_up(self, reason: Exception) -> None:
        """End work that does not stop; where its time was up, there is no further attempt."""
        logger.error("job %s does not stop (%s); this runner ends", self._job.id, reason)
        if isinstance(reason, OpenEOError):
            with contextlib.suppress(LeaseLost, SQLAlchemyError):
                self.check_held()
                entry = LogEntry("error", reason.message, time.time(), reason.code)
                self._store.log(self._job.id, [entry])
                self._store.report(self._job.id, Fail(self.runner, time.time()))
        self._abort()

    def _beat(self) -> None:
        """Say that the runner lives; without a database for longer than the lease, it has lost the job."""
        try:
            until = time.monotonic() + self._seconds
            beat = Beat(self.runner, time.time(), self._seconds, self._watch())
            self._store.report(self._job.id, beat)
            self._held_until = until
        except LeaseLost as lost:
            self._lost = lost
        except (SQLAlchemyError, OpenEOError) as error:
            logger.warning("job %s: the database does not answer: %s", self._job.id, getattr(error, "orig", error))
