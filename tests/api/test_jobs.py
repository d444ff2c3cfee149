"""Batch jobs with the real openEO client against the real server: what a user does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import requests
import xarray as xr
from openeo.rest import OpenEoApiError
from openeo.rest.job import JobFailedException

from tests.api.openapi import OpenApi
from tests.api.test_client import AREA, DATES, _archive, _load
from tests.api.test_jobs_survive import _finished_after_a_lock
from tests.backend.server import Server, until


def _graph(value: float = 1.0) -> dict[str, Any]:
    return {"add1": {"process_id": "add", "arguments": {"x": value, "y": 2}, "result": True}}


@pytest.fixture
def raster(connection: openeo.Connection) -> openeo.DataCube:
    return _load(connection, ["B04", "B08"])


def test_a_job_from_creation_to_deletion(
    connection: openeo.Connection, raster: openeo.DataCube, data: Path, tmp_path: Path
) -> None:
    job = raster.create_job(out_format="GTiff", title="Two bands", description="All dates.", log_level="debug")
    assert job.status() == "created"
    assert job.estimate()["size"] == 20 * 16 * 4 * 2 * len(_archive(data, ("B04", "B08"))["t"])
    job.start_and_wait(max_poll_interval=0.5, print=lambda _: None)
    told = job.describe()
    assert (told["status"], told["progress"], told["title"]) == ("finished", 100, "Two bands")
    assert told["usage"]["tasks"]["value"] > 0
    assert told["usage"]["max_runner_memory"]["value"] > 0
    logs = job.logs()
    assert "begun" in logs[0]["message"]
    assert [entry["id"] for entry in job.logs(offset=logs[0]["id"])] == [entry["id"] for entry in logs[1:]]
    assert job.logs(level="error") == []
    path = job.get_results().download_file(tmp_path)
    expected = _archive(data, ("B04", "B08"))
    with rasterio.open(path) as file:
        assert file.bounds == (679100, 5151100, 679300, 5151260)
        np.testing.assert_array_equal(file.read(), expected.values.reshape(-1, 16, 20))
    assert job.job_id in {entry["id"] for entry in connection.list_jobs()}
    job.delete()
    assert job.job_id not in {entry["id"] for entry in connection.list_jobs()}
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        job.describe()


def test_results_are_what_a_request_returns(raster: openeo.DataCube, tmp_path: Path) -> None:
    ndvi = raster.ndvi(nir="B08", red="B04").reduce_dimension("t", "median")
    ndvi.download(tmp_path / "sync.nc", format="netCDF")
    job = ndvi.execute_batch(tmp_path / "job.nc", out_format="netCDF", max_poll_interval=0.5, print=lambda _: None)
    with (
        xr.open_dataarray(tmp_path / "sync.nc", engine="netcdf4") as sync,
        xr.open_dataarray(tmp_path / "job.nc", engine="netcdf4") as batch,
    ):
        xr.testing.assert_identical(sync.load(), batch.load())
    metadata = job.get_results().get_metadata()
    # The median has no dates left: those of what was loaded stand in.
    ((start, end),) = metadata["extent"]["temporal"]["interval"]
    assert DATES[0] <= start <= end < DATES[1]
    ((west, south, east, north),) = metadata["extent"]["spatial"]["bbox"]
    assert 11.33 < west < east < 11.34
    assert 46.48 < south < north < 46.50


def test_what_inspect_says_is_in_the_log(connection: openeo.Connection) -> None:
    said = {"message": "look here", "code": "Mine", "level": "warning"}
    graph = {
        "n": {"process_id": "add", "arguments": {"x": 1, "y": 2}},
        "i": {"process_id": "inspect", "arguments": {"data": {"from_node": "n"}, **said}, "result": True},
    }
    job = connection.create_job(graph).start_and_wait(max_poll_interval=0.5, print=lambda _: None)
    (entry,) = job.logs(level="warning")
    assert {key: entry[key] for key in said} == said
    assert entry["data"] == 3


def test_failures_are_told(connection: openeo.Connection) -> None:
    arguments = {"id": "SENTINEL2_L2A", "spatial_extent": AREA, "temporal_extent": ["2031-01-01", "2031-02-01"]}
    graph = {"load": {"process_id": "load_collection", "arguments": arguments, "result": True}}
    job = connection.create_job(graph, validate=False)
    with pytest.raises(JobFailedException):
        job.start_and_wait(max_poll_interval=0.5, print=lambda _: None, show_error_logs=False)
    (entry,) = job.logs(level="error")
    assert entry["code"] == "NoDataAvailable"
    with pytest.raises(OpenEoApiError) as refused:
        job.get_results().get_metadata()
    assert refused.value.http_status_code == 424


def test_queued_jobs_can_be_canceled(connection: openeo.Connection) -> None:
    job = connection.create_job(_graph())
    job.start()
    job.stop()
    assert until(lambda: job.status() in ("created", "finished"))


@pytest.fixture(scope="module")
def finished(connection: openeo.Connection) -> openeo.BatchJob:
    """A job with a GeoTIFF as its result."""
    cube = _load(connection, ["B04"])
    return cube.execute_batch(out_format="GTiff", max_poll_interval=0.5, print=lambda _: None, title="For all")


def test_browsers_read_parts_of_results_without_a_token(finished: openeo.BatchJob) -> None:
    (asset,) = finished.get_results().get_metadata()["assets"].values()
    headers = {"Range": "bytes=0-3", "Origin": "https://editor.openeo.org"}
    answer = requests.get(asset["href"], headers=headers, timeout=10)
    assert (answer.status_code, answer.content[:2]) == (206, b"II")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]
    preflight = requests.options(asset["href"], headers={"Access-Control-Request-Headers": "range"}, timeout=10)
    assert preflight.status_code == 204
    assert "Range" in preflight.headers["Access-Control-Allow-Headers"]
    with rasterio.open(io.BytesIO(requests.get(asset["href"], timeout=10).content)) as file:
        assert file.width == 20


def test_answers_are_what_the_specification_says(connection: openeo.Connection, finished: openeo.BatchJob) -> None:
    openapi = OpenApi()
    base = f"/jobs/{finished.job_id}"
    connection.put("/process_graphs/mine", json={"process_graph": _graph(), "summary": "Mine"})
    connection.put("/files/a.txt", data=b"x")
    pages = [
        ("/jobs", "/jobs"),
        ("/jobs?limit=1", "/jobs"),
        (base, "/jobs/{job_id}"),
        (f"{base}/estimate", "/jobs/{job_id}/estimate"),
        (f"{base}/results", "/jobs/{job_id}/results"),
        ("/me", "/me"),
        ("/files", "/files"),
        ("/process_graphs", "/process_graphs"),
        ("/process_graphs/mine", "/process_graphs/{process_graph_id}"),
    ]
    for path, operation in pages:
        assert openapi.faults(connection.get(path).json(), "get", operation) == [], path
    for path in (f"{base}/logs", f"{base}/logs?limit=1&level=info"):
        for entry in connection.get(path).json()["logs"]:
            assert openapi.component_faults(entry, "log_entry") == []
    geojson = connection.get(f"{base}/results", headers={"Accept": "application/geo+json"}).json()
    assert openapi.component_faults(json.loads(json.dumps(geojson)), "batch_job_result") == []
    connection.delete("/process_graphs/mine")
    connection.delete("/files/a.txt")


def test_results_are_loaded_again_by_id_and_by_url(
    connection: openeo.Connection, raster: openeo.DataCube, tmp_path: Path
) -> None:
    """Neither way goes through HTTP: the operator permits no URL of the server's own address."""
    job = raster.execute_batch(tmp_path / "all.tif", out_format="GTiff", max_poll_interval=0.5, print=lambda _: None)
    links = {link["rel"]: link["href"] for link in job.get_results().get_metadata()["links"]}
    with rasterio.open(tmp_path / "all.tif") as file:
        red = file.read()[::2]
    for loaded in (
        connection.load_result(job.job_id, bands=["B04"]),
        connection.load_stac(links["canonical"], bands=["B04"]),
        # The client itself would read this URL, but has no signature to do so.
        connection.datacube_from_process("load_stac", url=links["canonical"].partition("?")[0], bands=["B04"]),
    ):
        loaded.download(tmp_path / "red.tif", format="GTiff")
        with rasterio.open(tmp_path / "red.tif") as file:
            np.testing.assert_array_equal(file.read(), red)


def test_a_locked_database_within_the_lease(server: Server) -> None:
    """The job is computed once. With a lease that ends before: see the tests of jobs that survive."""
    job = _finished_after_a_lock(server)
    assert len([entry for entry in job.logs() if "attempt" in entry["message"]]) == 1, job.logs()
