"""Fixtures for jobs: a worker to give them to, and one that is computing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.context import Services
from backend.jobs.model import Job
from tests.backend.jobs.bench import Bench, Slow, process_of
from tests.backend.server import until


@pytest.fixture
def bench(services: Services, tmp_path: Path) -> Bench:
    return Bench(services, tmp_path)


@pytest.fixture
def slow(services: Services, tmp_path: Path) -> Iterator[tuple[Bench, Job, threading.Thread]]:
    """A job that is being computed and does not end."""
    bench = Bench(replace(services, cluster=Slow()), tmp_path)
    job = bench.claim(process_of("load"))
    thread = threading.Thread(target=bench.worker.work, args=(job,))
    thread.start()
    until(lambda: bench.services.cluster.asked)  # type: ignore[attr-defined]
    yield bench, job, thread
    bench.stopping.set()
    thread.join()
