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
from tests.api.test_client import DATES, _load, _standing_still
from tests.api.test_jobs_survive import _connect, _data_folder, _finished, _results, _running_job
from tests.backend.server import Server, serving, until

DISK = 48
SETTINGS = {"OPENEO_EMBED_RUNNERS": "1", "OPENEO_EMBED_JOB_LEASE": "3", "OPENEO_EMBED_DISK_BYTES": "0"}


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder of these tests alone: a small file system of its own, where mounting one is permitted."""
    parent = tmp_path_factory.mktemp("full")
    with contextlib.ExitStack() as mounted:
        with contextlib.suppress(pytest.skip.Exception):  # those that need one say so
            mounted.enter_context(small_disk(parent / "data", DISK))
        yield _data_folder(data, parent)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server with one runner."""
    with serving(folder, "--demo-user", **SETTINGS) as server:
        yield server


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


def test_a_full_file_system_of_results(server: Server, folder: Path) -> None:
    with small_disk(folder / "results", 2):
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


def test_a_disk_on_which_nothing_can_be_written(server: Server, folder: Path) -> None:
    """Neither results nor the database: reading goes on, writing is refused, and no job is lost."""
    if not folder.is_mount():
        pytest.skip(f"a file system of {DISK} MiB cannot be mounted here")
    connection, logged = _connect(server), len(server.log.read_text())
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
    assert "Traceback" not in server.log.read_text()[logged:]
