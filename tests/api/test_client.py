"""The real openEO Python client against the real server: what a user does first."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import requests
import xarray as xr
from openeo.rest import OpenEoApiError
from PIL import Image

from processes.sources import FileCatalog, LoadRequest, parse_bbox, parse_interval
from tests.api.conftest import USER
from tests.backend.server import Server, until

AREA = {"west": 679100, "south": 5151100, "east": 679300, "north": 5151260, "crs": "EPSG:32632"}
DATES = ["2022-06-01", "2022-07-01"]


def _load(connection: openeo.Connection, bands: list[str]) -> openeo.DataCube:
    return connection.load_collection("SENTINEL2_L2A", AREA, DATES, bands)


def _archive(data: Path, bands: tuple[str, ...]) -> xr.DataArray:
    """Return the same part of the archive, read without the server."""
    source = FileCatalog(data / "catalog.json").get("SENTINEL2_L2A")
    return source.load(LoadRequest(parse_bbox(AREA), parse_interval(DATES), bands)).compute()


@pytest.fixture(scope="module")
def ndvi(data: Path) -> xr.DataArray:
    """The expected median NDVI (y, x)."""
    nir, red = _archive(data, ("B08", "B04")).transpose("bands", "t", "y", "x")
    with np.errstate(divide="ignore", invalid="ignore"):
        return ((nir - red) / (nir + red)).median("t")


def test_connect_and_describe(connection: openeo.Connection) -> None:
    assert connection.capabilities().api_version() == "1.2.0"
    assert set(connection.list_collection_ids()) == {"SENTINEL2_L2A", "SENTINEL1_RTC", "LAND_COVER"}
    assert connection.describe_collection("SENTINEL2_L2A")["cube:dimensions"]["bands"]["values"][0] == "B01"
    processes = {process["id"] for process in connection.list_processes()}
    assert {"load_collection", "ndvi", "reduce_dimension", "save_result", "multimodal_embed"} <= processes
    assert "GTiff" in connection.list_file_formats()["output"]
    assert connection.describe_account()["user_id"] == "demo"
    assert set(connection.list_udf_runtimes()) <= {"Python"}
    assert connection.list_service_types() == {}


def test_users_of_the_command_line_can_log_in(server: Server) -> None:
    connection = openeo.connect(server.url).authenticate_basic(*USER)
    assert connection.describe_account()["user_id"] == "anna"


def test_wrong_password_is_told(server: Server) -> None:
    with pytest.raises(OpenEoApiError, match="CredentialsInvalid"):
        openeo.connect(server.url).authenticate_basic("anna", "guess")


def test_computing_needs_a_login(server: Server) -> None:
    connection = openeo.connect(server.url)
    with pytest.raises(OpenEoApiError, match="AuthenticationRequired"):
        connection.execute({"add1": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}})


def test_validation(connection: openeo.Connection) -> None:
    assert connection.validate_process_graph(_load(connection, ["B04"])) == []
    wrong = {"a": {"process_id": "no_such_process", "arguments": {}, "result": True}}
    (fault, *_) = connection.validate_process_graph(wrong)
    assert fault["code"] == "ProcessUnsupported"


def test_numbers(connection: openeo.Connection) -> None:
    graph = {"add1": {"process_id": "add", "arguments": {"x": 1.5, "y": 2}, "result": True}}
    assert connection.execute(graph) == 3.5


def test_cube_as_gtiff(connection: openeo.Connection, data: Path, tmp_path: Path) -> None:
    _load(connection, ["B04", "B08"]).download(tmp_path / "r.tif")
    expected = _archive(data, ("B04", "B08"))
    with rasterio.open(tmp_path / "r.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.bounds == (679100, 5151100, 679300, 5151260)
        assert file.crs.to_epsg() == 32632
        np.testing.assert_array_equal(file.read(), expected.values.reshape(-1, 16, 20))
        assert file.descriptions[1].startswith("2022-06-")
        assert file.descriptions[1].endswith(" B08")


def test_ndvi_as_gtiff(connection: openeo.Connection, ndvi: xr.DataArray, tmp_path: Path) -> None:
    cube = _load(connection, ["B04", "B08"]).ndvi(nir="B08", red="B04").reduce_dimension("t", "median")
    cube.download(tmp_path / "r.tif", format="GTiff")
    with rasterio.open(tmp_path / "r.tif") as file:
        np.testing.assert_allclose(file.read(1), ndvi.values, rtol=1e-5, atol=1e-6)


def test_ndvi_as_netcdf(connection: openeo.Connection, ndvi: xr.DataArray, tmp_path: Path) -> None:
    cube = _load(connection, ["B04", "B08"]).ndvi(nir="B08", red="B04").reduce_dimension("t", "median")
    cube.download(tmp_path / "r.nc", format="netCDF")
    with xr.open_dataarray(tmp_path / "r.nc", engine="netcdf4") as read:
        assert read.dims == ("y", "x")
        np.testing.assert_allclose(read.values, ndvi.values, rtol=1e-5, atol=1e-6)


def test_true_colour_as_png(connection: openeo.Connection, tmp_path: Path) -> None:
    cube = _load(connection, ["B04", "B03", "B02"])
    cube.reduce_dimension("t", "median").download(tmp_path / "r.png", format="PNG")
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.size == (20, 16)
    with pytest.raises(OpenEoApiError, match="reduce_dimension") as refused:
        cube.download(tmp_path / "r.png", format="PNG")
    assert refused.value.code == "FormatUnsuitable"


def test_cube_as_json(connection: openeo.Connection, data: Path) -> None:
    body = connection.execute(_load(connection, ["SCL"]).save_result("JSON").flat_graph())
    assert body["dims"] == ["t", "bands", "y", "x"]
    np.testing.assert_array_equal(body["data"], _archive(data, ("SCL",)).values)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "NONE"}, "CollectionNotFound"),
        ({"temporal_extent": ["2031-01-01", "2031-02-01"]}, "NoDataAvailable"),
    ],
)
def test_failures_of_processes_keep_their_code(
    connection: openeo.Connection, change: dict[str, Any], code: str
) -> None:
    arguments = {"id": "SENTINEL2_L2A", "spatial_extent": AREA, "temporal_extent": DATES, **change}
    graph = {"load": {"process_id": "load_collection", "arguments": arguments, "result": True}}
    with pytest.raises(OpenEoApiError) as refused:
        connection.execute(graph)
    assert refused.value.code == code


@contextlib.contextmanager
def _standing_still(server: Server) -> Iterator[None]:
    """Keep the Dask workers from computing anything for the length of the block."""
    workers = server.child("workers").children(recursive=True)
    for worker in workers:
        worker.suspend()
    try:
        yield
    finally:
        for worker in workers:
            worker.resume()


def _post(server: Server, body: dict[str, Any], token: str) -> socket.socket:
    """Send a request to `/result` and return its connection without waiting for the answer."""
    host, port = server.url.removeprefix("http://").rstrip("/").split(":")
    content = json.dumps(body).encode()
    lines = ["POST /result HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", f"Authorization: Bearer {token}", "", ""]
    client = socket.create_connection((host, int(port)))
    client.sendall("\r\n".join(lines).encode() + content)
    return client


def test_progress_is_told_and_hanging_up_ends_a_request(connection: openeo.Connection, server: Server) -> None:
    token = requests.get(server.url + "credentials/basic", auth=("demo", "demo"), timeout=10).json()["access_token"]

    def progress(user_token: str = token) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {user_token}"}
        return list(requests.get(server.url + "requests/progress", headers=headers, timeout=10).json()["requests"])

    body = {"process": {"process_graph": _load(connection, ["B04"]).flat_graph()}}
    with _standing_still(server):
        with contextlib.closing(_post(server, body, token)):
            (running,) = until(lambda: [entry for entry in progress() if entry["total"]])
            assert (running["done"], running["percent"]) == (0, 0.0)
            other = requests.get(server.url + "credentials/basic", auth=USER, timeout=10).json()["access_token"]
            assert progress(other) == []
        until(lambda: not progress(), 10)
    assert connection.execute(_load(connection, ["B04"]).save_result("JSON").flat_graph())["dims"][0] == "t"
