"""How far a job is and what it uses, looked up beside the work: a cluster that is slow to answer holds nothing up."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import psutil

from backend.jobs.model import Job
from backend.sync.estimate import REMEDY
from backend.sync.seam import Cluster, Progress
from processes.errors import OpenEOError

logger = logging.getLogger("backend.jobs")

MIB = 2**20
SECONDS = 1.0
# The rest of the way is writing and describing the files.
COMPUTED = 98.0
# The log tells of progress when there is so much more of it, and not more often.
TOLD_PERCENT, TOLD_SECONDS = 10.0, 5.0


def resident() -> int:
    """Return how many bytes of memory this process holds."""
    return int(psutil.Process().memory_info().rss)


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
    memory_limit: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    worker_memory: int = 0
    runner_memory: int = 0

    @property
    def user(self) -> str:
        """Whose job it is."""
        return self.job.user

    @property
    def about(self) -> dict[str, str]:
        """What lines of logs call it: the job, not the attempt."""
        return {"job": self.job.id}

    def check(self) -> None:
        """Raise OpenEOError ProcessGraphComplexity where the runner has outgrown its memory."""
        if self.memory_limit is not None and self.runner_memory > self.memory_limit:
            message = (
                f"The batch job took {self.runner_memory / MIB:.0f} MiB of memory in its runner, which may have "
                f"{self.memory_limit / MIB:.0f} MiB (OPENEO_EMBED_JOB_MEMORY_BYTES). {REMEDY}"
            )
            raise OpenEOError("ProcessGraphComplexity", message)

    def usage(self) -> dict[str, Any]:
        """Return what the attempt has used, as the API writes it."""
        return {
            "duration": {"value": round(time.time() - self.started, 1), "unit": "seconds"},
            "max_worker_memory": {"value": round(self.worker_memory / MIB), "unit": "mb"},
            "max_runner_memory": {"value": round(self.runner_memory / MIB), "unit": "mb"},
            "tasks": {"value": self.tasks, "unit": "tasks"},
            "computing": {"value": round(sum(self.seconds.values()), 1), "unit": "thread-seconds"},
        }

    def __str__(self) -> str:
        """Return what the attempt has used, as users read it."""
        memory = f"{self.worker_memory / MIB:.0f} MiB on the workers, {self.runner_memory / MIB:.0f} MiB in the runner"
        return f"{time.time() - self.started:.1f} s, {self.tasks} Dask tasks, peak memory {memory}"


class Watch:
    """Looks after a run for as long as the block runs.

    Parameters
    ----------
    run : JobRun
    cluster : Cluster
    tell : callable
        Is told, now and then, how far the run is.
    look_too : callable
        Called once a second. What it raises is logged, and it is called again.
    """

    def __init__(
        self,
        run: JobRun,
        cluster: Cluster,
        tell: Callable[[str], None] = lambda _: None,
        look_too: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._cluster = cluster
        self._tell = tell
        self._look_too = look_too
        self._told, self._told_at = 0.0, time.monotonic()
        self._failing: dict[str, str] = {}  # what each look fails with, told once
        self._over = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._keep,), name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Look at the cluster and at this process now."""
        self._measure()
        self._look_at_cluster()

    def _measure(self) -> None:
        self._run.runner_memory = max(self._run.runner_memory, resident())

    def _look_at_cluster(self) -> None:
        run = self._run
        run.worker_memory = max(run.worker_memory, self._cluster.memory())
        try:
            mine = [item for item in self._cluster.progress(run.user, run.kind) if item.id == run.id]
        except OpenEOError:  # the computation itself will notice
            return
        for item in mine:
            run.progress = max(run.progress, COMPUTED * item.done / item.total if item.total else 0.0)
            self._tell_progress(item)

    def _tell_progress(self, item: Progress) -> None:
        now = time.monotonic()
        if self._run.progress >= self._told + TOLD_PERCENT and now >= self._told_at + TOLD_SECONDS:
            self._told, self._told_at = self._run.progress, now
            self._tell(f"{self._run.progress:.0f} % done: {item.done} of {item.total} Dask tasks.")

    def _keep(self) -> None:
        """Look until the run is over, whatever a look fails at: the limit of memory hangs on it.

        The cluster comes last: one that is slow to answer holds up what was said no longer than needed.
        """
        looks = {"memory": self._measure, "what was said": self._look_too, "the cluster": self._look_at_cluster}
        while not self._over.wait(SECONDS):
            for name, look in looks.items():
                self._try(name, look)

    def _try(self, name: str, look: Callable[[], None]) -> None:
        try:
            look()
            self._failing.pop(name, None)
        except Exception as error:
            if self._failing.get(name) != type(error).__name__:  # not once a second
                self._failing[name] = type(error).__name__
                logger.exception("job %s: a look at %s failed; it goes on", self._run.job.id, name)
