"""A runner holds its job while it computes, and stops when the job is no more its own."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from backend.context import Services
from backend.jobs.lease import Lease
from backend.jobs.model import Draft, Job
from backend.jobs.states import JobState, LeaseLost
from backend.jobs.states import Lease as Held
from tests.backend.jobs.bench import LEASE, Bench, process_of
from tests.backend.server import until


@pytest.mark.parametrize("deed", ["cancel", "delete"])
def test_canceling_and_deleting_stop_the_computation(slow: tuple[Bench, Job, threading.Thread], deed: str) -> None:
    bench, job, thread = slow
    getattr(bench.services.jobs, deed)("anna", job.id)
    thread.join(20)
    assert not thread.is_alive()
    found = bench.services.jobs.find(job.id)
    assert (found and found.state.status) == ("created" if deed == "cancel" else None)


def test_a_runner_that_is_stopped_gives_its_job_back(slow: tuple[Bench, Job, threading.Thread]) -> None:
    bench, job, thread = slow
    bench.stopping.set()
    thread.join(20)
    waiting = bench.services.jobs.get("anna", job.id)
    assert (waiting.state.status, waiting.state.attempts) == ("queued", 0)
    assert bench.services.jobs.claim("next", LEASE) is not None


def test_a_lease_is_kept_up_while_the_job_runs(slow: tuple[Bench, Job, threading.Thread]) -> None:
    bench, job, _ = slow
    before = job.state.lease
    assert before is not None

    def extended() -> bool:
        lease = bench.services.jobs.get("anna", job.id).state.lease
        return lease is not None and lease.until > before.until + 1

    until(extended)
    assert bench.services.jobs.take_back() == []


def test_a_lease_that_cannot_be_kept_up_is_lost_at_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the thread that keeps it up hangs: another runner may have the job by then."""
    job = bench.claim(process_of("load"))
    monkeypatch.setattr(bench.services.jobs, "report", lambda *_: threading.Event().wait(5))
    lease = Lease(bench.services.jobs, job, 0.4, 100.0, lambda: 0.0, lambda: None, threading.Event(), lambda: None)
    with lease:
        lease.check()
        time.sleep(0.6)
        with pytest.raises(LeaseLost):
            lease.check()


def test_a_runner_that_lost_its_job_while_it_wrote_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.claim(process_of("save", format="GTiff"))
    publish = bench.services.results.publish

    def late(*place: Any) -> None:
        publish(*place)
        bench.services.jobs.cancel("anna", job.id)

    monkeypatch.setattr(bench.services.results, "publish", late)
    bench.worker.work(job)
    assert bench.services.jobs.get("anna", job.id).state.status == "created"
    assert bench.files() == []


def test_work_that_does_not_stop_is_ended_with_itsprocess_of(services: Services) -> None:
    """`abort` is what a runner does to itself then; its supervisor starts the next one."""
    aborted = threading.Event()
    state = JobState("running", 1, 1, lease=Held("runner", 1.0))
    gone = Job("f" * 32, "anna", Draft({}), 0.0, 0.0, state)
    lease = Lease(services.jobs, gone, 0.2, 100.0, lambda: 0.0, lambda: None, threading.Event(), aborted.set, grace=0.2)
    with lease:
        assert aborted.wait(20)
        with pytest.raises(LeaseLost):
            lease.check()


def test_stuck_work_whose_time_is_up_is_not_tried_again(bench: Bench) -> None:
    aborted = threading.Event()
    job = bench.claim(process_of("load"))
    lease = Lease(
        bench.services.jobs, job, 1.0, 0.1, lambda: 0.0, lambda: None, threading.Event(), aborted.set, grace=0.2
    )
    with lease:
        assert aborted.wait(20)
    assert bench.services.jobs.get("anna", job.id).state.status == "error"
    assert bench.services.jobs.entries(job.id, "error")[0].code == "RequestTimeout"
