"""The runner's loop on fake services: it waits for workers, takes lapsed jobs up, and outlives its database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from backend.context import Services
from backend.jobs.model import Draft, Job
from backend.jobs.runner import Runner
from backend.jobs.sql_store import SqlJobStore
from tests.backend.fakes import FakeCluster, graph, settings_in
from tests.backend.server import until

PROCESS = graph("number")["process"]


@pytest.fixture
def cluster(services: Services) -> FakeCluster:
    assert isinstance(services.cluster, FakeCluster)
    return services.cluster


@pytest.fixture
def runner(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """A runner that runs in a thread."""
    monkeypatch.setattr("backend.services.build_services", lambda settings, scheduler: services)
    stopping = threading.Event()
    made = Runner(settings_in(tmp_path, job_attempts=2), "tcp://127.0.0.1:1", stopping)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    stopping.set()
    thread.join()


def _start(services: Services) -> Job:
    return services.jobs.start("anna", services.jobs.create("anna", Draft(PROCESS)).id)


def _status(services: Services, job: Job) -> str:
    return services.jobs.get("anna", job.id).state.status


def test_jobs_are_computed_one_after_the_other(services: Services, runner: Runner) -> None:
    jobs = [_start(services) for _ in range(3)]
    until(lambda: [_status(services, job) for job in jobs] == ["finished"] * 3)
    started = [services.jobs.get("anna", job.id).state.started for job in jobs]
    assert started == sorted(started)  # type: ignore[type-var]


def test_jobs_wait_for_workers(services: Services, cluster: FakeCluster, runner: Runner) -> None:
    cluster.alive = 0
    job = _start(services)
    time.sleep(1.5)
    assert services.jobs.get("anna", job.id).state.attempts == 0
    cluster.alive = None
    time.sleep(1.0)
    assert _status(services, job) == "queued"
    cluster.alive = 1
    until(lambda: _status(services, job) == "finished")


def test_what_a_dead_runner_held_is_taken_up(services: Services, tmp_path: Path, runner: Runner) -> None:
    job = services.jobs.create("anna", Draft(PROCESS))
    past = SqlJobStore(services.jobs._database, clock=lambda: time.time() - 100)  # type: ignore[attr-defined]
    past.start("anna", job.id)
    assert past.claim("dead", 10) is not None
    until(lambda: _status(services, job) == "finished")
    (warning,) = services.jobs.entries(job.id, "warning")
    assert "lost in attempt 1 of 2" in warning.message


def test_a_job_that_kills_its_runners_fails_in_the_end(
    services: Services, cluster: FakeCluster, runner: Runner
) -> None:
    cluster.alive = 0
    job = services.jobs.create("anna", Draft(PROCESS))
    past = SqlJobStore(services.jobs._database, clock=lambda: time.time() - 100)  # type: ignore[attr-defined]
    past.start("anna", job.id)
    for _ in range(2):
        until(lambda: past.claim("dead", 10))
    until(lambda: _status(services, job) == "error")
    until(lambda: services.jobs.entries(job.id)[-1].code == "RunnerLost")


def test_a_database_that_fails_for_a_while(services: Services, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise OperationalError("SELECT", {}, Exception("gone"))

    with monkeypatch.context() as patched:
        patched.setattr(runner._jobs, "any_waiting", broken)
        job = _start(services)
        time.sleep(1.2)
        assert _status(services, job) == "queued"
    until(lambda: _status(services, job) == "finished")


def test_a_runner_in_whose_memory_jobs_leave_too_much_ends_after_the_job(
    services: Services, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, held = _start(services), iter([2**30])
    until(lambda: _status(services, first) == "finished")
    half = runner._settings.job_memory_bytes // 2
    monkeypatch.setattr("backend.jobs.runner.resident", lambda: runner._fresh + next(held, half + 1))
    monkeypatch.setattr("backend.jobs.watch.resident", lambda: 2**20)
    kept, last, never = (_start(services) for _ in range(3))
    until(lambda: _status(services, last) == "finished")
    assert _status(services, kept) == "finished"
    time.sleep(1.2)
    assert _status(services, never) == "queued"
