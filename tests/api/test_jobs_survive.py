"""Batch jobs when something dies or is stopped: none is lost, none is computed on for nothing."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import openeo
import psutil
import pytest

from tests.api.test_client import _load, _standing_still
from tests.backend.server import Server, run_command, serving, until

LEASE = 2
ONE_RUNNER = {"OPENEO_EMBED_RUNNERS": "1"}


def _data_folder(data: Path, parent: Path) -> Path:
    """Make a data folder of these tests alone, with the catalogue of the others."""
    added = run_command("catalog", "add", data / "archive", "--data", parent / "data")
    assert added.returncode == 0, added.stderr
    return parent / "data"


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one runner, whose lease is short."""
    folder = _data_folder(data, tmp_path_factory.mktemp("survive"))
    with serving(folder, "--demo-user", OPENEO_EMBED_JOB_LEASE=str(LEASE), **ONE_RUNNER) as server:
        yield server


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


def test_jobs_outlive_a_restart_of_the_server(data: Path, tmp_path: Path) -> None:
    folder = _data_folder(data, tmp_path)
    with serving(folder, "--demo-user", **ONE_RUNNER) as server:
        _suspend_workers(server)
        jobs = [_running_job(server), _load(_connect(server), ["B04"]).create_job(out_format="GTiff")]
        jobs[1].start()
        assert [job.status() for job in jobs] == ["running", "queued"]
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)
    with serving(folder, "--demo-user", **ONE_RUNNER) as server:
        connection = _connect(server)
        again = [connection.job(job.job_id) for job in jobs]
        until(lambda: all(_finished(job) for job in again), 90)
        assert all(job.get_results().get_asset().metadata["file:size"] > 0 for job in again)
        messages = [entry["message"] for entry in again[0].logs()]
        # Given back at once, not found again when its lease had lapsed.
        assert any("was stopped" in message for message in messages)
        assert not any("attempt 2" in message for message in messages)


@pytest.mark.parametrize("who", ["supervisor", "everything"])
def test_jobs_outlive_a_killed_server(data: Path, tmp_path: Path, who: str) -> None:
    """Kill -9 of the supervisor alone, whose children then end by themselves, and of all at once, as in a power cut."""
    folder = _data_folder(data, tmp_path)
    settings = {"OPENEO_EMBED_JOB_LEASE": str(LEASE), **ONE_RUNNER}
    with serving(folder, "--demo-user", **settings) as server:
        workers = _suspend_workers(server)
        jobs = [_running_job(server), _load(_connect(server), ["B04"]).create_job(out_format="GTiff")]
        jobs[1].start()
        family = server.family()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(20)
        for process in family if who == "everything" else workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, 20)
        assert not [process for process in family if process.is_running() and process.status() != "zombie"]
    with serving(folder, "--demo-user", **settings) as server:
        connection = _connect(server)
        again = [connection.job(job.job_id) for job in jobs]
        until(lambda: all(_finished(job) for job in again), 90)
        messages = [entry["message"] for entry in again[0].logs()]
        reasons = ("was stopped", "was lost") if who == "supervisor" else ("was lost",)
        assert any(reason in message for reason in reasons for message in messages)
        assert [len(_results(server, job)) for job in again] == [1, 1]


def test_a_runner_that_slept_has_lost_its_job(data: Path, tmp_path: Path) -> None:
    """Held up for longer than its lease, as by a virtual machine that is moved: another one has done the job."""
    folder = _data_folder(data, tmp_path)
    with serving(folder, "--demo-user", OPENEO_EMBED_RUNNERS="2", OPENEO_EMBED_JOB_LEASE=str(LEASE)) as server:
        with _standing_still(server):
            job = _running_job(server)
            sleeping = _runner_of(folder, job)
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
