"""How far a job is and what it uses, looked up beside the work: a cluster that is slow to answer holds nothing up."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import psutil

from backend.jobs.model import Job
from backend.sync.cluster import Cluster
from processes.errors import OpenEOError

MIB = 2**20
SECONDS = 1.0
# The rest of the way is writing and describing the files.
COMPUTED = 98.0


@dataclass
class JobRun:
    """One attempt at a job: what it tells the cluster of itself, how many percent are done, the peaks of memory."""

    job: Job
    # A new one for each attempt: the cluster may still be busy with the last.
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    kind: str = "job"
    started: float = field(default_factory=time.time)
    progress: float = 0.0
    tasks: int = 0
    worker_memory: int = 0
    runner_memory: int = 0

    @property
    def user(self) -> str:
        """Whose job it is."""
        return self.job.user

    def usage(self) -> dict[str, Any]:
        """Return what the attempt has used, as the API writes it."""
        return {
            "duration": {"value": round(time.time() - self.started, 1), "unit": "seconds"},
            "max_worker_memory": {"value": round(self.worker_memory / MIB), "unit": "mb"},
            "max_runner_memory": {"value": round(self.runner_memory / MIB), "unit": "mb"},
            "tasks": {"value": self.tasks, "unit": "tasks"},
        }

    def __str__(self) -> str:
        """Return what the attempt has used, as users read it."""
        memory = f"{self.worker_memory / MIB:.0f} MiB on the workers, {self.runner_memory / MIB:.0f} MiB in the runner"
        return f"{time.time() - self.started:.1f} s, {self.tasks} Dask tasks, peak memory {memory}"


class Watch:
    """Looks after a run for as long as the block runs."""

    def __init__(self, run: JobRun, cluster: Cluster) -> None:
        self._run = run
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Look at the cluster and at this process now."""
        run = self._run
        run.runner_memory = max(run.runner_memory, psutil.Process().memory_info().rss)
        run.worker_memory = max(run.worker_memory, self._cluster.memory())
        try:
            mine = [item for item in self._cluster.progress(run.user, run.kind) if item.id == run.id]
        except OpenEOError:  # the computation itself will notice
            return
        for item in mine:
            run.progress = max(run.progress, COMPUTED * item.done / item.total if item.total else 0.0)

    def _keep(self) -> None:
        while not self._over.wait(SECONDS):
            self.look()
