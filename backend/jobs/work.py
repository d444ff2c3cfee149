"""One job, from its process graph to published files."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from backend.disk import disk_full, is_full, writing_to
from backend.files.quota import require_room, room_left
from backend.jobs.describe import describe_file, extents, total_bytes
from backend.jobs.joblog import JobLog
from backend.jobs.lease import Lease, Stopping
from backend.jobs.model import Job
from backend.jobs.states import Fail, Finish, LeaseLost, Produce, Release
from backend.jobs.storage import ResultStorage
from backend.jobs.watch import COMPUTED, JobRun, Watch
from backend.metrics.accounting import timings
from backend.state import is_outage, outage_error
from backend.sync.estimate import check_job
from backend.sync.run import Prepared, account, compute, prepare
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
        run = JobRun(job, memory_limit=self._settings.job_memory_bytes)
        seconds, limit = self._settings.job_lease, self._settings.job_seconds
        ledger = Ledger()
        cluster = self._services.cluster

        def hear() -> None:
            for note in cluster.notes(run):
                ledger.say(note)
            log.told(ledger.messages)

        watch = Watch(run, cluster, lambda message: log.add("info", message), hear)
        with Lease(self._jobs, job, seconds, limit, lambda: run.progress, run.check, self._stopping) as lease, watch:
            try:
                self._do(run, log, lease, ledger)
                watch.look()
                usage = run.usage()
                if run.seconds:
                    log.add("info", timings(run.seconds), data=run.seconds)
                log.add("info", f"Finished: {run}.", usage=usage)
                lease.insist(lambda: self._jobs.report(job.id, Finish(lease.runner, time.time()), usage=usage))
                log.flush()
            except LeaseLost as lost:
                logger.info("job %s is given up: %s", job.id, lost)
            except Stopping:
                log.told(ledger.messages)
                log.add("info", "The runner was stopped; the job waits for the next one.")
                self._release(job, lease)
            except Exception as error:
                log.told(ledger.messages)
                self._fail(job, log, lease, _as_told(error, job))

    def _do(self, run: JobRun, log: JobLog, lease: Lease, ledger: Ledger) -> None:
        job = run.job
        if job.state.has_results:
            log.add("info", "The results were there already; only the end was missing.")
        else:
            self._storage.remove(job.id)
            log.add("info", f"The computation has begun (attempt {job.state.attempts}).")
            prepared = prepare(self._services, job.draft.process, job.user, ledger, lease)
            log.told(ledger.messages)
            run.tasks = prepared.cost.tasks
            check_job(prepared.cost, self._settings, prepared.form)
            log.add("info", f"To be done: {prepared.cost}.")
            self._look_at_room(job, prepared, log, lease)
            lease.check()
            with self._file_for(prepared) as file:
                computed = compute(self._services, run, prepared, ledger, lease, file)
                run.seconds = account(self._services, run, prepared.cost, ledger)
                log.add("info", f"Computed in {time.time() - run.started:.1f} s; writing the results.")
                lease.check()
                run.progress = COMPUTED
                self._publish(run, prepared, computed, lease)
            log.told(ledger.messages)

    def _look_at_room(self, job: Job, prepared: Prepared, log: JobLog, lease: Lease) -> None:
        """Refuse what cannot be kept, before it is computed; how well a result packs shows when it is written."""
        left = lease.insist(lambda: room_left(self._services, job.user))
        size = prepared.cost.result_bytes
        if size > left:
            log.add(
                "warning",
                f"The result has {size} bytes before it is packed, and you have room for {left}: unless its file is "
                "smaller, the job will fail. Delete batch jobs, files or models that you need no more.",
            )

    def _file_for(self, prepared: Prepared) -> contextlib.AbstractContextManager[IO[bytes] | None]:
        """Return the file that values are kept in which need not be in memory; None where they may be."""
        if not prepared.spooled:
            return contextlib.nullcontext()
        return self._storage.spool(prepared.cost.result_bytes * prepared.form.copies)

    def _publish(self, run: JobRun, prepared: Prepared, computed: Any, lease: Lease) -> None:
        """Write the files to a draft, and show them all at once."""
        job = run.job
        folder = f"{job.state.run}-{job.state.attempts}"
        with self._storage.draft(job.id) as draft:
            path = draft / f"result{prepared.form.suffix}"
            with writing_to(draft):
                value = prepared.write(computed, path)
                assets = {path.name: {**describe_file(path, prepared.form, value), **prepared.request.about()}}
                for name, attached in prepared.request.attachments(computed, value).items():
                    (draft / name).write_bytes(attached.content)
                    assets[name] = {"title": name, **attached.about}
            size = total_bytes(assets)
            lease.insist(lambda: require_room(self._services, job.user, size, "The results take"))
            results = {"folder": folder, "assets": assets, **extents(value, prepared.loaded)}
            lease.check()
            self._storage.publish(draft, job.id, folder)
        try:
            event = Produce(lease.runner, time.time())
            lease.insist(lambda: self._jobs.report(job.id, event, results=results, result_bytes=size))
        except LeaseLost:
            self._forget_files(job)
            raise

    def _forget_files(self, job: Job) -> None:
        """Remove the files of a run that is no more this runner's; where nobody can say whose, the next run does."""
        with contextlib.suppress(SQLAlchemyError):
            current = self._jobs.find(job.id)
            self._storage.remove(job.id, keep=((current and current.results) or {}).get("folder"))

    def _fail(self, job: Job, log: JobLog, lease: Lease, error: OpenEOError) -> None:
        """Report a failure; where the cluster or the database was the reason, the job is tried again.

        The log has the reason before the status says that there is one.
        """
        passing = error.code == "InfrastructureBusy"
        event = Fail(lease.runner, time.time(), passing)
        try:
            lease.check_held()
            if passing and job.state.attempts < self._settings.job_attempts:
                log.add("warning", f"{error.message} The job waits for the next attempt.", error.code)
            else:
                log.add("error", error.message, error.code)
            lease.insist(lambda: self._jobs.report(job.id, event))
            log.flush()
        except LeaseLost as lost:
            logger.info("job %s is given up: %s", job.id, lost)

    def _release(self, job: Job, lease: Lease) -> None:
        """Give the job back; without a database it is taken back when the lease lapses."""
        try:
            self._jobs.report(job.id, Release(lease.runner, time.time()))
        except (LeaseLost, SQLAlchemyError) as lost:
            logger.info("job %s is given up: %s", job.id, lost)


def _as_told(error: Exception, job: Job) -> OpenEOError:
    """Return a failure as its user is told; of a defect the user learns only the id under which it is logged."""
    if isinstance(error, OpenEOError):
        return error
    if is_full(error):
        return disk_full()
    if is_outage(error):
        logger.warning("job %s: the database does not answer: %s", job.id, getattr(error, "orig", error))
        return outage_error(error)
    identifier = uuid.uuid4().hex
    logger.error("job %s failed (id %s)", job.id, identifier, exc_info=error)
    reason = f"The server failed; its operator finds the reason in the log under the id {identifier}."
    return OpenEOError("Internal", reason)
