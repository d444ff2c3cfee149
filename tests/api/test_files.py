"""Files of users with the real openEO client against the real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openeo
import pytest
import requests
import xarray as xr
from openeo.rest import OpenEoApiError

from tests.backend.server import Server
from tests.processes.rasters import ramp, tiff


def uploaded(connection: openeo.Connection) -> list[tuple[str, int]]:
    """Return paths and sizes of the user's files, without the models that other tests have saved."""
    listed = ((str(known.path), known.metadata["size"]) for known in connection.list_files())
    return [(path, size) for path, size in listed if not path.startswith("ml_models/")]


def test_files_can_be_kept(connection: openeo.Connection, tmp_path: Path) -> None:
    (tmp_path / "area.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    file = connection.get_file("areas/área.geojson").upload(tmp_path / "area.geojson")
    assert uploaded(connection) == [("areas/área.geojson", 45)]
    file.download(tmp_path / "back.geojson")
    assert (tmp_path / "back.geojson").read_text() == (tmp_path / "area.geojson").read_text()
    file.delete()
    assert uploaded(connection) == []


def test_uploads_are_streamed(connection: openeo.Connection, server: Server) -> None:
    """Sent in pieces without a length, and larger than a JSON body may be."""
    headers = {"Authorization": f"Bearer {connection.auth.bearer}"}
    pieces = (b"x" * 2**20 for _ in range(6))
    answer = requests.put(server.url + "files/large.bin", data=pieces, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["size"]) == (200, 6 * 2**20)
    part = requests.get(server.url + "files/large.bin", headers={**headers, "Range": "bytes=5-6"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"xx")
    assert requests.delete(server.url + "files/large.bin", headers=headers, timeout=10).status_code == 204


@pytest.mark.parametrize("path", ["../users.sqlite", "a/../../users.sqlite", "..%2Fusers.sqlite"])
def test_no_path_leads_out_of_the_users_folder(connection: openeo.Connection, server: Server, path: str) -> None:
    headers = {"Authorization": f"Bearer {connection.auth.bearer}"}
    request = requests.Request("GET", server.url, headers=headers).prepare()
    request.url = f"{server.url}files/{path}"  # as it is: clients tidy such paths up
    with requests.Session() as session:
        answer = session.send(request, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (400, "FilePathInvalid")


def test_missing_files_are_told(connection: openeo.Connection, tmp_path: Path) -> None:
    with pytest.raises(OpenEoApiError, match="FileNotFound"):
        connection.get_file("nothing.txt").download(tmp_path / "x")


@pytest.mark.slow
def test_uploaded_files_are_loaded(connection: openeo.Connection, tmp_path: Path) -> None:
    paths = ["scenes/2024-05-01.tif", "scenes/2024-05-03.tif"]
    for start, path in enumerate(paths, 1):
        (tmp_path / "own.tif").write_bytes(tiff(ramp(16, 16, start=start)))
        connection.get_file(path).upload(tmp_path / "own.tif")
    graph = connection.datacube_from_process("load_uploaded_files", paths=paths, format="GTiff")
    graph.download(tmp_path / "back.nc", format="netCDF")
    with xr.open_dataset(tmp_path / "back.nc", engine="netcdf4") as back:
        assert back["t"].dt.strftime("%F").values.tolist() == ["2024-05-01", "2024-05-03"]
        np.testing.assert_array_equal(back["B1"], np.stack([ramp(16, 16, start=start) for start in (1, 2)]))
    missing = connection.datacube_from_process("load_uploaded_files", paths=["../users.sqlite"], format="GTiff")
    with pytest.raises(OpenEoApiError, match="FileNotFound"):
        missing.download(tmp_path / "none.nc", format="netCDF")
    for path in paths:
        connection.get_file(path).delete()
