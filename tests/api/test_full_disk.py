"""Batch jobs and requests on a disk without room: told, not lost, and computed as soon as there is room again."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import openeo
import psutil
import pytest
import requests
from openeo.rest import OpenEoApiError

from tests.api.faults import MIB, filled, small_disk
from tests.api.test_client import _load, _standing_still
from tests.api.test_jobs_survive import _connect, _data_folder, _finished, _results, _running_job
from tests.backend.server import Server, serving, until

SETTINGS = {"OPENEO_EMBED_RUNNERS": "1", "OPENEO_EMBED_JOB_LEASE": "3"}


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of these tests alone."""
    return _data_folder(data, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server with one runner."""
    with serving(folder, "--demo-user", **SETTINGS) as server:
        yield server


def _large(connection: openeo.Connection, form: str) -> openeo.BatchJob:
    """Create a job whose result has some 6 MiB."""
    cube = _load(connection, ["B04", "B08"]).resample_spatial(resolution=0.5, method="bilinear")
    return cube.create_job(out_format=form)


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


def test_a_full_file_system_of_results(data: Path, tmp_path: Path) -> None:
    folder = _data_folder(data, tmp_path)
    with small_disk(folder / "results", 4), serving(folder, "--demo-user", **SETTINGS) as server:
        runner = server.child("runner").pid
        connection = _connect(server)
        job = _large(connection, "GTiff")
        job.start()
        assert _failure(job) == "StorageFailure"
        assert [path for path in (folder / "results").rglob("*") if path.is_file()] == []
        small = _load(connection, ["B04"]).create_job(out_format="GTiff")
        small.start()
        until(lambda: _finished(small), 60)
        assert server.child("runner").pid == runner


def test_a_disk_on_which_nothing_can_be_written(data: Path, tmp_path: Path) -> None:
    """Neither results nor the database: reading goes on, writing is refused, and no job is lost."""
    with small_disk(tmp_path / "data", 48):
        folder = _data_folder(data, tmp_path)
        with serving(folder, "--demo-user", OPENEO_EMBED_DISK_BYTES="0", **SETTINGS) as server:
            connection = _connect(server)
            with contextlib.ExitStack() as full:
                with _standing_still(server):
                    job = _running_job(server)
                    full.enter_context(filled(folder))
                time.sleep(4)  # longer than the lease
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
            assert "Traceback" not in server.log.read_text()
