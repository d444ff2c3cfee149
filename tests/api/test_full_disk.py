"""Batch jobs and requests on a disk without room: told, not lost, and computed as soon as there is room again."""

from __future__ import annotations

import contextlib
import resource
import time

import openeo
import psutil
import pytest
import requests
from openeo.rest import OpenEoApiError

from tests.api.conftest import DISK
from tests.api.faults import MIB, filled, small_disk
from tests.api.homes import LEASE, Home
from tests.api.test_client import DATES, _load, _standing_still
from tests.api.test_jobs_survive import _connect, _finished, _results, _running_job
from tests.backend.server import Server, until


@pytest.fixture(scope="module")
def server(home: Home) -> Server:
    """A server with one runner."""
    return home.with_runners(1)


def _large(connection: openeo.Connection, form: str) -> openeo.BatchJob:
    """Create a job whose result has some 3 MiB."""
    bands = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    cube = connection.load_collection("SENTINEL2_L2A", None, DATES, bands)
    return cube.resample_spatial(resolution=4, method="bilinear").create_job(out_format=form)


def _failure(job: openeo.BatchJob) -> str:
    until(lambda: job.status() in ("error", "finished"), 60)
    assert job.status() == "error"
    return str(job.logs(level="error")[-1]["code"])


@pytest.mark.parametrize("form", ["GTiff", "netCDF"])
def test_results_that_cannot_be_written(server: Server, form: str) -> None:
    """Files of the runner may have 2 MiB from now on; this needs no rights to mount anything."""
    runner = server.child("runner")
    job = _large(_connect(server), form)
    before = runner.rlimit(psutil.RLIMIT_FSIZE)
    runner.rlimit(psutil.RLIMIT_FSIZE, (2 * MIB, resource.RLIM_INFINITY))
    try:
        job.start()
        assert _failure(job) == "StorageFailure"
    finally:
        runner.rlimit(psutil.RLIMIT_FSIZE, before)
    assert server.child("runner").pid == runner.pid
    job.start()
    until(lambda: _finished(job), 90)
    assert len(_results(server, job)) == 1


def test_a_full_file_system_of_results(server: Server, home: Home) -> None:
    with small_disk(home.folder / "results", 2):
        runner = server.child("runner").pid
        connection = _connect(server)
        job = _large(connection, "GTiff")
        job.start()
        assert _failure(job) == "StorageFailure"
        assert [path for path in (home.folder / "results").rglob("*") if path.is_file()] == []
        small = _load(connection, ["B04"]).create_job(out_format="GTiff")
        small.start()
        until(lambda: _finished(small), 60)
        assert server.child("runner").pid == runner


def test_a_disk_on_which_nothing_can_be_written(server: Server, home: Home) -> None:
    """Neither results nor the database: reading goes on, writing is refused, and no job is lost."""
    if not home.folder.is_mount():
        pytest.skip(f"a file system of {DISK} MiB cannot be mounted here")
    connection, logged = _connect(server), len(server.log.read_text())
    with contextlib.ExitStack() as full:
        with _standing_still(server):
            job = _running_job(server)
            full.enter_context(filled(home.folder))
        time.sleep(LEASE + 1)
        assert connection.job(job.job_id).status() in ("queued", "running", "error", "finished")
        with pytest.raises(OpenEoApiError) as refused:
            connection.put("/files/large.bin", data=b"x" * MIB)
        assert refused.value.code == "StorageFailure"
        assert requests.get(server.url + "collections", timeout=10).status_code == 200
    until(lambda: job.status() in ("finished", "error"), 60)
    if job.status() == "error":
        assert job.logs(level="error")[-1]["code"] == "StorageFailure"
        job.start()
        until(lambda: _finished(job), 60)
    assert len(_results(server, job)) == 1
    connection.put("/files/large.bin", data=b"x" * MIB)
    assert "Traceback" not in server.log.read_text()[logged:]
