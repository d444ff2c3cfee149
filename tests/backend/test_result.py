"""`POST /result` on fake services: parsing, estimate before work, formats, headers, files that do not stay."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from flask.testing import FlaskClient
from PIL import Image

from backend.app import create_app
from backend.context import Services
from backend.sync.deadline import Deadline
from backend.sync.estimate import MeteredCatalog, check_estimate, estimate
from backend.sync.logs import RequestLogs
from backend.sync.request import SyncRequest
from processes.errors import OpenEOError
from processes.sources import LoadRequest
from tests.backend.conftest import User, basic
from tests.backend.fakes import PASSWORD, FakeCatalog, FakeCluster, cube, graph, settings_in


def _logged_in(folder: Path, services: Services, **flags: Any) -> User:
    client = create_app(settings_in(folder, **flags), services).test_client()
    token = client.get("/credentials/basic", headers=basic("anna", PASSWORD)).json["access_token"]
    return User(client, {"Authorization": f"Bearer basic//{token}"})


def test_cube_without_save_result_is_a_gtiff(anna: User) -> None:
    answer = anna.post("/result", json=graph("load"))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/tiff; application=geotiff"
    assert answer.headers["OpenEO-Costs"] == "0"
    assert len(answer.headers["OpenEO-Identifier"]) == 32
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    with rasterio.open(io.BytesIO(answer.data)) as file:
        np.testing.assert_array_equal(file.read(), cube().values.reshape(4, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "content_type"),
    [
        ({"format": "gtiff"}, "image/tiff; application=geotiff"),
        ({"format": "netCDF", "options": {"variables": "one"}}, "application/x-netcdf"),
        ({"format": "PNG", "times": 1, "bands": ["a"]}, "image/png"),
        ({"format": "json"}, "application/json"),
        ({"format": "CSV"}, "text/csv"),
    ],
)
def test_save_result_chooses_the_format(anna: User, arguments: dict[str, Any], content_type: str) -> None:
    answer = anna.post("/result", json=graph("save", **arguments))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == content_type


def test_png_is_a_picture(anna: User) -> None:
    arguments = {"format": "PNG", "times": 1, "bands": ["a"], "options": {"minimum": 0, "maximum": 63}}
    picture = Image.open(io.BytesIO(anna.post("/result", json=graph("save", **arguments)).data))
    assert picture.size == (8, 8)


def test_plain_values_are_json(anna: User) -> None:
    assert anna.post("/result", json=graph("number")).json == 4.5
    assert anna.post("/result", json=graph("list")).json == [None, 1, True, None]
    body = anna.post("/result", json=graph("two")).json
    assert body["count"] == 3
    assert body["mean"] == pytest.approx(float(cube().mean()))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"format": "BMP"}, "FileTypeInvalid"),
        ({"format": "PNG"}, "FormatUnsuitable"),
        ({"format": "GTiff", "options": {"tiled": True}}, "ProcessParameterInvalid"),
    ],
)
def test_formats_are_checked_before_any_work(
    anna: User, services: Services, arguments: dict[str, Any], code: str
) -> None:
    answer = anna.post("/result", json=graph("save", **arguments))
    assert (answer.status_code, answer.json["code"]) == (400, code)
    assert services.cluster.asked == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "ProcessGraphMissing"),
        ({"process": {}}, "ProcessGraphMissing"),
        ({"process": {"process_graph": []}}, "ProcessGraphMissing"),
        ({**graph("number"), "plan": "gold"}, "BillingPlanInvalid"),
        ({**graph("number"), "budget": -1}, "BudgetInvalid"),
        ({**graph("number"), "budget": True}, "BudgetInvalid"),
        ({**graph("number"), "log_level": "loud"}, "ProcessInvalid"),
        ({**graph("number"), "title": 3}, "ProcessInvalid"),
        (graph("nothing"), "ProcessUnsupported"),
    ],
)
def test_requests_that_are_refused(anna: User, body: dict[str, Any], code: str) -> None:
    answer = anna.post("/result", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, code)


def test_optional_properties_are_taken(anna: User) -> None:
    body = {**graph("number"), "plan": None, "budget": 10.5, "log_level": "debug", "title": "T", "description": None}
    assert anna.post("/result", json=body).status_code == 200


@pytest.mark.parametrize(
    ("flags", "body", "words"),
    [
        ({"sync_bytes": 900}, graph("load"), ["load 1 KiB", "900 bytes", "smaller"]),
        ({"sync_result_bytes": 1000}, graph("load"), ["return 1 KiB", "1000 bytes"]),
        ({"sync_embeddings": 10}, graph("embed", count=11000), ["11,000 embeddings", "10", "fewer dates"]),
        ({"sync_tasks": 5}, graph("load"), ["Dask tasks"]),
    ],
)
def test_too_much_is_refused_before_any_work(
    tmp_path: Path, services: Services, flags: dict[str, int], body: dict[str, Any], words: list[str]
) -> None:
    answer = _logged_in(tmp_path, services, **flags).post("/result", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessGraphComplexity")
    for word in words:
        assert word in answer.json["message"]
    assert services.cluster.asked == []


def test_only_the_chunks_that_are_used_count_as_loaded(tmp_path: Path, services: Services) -> None:
    user = _logged_in(tmp_path, services, sync_bytes=2 * 4 * 4 * 4 * 2)
    assert user.post("/result", json=graph("load")).status_code == 400
    assert user.post("/result", json=graph("corner")).status_code == 200


def test_estimate_counts_shared_loads_once_and_culls() -> None:
    catalog = MeteredCatalog(FakeCatalog())
    loaded = catalog.get("FAKE").load(LoadRequest())
    whole = estimate([loaded.median("t"), loaded.count("t")], catalog.cubes, 5)
    assert (whole.loaded_cells, whole.loaded_bytes, whole.embeddings) == (256, 1024, 5)
    assert whole.result_bytes == 2 * 64 * 4 + 2 * 64 * 8
    part = estimate((loaded + 1).isel(t=0, y=slice(0, 4)), catalog.cubes, 0)
    assert part.loaded_cells == 64
    assert estimate(3, catalog.cubes, 0).tasks == 0


def test_loads_that_dask_has_fused_into_other_tasks_count() -> None:
    loaded = cube().copy(data=da.ones((2, 2, 8, 8), chunks=(1, 2, 4, 4), dtype=np.float32))
    hidden = dask.delayed(np.sum, pure=True)(loaded.isel(y=slice(0, 4)).data + 1)
    assert loaded.data.name not in {key[0] for key in hidden.__dask_graph__() if isinstance(key, tuple)}
    assert estimate(hidden, [loaded], 0).loaded_cells == 128


def test_estimate_of_loads_that_are_in_memory_or_unused() -> None:
    assert estimate(cube(), [cube().compute()], 0).loaded_bytes == 1024
    assert estimate(cube(), [xr.zeros_like(cube())], 0).loaded_bytes == 0


def test_estimates_within_the_limits_pass(tmp_path: Path) -> None:
    check_estimate(estimate(cube(), [], 0), settings_in(tmp_path))


@pytest.mark.parametrize("name", ["load", "number", "boom"])
def test_no_file_stays(anna: User, tmp_path: Path, name: str) -> None:
    anna.post("/result", json=graph(name))
    run = tmp_path / "run"
    assert not run.exists() or [path.name for path in run.iterdir()] == ["logs"]


def test_slow_requests_time_out(tmp_path: Path, services: Services) -> None:
    services = replace(services, cluster=FakeCluster(delay=30))
    start = time.monotonic()
    answer = _logged_in(tmp_path, services, sync_seconds=1).post("/result", json=graph("load"))
    assert (answer.status_code, answer.json["code"]) == (408, "RequestTimeout")
    assert "1 seconds" in answer.json["message"]
    assert time.monotonic() - start < 5


def test_a_client_that_hangs_up_stops_its_request() -> None:
    deadline = Deadline(100, hung_up=lambda: True)
    with pytest.raises(OpenEOError) as stopped:
        deadline.check()
    assert stopped.value.status == 499


def test_only_so_many_requests_compute_at_once(tmp_path: Path, services: Services) -> None:
    services = replace(services, cluster=FakeCluster(delay=1))
    user = _logged_in(tmp_path, services, sync_concurrent=1)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(user.client.post("/result", json=graph("number"), headers=user.headers).status_code)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 503, 503]
    assert user.post("/result", json=graph("number")).status_code == 200


def test_progress_is_the_callers_own(log_in: Callable[[str], User], client: FlaskClient) -> None:
    assert log_in("anna").get("/requests/progress").json == {
        "requests": [{"id": "a1", "started": "1970-01-01T00:00:00Z", "done": 3, "total": 12, "percent": 25.0}]
    }
    (ben,) = log_in("ben").get("/requests/progress").json["requests"]
    assert (ben["id"], ben["percent"]) == ("b1", 0.0)


def test_results_link_to_their_log(log_in: Callable[[str], User], client: FlaskClient) -> None:
    anna, ben = log_in("anna"), log_in("ben")
    answer = anna.post("/result", json=graph("embed", count=12))
    url, relation = answer.headers["Link"].split("; ")
    assert relation == 'rel="monitor"'
    url = url.strip("<>")
    assert answer.headers["OpenEO-Identifier"] in url
    (entry,) = anna.get(url).json["logs"]
    assert (entry["id"], entry["level"]) == ("0", "info")
    assert "12 embeddings" in entry["message"]
    assert (ben.get(url).status_code, client.get(url).status_code) == (404, 401)
    for wrong in ("x", "..%2fusers.sqlite", "0" * 32):
        assert anna.get(f"/requests/{wrong}/logs").json["code"] == "NotFound"


def test_what_means_nothing_here_is_said_in_the_log(anna: User) -> None:
    answer = anna.post("/result", json={**graph("number"), "job_options": {}})
    (entry,) = anna.get(f"/requests/{answer.headers['OpenEO-Identifier']}/logs").json["logs"][:1]
    assert (entry["level"], "job_options" in entry["message"]) == ("warning", True)


def test_logs_keep_what_is_severe_enough_for_a_day(tmp_path: Path) -> None:
    logs = RequestLogs(tmp_path)
    messages = [{"level": level, "message": level} for level in ("debug", "info", "warning", "error")]
    logs.write(SyncRequest("a" * 32, "anna", {}, "warning"), messages)
    assert [entry["message"] for entry in logs.read("a" * 32, "anna")] == ["warning", "error"]
    yesterday = time.time() - 90_000
    os.utime(tmp_path / ("a" * 32), (yesterday, yesterday))
    RequestLogs(tmp_path).write(SyncRequest("b" * 32, "anna", {}), messages)  # it looks for old ones now and then
    assert [path.name for path in tmp_path.iterdir()] == ["b" * 32]


def test_the_oldest_of_too_many_logs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.sync.logs.KEPT_LOGS", 3)
    for number in range(6):
        (tmp_path / f"{number:032x}").write_text("{}", encoding="utf-8")
        os.utime(tmp_path / f"{number:032x}", (time.time() - 60 + number,) * 2)
    RequestLogs(tmp_path).write(SyncRequest("b" * 32, "anna", {}), [])
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f"{n:032x}" for n in (3, 4, 5)), "b" * 32]
