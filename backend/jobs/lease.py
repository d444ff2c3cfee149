"""A runner's hold on its job: kept up by a thread, which also tells the work when to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from backend.jobs.model import Job, LogEntry
from backend.jobs.states import Beat, Fail, LeaseLost
from backend.jobs.store import JobStore
from processes.errors import OpenEOError

logger = logging.getLogger("backend.jobs")

LONGEST_BEAT = 2.0
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
        stopping: threading.Event,
        abort: Callable[[], None] = end_process,
        grace: float = GRACE_SECONDS,
    ) -> None:
        assert job.state.lease is not None
        self._store, self._job, self._seconds, self._limit = store, job, seconds, limit
        self.runner = job.state.lease.runner
        self._watch, self._stopping, self._abort, self._grace = watch, stopping, abort, grace
        self._lost: LeaseLost | None = None
        self._over = threading.Event()
        self._end = time.monotonic() + limit
        self._held_until = time.monotonic() + seconds
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ends the work: LeaseLost, Stopping, or OpenEOError RequestTimeout."""
        if self._lost is not None:
            raise self._lost
        if self._stopping.is_set():
            raise Stopping
        if time.monotonic() > self._end:
            message = f"The batch job ran longer than {self._limit:g} seconds. Choose a smaller extent or fewer dates."
            raise OpenEOError("RequestTimeout", message)

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
                self._store.report(self._job.id, Fail(self.runner, time.time()))
                entry = LogEntry("error", reason.message, time.time(), reason.code)
                self._store.log(self._job.id, [entry])
        self._abort()

    def _beat(self) -> None:
        """Say that the runner lives; without a database for longer than the lease, it has lost the job."""
        try:
            beat = Beat(self.runner, time.time(), self._seconds, self._watch())
            self._store.report(self._job.id, beat)
            self._held_until = time.monotonic() + self._seconds
        except LeaseLost as lost:
            self._lost = lost
        except (SQLAlchemyError, OpenEOError) as error:
            logger.warning("job %s: the database does not answer: %s", self._job.id, error)
            if time.monotonic() > self._held_until:
                self._lost = LeaseLost("the database did not answer in time")
