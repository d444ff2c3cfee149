"""One job, from its process graph to published files."""

from __future__ import annotations

import errno
import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from backend.jobs.describe import describe_file, extents, total_bytes
from backend.jobs.joblog import JobLog
from backend.jobs.lease import Lease, Stopping
from backend.jobs.model import Job
from backend.jobs.states import Fail, Finish, LeaseLost, Produce, Release
from backend.jobs.storage import ResultStorage
from backend.jobs.watch import COMPUTED, JobRun, Watch
from backend.sync.estimate import check_job
from backend.sync.run import Prepared, prepare
from processes.environment import Ledger
from processes.errors import OpenEOError

if TYPE_CHECKING:
    from backend.context import Services
    from backend.settings import Settings

logger = logging.getLogger("backend.jobs")


class Worker:
    """Computes jobs, one after the other, for one runner."""

    def __init__(self, settings: Settings, services: Services, stopping: threading.Event) -> None:
        self._settings = settings
        self._services = services
        self._jobs = services.jobs
        self._storage: ResultStorage = services.results
        self._stopping = stopping

    def work(self, job: Job) -> None:
        """Compute a job that was claimed, and report how it went."""
        log = JobLog(self._jobs, job)
        run = JobRun(job)
        seconds, limit = self._settings.job_lease, self._settings.job_seconds
        ledger = Ledger()
        watch = Watch(run, self._services.cluster)
        with Lease(self._jobs, job, seconds, limit, lambda: run.progress, self._stopping) as lease, watch:
            try:
                self._do(run, log, lease, ledger)
                watch.look()
                usage = run.usage()
                log.add("info", f"Finished: {run}.", usage=usage)
                self._jobs.report(job.id, Finish(lease.runner, time.time()), usage=usage)
            except LeaseLost as lost:
                logger.info("job %s is given up: %s", job.id, lost)
            except Stopping:
                log.add("info", "The runner was stopped; the job waits for the next one.")
                self._report(job, Release(lease.runner, time.time()))
            except Exception as error:
                log.told(ledger.messages)
                self._fail(job, log, lease.runner, _as_told(error, job))

    def _do(self, run: JobRun, log: JobLog, lease: Lease, ledger: Ledger) -> None:
        job = run.job
        if job.state.has_results:
            log.add("info", "The results were there already; only the end was missing.")
        else:
            self._storage.remove(job.id)
            log.add("info", f"The computation has begun (attempt {job.state.attempts}).")
            prepared = prepare(self._services, job.draft.process, job.user, ledger)
            log.told(ledger.messages)
            run.tasks = prepared.cost.tasks
            check_job(prepared.cost, self._settings)
            log.add("info", f"To be done: {prepared.cost}.")
            lease.check()
            computed = self._services.cluster.compute(run, prepared.data, lease)
            log.add("info", f"Computed in {time.time() - run.started:.1f} s; writing the results.")
            lease.check()
            run.progress = COMPUTED
            self._publish(run, prepared, computed, lease)
            log.told(ledger.messages)

    def _publish(self, run: JobRun, prepared: Prepared, computed: Any, lease: Lease) -> None:
        """Write the files to a draft, and show them all at once."""
        job = run.job
        folder = f"{job.state.run}-{job.state.attempts}"
        with self._storage.draft(job.id) as draft:
            path = draft / f"result{prepared.form.suffix}"
            value = prepared.write(computed, path)
            assets = {path.name: describe_file(path, prepared.form, value)}
            size = total_bytes(assets)
            self._check_room(job.user, size)
            results = {"folder": folder, "assets": assets, **extents(value, prepared.loaded)}
            lease.check()
            self._storage.publish(draft, job.id, folder)
        try:
            event = Produce(lease.runner, time.time())
            self._jobs.report(job.id, event, results=results, result_bytes=size)
        except LeaseLost:
            current = self._jobs.find(job.id)
            self._storage.remove(job.id, keep=((current and current.results) or {}).get("folder"))
            raise

    def _check_room(self, user: str, size: int) -> None:
        used = self._services.files.used(user) + self._jobs.result_bytes(user)
        if used + size > self._settings.storage_bytes:
            message = (
                f"The results take {size} bytes, but of your {self._settings.storage_bytes} bytes {used} are taken. "
                "Delete batch jobs or files that you need no more."
            )
            raise OpenEOError("StorageQuotaExceeded", message)

    def _fail(self, job: Job, log: JobLog, runner: str, error: OpenEOError) -> None:
        """Report a failure; where the cluster was the reason, the job is tried again."""
        passing = error.code == "InfrastructureBusy"
        after = self._report(job, Fail(runner, time.time(), passing))
        if after is None:
            return
        if after.state.status == "error":
            log.add("error", error.message, error.code)
        else:
            log.add("warning", f"{error.message} The job waits for the next attempt.", error.code)

    def _report(self, job: Job, event: Fail | Release) -> Job | None:
        try:
            return self._jobs.report(job.id, event)
        except LeaseLost as lost:
            logger.info("job %s is given up: %s", job.id, lost)
            return None


def _as_told(error: Exception, job: Job) -> OpenEOError:
    """Return a failure as its user is told; of a defect the user learns only the id under which it is logged."""
    if isinstance(error, OpenEOError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OpenEOError("StorageFailure", "The server's disk is full; its operator must make room.")
    identifier = uuid.uuid4().hex
    logger.error("job %s failed (id %s)", job.id, identifier, exc_info=error)
    reason = f"The server failed; its operator finds the reason in the log under the id {identifier}."
    return OpenEOError("Internal", reason)
