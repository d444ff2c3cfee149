"""A worker on fake services, clusters that do not end or are gone, and process graphs for them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from backend.context import Services
from backend.jobs.model import Draft, Job
from backend.jobs.work import Worker
from processes.errors import OpenEOError
from tests.backend.fakes import FakeCluster, graph, settings_in

LEASE = 6.0


class Bench:
    """A worker on fake services, and the jobs that it is given."""

    def __init__(self, services: Services, folder: Path, **flags: Any) -> None:
        self.services = services
        self.stopping = threading.Event()
        flags = {"job_lease": LEASE, **flags}
        self.worker = Worker(settings_in(folder, **flags), services, self.stopping)

    def claim(self, process: dict[str, Any], log_level: str = "info") -> Job:
        jobs = self.services.jobs
        jobs.start("anna", jobs.create("anna", Draft(process, log_level=log_level)).id)
        job = jobs.claim("runner", LEASE)
        assert job is not None
        return job

    def work(self, process: dict[str, Any], log_level: str = "info") -> Job:
        job = self.claim(process, log_level)
        self.worker.work(job)
        return self.services.jobs.get("anna", job.id)

    def log(self, job: Job, level: str = "debug") -> list[str]:
        return [entry.message for entry in self.services.jobs.entries(job.id, level)]

    def file(self, job: Job) -> Path | None:
        assert job.results is not None
        (name,) = job.results["assets"]
        return self.services.results.locate(job.id, job.results["folder"], name)

    def files(self) -> list[Path]:
        folder = self.worker._settings.results_folder
        return [path for path in folder.rglob("*") if path.is_file()]


def process_of(name: str, **arguments: Any) -> dict[str, Any]:
    """Return a process graph of one node, as jobs have it."""
    return dict(graph(name, **arguments)["process"])


class Slow(FakeCluster):
    """A cluster that computes until it is told to stop."""

    def compute(self, asked: Any, value: Any, deadline: Any, nodes: Any = None) -> Any:
        self.asked.append(asked)
        while True:
            deadline.check()
            threading.Event().wait(0.02)


class Away(FakeCluster):
    """A cluster that is gone when it is needed."""

    def compute(self, asked: Any, value: Any, deadline: Any, nodes: Any = None) -> Any:
        raise OpenEOError("InfrastructureBusy", "away")
