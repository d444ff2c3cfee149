"""Batch jobs when something dies or is stopped: none is lost, none is computed on for nothing."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from pathlib import Path

import openeo
import psutil
import pytest
import requests

from tests.api.faults import locked
from tests.api.homes import Home
from tests.api.test_client import _load, _standing_still
from tests.backend.server import Server, until

# Longer than SQLite's writers wait for each other.
LOCKED = 11.0


@pytest.fixture
def server(home: Home) -> Server:
    """A server with one runner, whose lease is short."""
    return home.with_runners(1)


def _connect(server: Server) -> openeo.Connection:
    return openeo.connect(server.url).authenticate_basic("demo", "demo")


def _running_job(server: Server) -> openeo.BatchJob:
    """Start a job and wait until the cluster has its tasks; the workers must stand still."""
    job = _load(_connect(server), ["B04", "B08"]).create_job(out_format="GTiff")
    job.start()
    until(lambda: any("To be done" in entry["message"] for entry in job.logs()))
    assert job.status() == "running"
    return job


def _suspend_workers(server: Server) -> list[psutil.Process]:
    """Keep the Dask workers from computing anything ever again."""
    workers = server.child("workers").children(recursive=True)
    for worker in workers:
        worker.suspend()
    return workers


def _results(server: Server, job: openeo.BatchJob) -> list[str]:
    """Return the folders of a job's results: run and attempt."""
    return sorted(path.name for path in (server.log.with_suffix("") / "results" / job.job_id).iterdir())


def _finished(job: openeo.BatchJob) -> bool:
    status = job.status()
    assert status != "error", job.logs()
    return status == "finished"


def test_a_job_outlives_its_runner(server: Server, tmp_path: Path) -> None:
    with _standing_still(server):
        job = _running_job(server)
        server.child("runner").send_signal(signal.SIGKILL)
        until(lambda: any("lost" in entry["message"] for entry in job.logs(level="warning")), 60)
    until(lambda: _finished(job), 90)
    assert any("attempt 2" in entry["message"] for entry in job.logs())
    assert job.get_results().download_file(tmp_path).stat().st_size > 0
    assert _results(server, job) == ["1-2"]


def test_a_job_outlives_a_dask_worker(server: Server) -> None:
    """Killed while it has the job's tasks; its nanny starts another one, which gets them."""
    workers = _suspend_workers(server)
    job = _running_job(server)
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    until(lambda: _finished(job), 120)
    assert not any("lost" in entry["message"] for entry in job.logs(level="warning"))
    assert _results(server, job) == ["1-1"]


def test_canceling_ends_the_computation_and_frees_the_runner(server: Server) -> None:
    with _standing_still(server):
        job = _running_job(server)
        runner = server.child("runner").pid
        job.stop()
        assert job.status() == "created"
    following = _load(_connect(server), ["B04"]).create_job(out_format="GTiff")
    following.start()
    until(lambda: _finished(following), 90)
    assert server.child("runner").pid == runner
    assert job.status() == "created"
    job.start()
    until(lambda: _finished(job), 90)


def test_jobs_outlive_the_scheduler(server: Server) -> None:
    workers = _suspend_workers(server)
    job = _running_job(server)
    server.child("scheduler").send_signal(signal.SIGKILL)
    until(lambda: job.status() == "queued", 60)
    for worker in workers:  # they would not notice, standing still
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    until(lambda: _finished(job), 120)


def _finished_after_a_lock(server: Server) -> openeo.BatchJob:
    """Run a job while somebody's backup tool keeps the SQLite file locked for longer than writers wait."""
    connection, logged = _connect(server), len(server.log.read_text())
    with contextlib.ExitStack() as away:
        with _standing_still(server):
            job = _running_job(server)
            away.enter_context(locked(server.log.with_suffix("") / "users.sqlite"))
        begun = time.monotonic()
        assert connection.job(job.job_id).status() == "running"  # reading goes on
        refused = requests.get(server.url + "credentials/basic", auth=("demo", "demo"), timeout=60)
        assert (refused.status_code, refused.json()["code"]) == (503, "InfrastructureBusy")
        time.sleep(max(0.0, LOCKED - (time.monotonic() - begun)))
    until(lambda: _finished(job), 90)
    assert len(_results(server, job)) == 1
    assert job.logs()[-1]["message"].startswith("Finished")
    assert "Traceback" not in server.log.read_text()[logged:]
    return job


