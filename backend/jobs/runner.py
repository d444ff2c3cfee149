"""The runner: a process that takes jobs, one at a time, for as long as it lives."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from backend.jobs.joblog import JobLog
from backend.jobs.model import Job
from backend.jobs.opening import open_jobs
from backend.jobs.states import ERROR
from backend.jobs.storage import LocalStorage
from backend.jobs.watch import MIB, resident
from backend.logs import logging_about
from backend.settings import Settings
from backend.state import Database
from processes.errors import OpenEOError

if TYPE_CHECKING:
    from backend.jobs.work import Worker
    from backend.sync.seam import Cluster

logger = logging.getLogger("backend.jobs")

POLL_SECONDS = 0.5
SWEEP_SECONDS = 3600.0
DAY = 86_400.0


class Runner:
    """Claims jobs and has them computed.

    Parameters
    ----------
    settings : Settings
    scheduler : str
        The Dask scheduler to compute on.
    stopping : Event
        Set when the runner has to stop.
    """

    def __init__(self, settings: Settings, scheduler: str, stopping: threading.Event) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._stopping = stopping
        self._database = Database(settings.database_url)
        self._jobs = open_jobs(settings, self._database)
        # Never the name of a runner that was: what that one held is taken up when its lease lapses.
        self._name = f"{socket.gethostname()[:64]}:{os.getpid()}:{time.time_ns():x}"
        self._worker: Worker | None = None
        self._cluster: Cluster
        self._swept = float("-inf")
        # Bytes of memory with the process library and before the first job.
        self._fresh = 0

    def run(self) -> None:
        """Run until told to stop, or until a fresh runner serves better."""
        while not self._stopping.is_set():
            try:
                worked = self._turn()
            except (SQLAlchemyError, OpenEOError, OSError) as error:
                logger.warning("no job can be taken up now: %s", getattr(error, "orig", error))
                worked = False
            if worked and self._holds_on():
                break
            if not worked:
                self._stopping.wait(POLL_SECONDS)
        self._database.close()

    def _turn(self) -> bool:
        """Take lapsed jobs back and compute the next one; False where there is none, or no cluster to compute on."""
        for taken in self._jobs.take_back():
            self._tell(taken)
        self._sweep()
        if not self._jobs.any_waiting() or not self._ready():
            return False
        job = self._jobs.claim(self._name, self._settings.job_lease)
        if job is None:
            return False
        assert self._worker is not None
        with logging_about(job=job.id):
            self._worker.work(job)
        return True

    def _ready(self) -> bool:
        """Load the process library, which waits for the first job, and look whether the cluster has workers."""
        if self._worker is None:
            from backend.jobs.work import Worker
            from backend.services import build_services

            services = build_services(self._settings, self._scheduler)
            self._cluster = services.cluster
            self._worker = Worker(self._settings, services, self._stopping)
            self._fresh = resident()
        return bool(self._cluster.workers())

    def _holds_on(self) -> bool:
        """Whether what jobs have left in memory takes half of what the next one may have: a fresh runner has none."""
        left = resident() - self._fresh
        if left <= self._settings.job_memory_bytes / 2:
            return False
        logger.info("the runner ends: its jobs have left %d MiB in memory; the next runner is fresh", left // MIB)
        return True

    def _tell(self, job: Job) -> None:
        """Say in a job's log that its runner was lost."""
        log = JobLog(self._jobs, job)
        attempts, most = job.state.attempts, self._settings.job_attempts
        if job.state.status == ERROR:
            message = f"The runner was lost in attempt {attempts} of {most}. A smaller extent may need less memory."
            log.add("error", message, "RunnerLost")
        else:
            log.add("warning", f"The runner was lost in attempt {attempts} of {most}; the job is queued again.")

    def _sweep(self) -> None:
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self._swept = time.monotonic()
            storage = LocalStorage(self._settings.results_folder)
            storage.sweep()
            self._expire(storage)

    def _expire(self, storage: LocalStorage) -> None:
        """Delete results that are older than they are kept."""
        days = self._settings.result_days
        for job in self._jobs.expire(time.time() - days * DAY) if days else ():
            current = self._jobs.find(job.id)  # it may have been started again, and have new ones
            storage.remove(job.id, keep=((current and current.results) or {}).get("folder"))
            JobLog(self._jobs, job).add("info", f"The results were deleted: they are kept for {days:g} days.")
