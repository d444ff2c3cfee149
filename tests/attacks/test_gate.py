"""Processes of a real server asked to fetch what they must not: nothing of it is reached, and each is told why."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import requests

from tests.attacks.conftest import PASSWORD, USER, Target

# `{port}` is where something listens that must never be connected to.
URLS = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "https://[::1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f.1:{port}/",
    "https://0:{port}/",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/",
    "https://anna:secret@127.0.0.1:{port}/",
    "file:///etc/passwd",
    "/etc/passwd",
    "../users.sqlite",
    "/vsicurl/http://127.0.0.1:{port}/a.tif",
    "/vsizip//etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/",
    "s3://bucket/key",
    "https://127.0.0.1:{port}\\@example.com/",
]


@pytest.fixture(scope="module")
def trap() -> Iterator[tuple[int, list[str]]]:
    """A port that listens on loopback, and who has connected to it."""
    caught: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, address = listener.accept()
                caught.append(str(address))
                connection.close()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1], caught
    listener.close()


@pytest.fixture(scope="module")
def login(target: Target) -> dict[str, str]:
    answer = requests.get(target.server.url + "credentials/basic", auth=(USER, PASSWORD), timeout=30)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("process", ["load_stac", "load_url"])
@pytest.mark.parametrize("url", URLS)
def test_nothing_private_is_fetched(
    target: Target, trap: tuple[int, list[str]], login: dict[str, str], process: str, url: str
) -> None:
    port, caught = trap
    arguments = {"url": url.replace("{port}", str(port)), **({"format": "GeoJSON"} if process == "load_url" else {})}
    graph = {"load": {"process_id": process, "arguments": arguments, "result": True}}
    body = {"process": {"process_graph": graph}}
    answer = requests.post(target.server.url + "result", json=body, headers=login, timeout=60)
    assert answer.status_code == 400, answer.text
    assert "'url'" in answer.json()["message"]
    assert "root:" not in answer.text
    assert caught == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tif", b'<VRTDataset rasterXSize="1"><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>'),
        ("a.nc", b"not netCDF"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": 1}'),
    ],
)
def test_uploads_in_disguise(target: Target, login: dict[str, str], name: str, content: bytes) -> None:
    assert requests.put(target.server.url + f"files/{name}", data=content, headers=login, timeout=30).ok
    form = {"tif": "GTiff", "nc": "netCDF", "geojson": "GeoJSON"}[name.split(".")[1]]
    graph = {"load": {"process_id": "load_uploaded_files", "arguments": {"paths": [name], "format": form}}}
    graph["load"]["result"] = True  # type: ignore[assignment]
    answer = requests.post(
        target.server.url + "result", json={"process": {"process_graph": graph}}, headers=login, timeout=60
    )
    assert answer.status_code == 400, answer.text
    assert "root:" not in answer.text
    assert "Traceback" not in target.server.log.read_text()