def test_a_job_outlives_a_lock_that_outlasts_its_lease(server: Server) -> None:
    _finished_after_a_lock(server)


def _two_jobs(server: Server) -> list[openeo.BatchJob]:
    """Start a job that runs until the server ends, and one that waits."""
    _suspend_workers(server)
    jobs = [_running_job(server), _load(_connect(server), ["B04"]).create_job(out_format="GTiff")]
    jobs[1].start()
    return jobs


def _finished_after_all(server: Server, jobs: list[openeo.BatchJob]) -> list[openeo.BatchJob]:
    """Wait until jobs of an earlier server have finished on this one."""
    connection = _connect(server)
    again = [connection.job(job.job_id) for job in jobs]
    until(lambda: all(_finished(job) for job in again), 90)
    return again


def test_jobs_outlive_a_restart_of_the_server(home: Home) -> None:
    jobs = _two_jobs(home.server)
    assert [job.status() for job in jobs] == ["running", "queued"]
    home.server.process.send_signal(signal.SIGTERM)
    home.server.process.wait(20)
    again = _finished_after_all(home.start(), jobs)
    assert all(job.get_results().get_asset().metadata["file:size"] > 0 for job in again)
    messages = [entry["message"] for entry in again[0].logs()]
    # Given back at once, not found again when its lease had lapsed.
    assert any("was stopped" in message for message in messages)
    assert not any("attempt 2" in message for message in messages)


@pytest.mark.parametrize("who", ["supervisor", "everything"])
def test_jobs_outlive_a_killed_server(home: Home, who: str) -> None:
    """Kill -9 of the supervisor alone, whose children then end by themselves, and of all at once, as in a power cut."""
    jobs = _two_jobs(home.server)
    family, workers = home.server.family(), home.server.child("workers").children(recursive=True)
    if who == "everything":  # at once: none may notice that another is gone, and write of it
        for process in family:
            process.suspend()
    home.server.process.send_signal(signal.SIGKILL)
    home.server.process.wait(20)
    for process in family if who == "everything" else workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, 20)
    assert not [process for process in family if process.is_running() and process.status() != "zombie"]
    # Two runners where the next test needs them.
    server = home.start(runners=2 if who == "everything" else 1)
    again = _finished_after_all(server, jobs)
    messages = [entry["message"] for entry in again[0].logs()]
    # The scheduler may end before the runner notices that it has to stop.
    reasons = ("was stopped", "was lost", "waits for the next attempt") if who == "supervisor" else ("was lost",)
    assert any(reason in message for reason in reasons for message in messages), messages
    assert [len(_results(server, job)) for job in again] == [1, 1]


@pytest.fixture
def server_of_two(home: Home) -> Server:
    """A server with two runners."""
    return home.with_runners(2)


def test_a_runner_that_slept_has_lost_its_job(home: Home, server_of_two: Server) -> None:
    """Held up for longer than its lease, as by a virtual machine that is moved: another one has done the job."""
    server = server_of_two
    with _standing_still(server):
        job = _running_job(server)
        sleeping = _runner_of(home.folder, job)
        sleeping.suspend()
    try:
        until(lambda: _finished(job), 90)
        assert any("attempt 2" in entry["message"] for entry in job.logs())
    finally:
        sleeping.resume()
    until(lambda: "is given up" in server.log.read_text(), 30)
    assert _finished(job)
    assert _results(server, job) == ["1-2"]
    assert job.get_results().get_asset().metadata["file:size"] > 0


def _runner_of(folder: Path, job: openeo.BatchJob) -> psutil.Process:
    """Return the runner that has a job."""
    state = sqlite3.connect(folder / "users.sqlite")
    try:
        (name,) = state.execute("SELECT runner FROM jobs WHERE id = ?", (job.job_id,)).fetchone()
    finally:
        state.close()
    return psutil.Process(int(name.split(":")[1]))


def test_a_server_that_runs_no_code_says_why(home: Home) -> None:
    connection = _connect(home.server)
    assert connection.list_udf_runtimes() == {}
    arguments = {"data": [1], "udf": "def apply_udf_data(data):\n    pass\n", "runtime": "Python"}
    with pytest.raises(openeo.rest.OpenEoApiError, match="switched it off") as refused:
        connection.execute({"udf": {"process_id": "run_udf", "arguments": arguments, "result": True}})
    assert refused.value.code == "FeatureUnsupported"
