"""What the openEO Web Editor and the openEO Python client rely on beside the API's text, one by one.

Neither is run here: their needs were read from their sources. The application is the real one, on the real processes,
with a cluster that computes in this process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.openapi import OpenApi
from tests.api.test_fuzz import ADD, Target

LOAD = {"process_id": "load_collection", "arguments": {"id": "FAKE", "spatial_extent": None, "temporal_extent": None}}
MEDIAN = {
    "process_id": "reduce_dimension",
    "arguments": {
        "data": {"from_node": "load"},
        "dimension": "t",
        "reducer": {
            "process_graph": {
                "m": {"process_id": "median", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
            }
        },
    },
}
ORIGIN = {"Origin": "https://editor.openeo.org"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("editor"))
    yield made
    made.services.users.close()


@pytest.fixture
def names(target: Target) -> dict[str, str]:
    return {**target.names(), "name": "result.json", "request_id": "none"}


def _ask(target: Target, method: str, path: str, **kwargs: Any) -> TestResponse:
    headers = {**target.headers, **ORIGIN, **kwargs.pop("headers", {})}
    return target.client.open(path, method=method, headers=headers, buffered=True, **kwargs)


def _saved(form: str) -> dict[str, Any]:
    red = {"process_id": "filter_bands", "arguments": {"data": {"from_node": "median"}, "bands": ["B04"]}}
    save = {"process_id": "save_result", "arguments": {"data": {"from_node": "red"}, "format": form}, "result": True}
    return {"process": {"process_graph": {"load": LOAD, "median": MEDIAN, "red": red, "save": save}}}


def _endpoints(target: Target) -> list[tuple[str, str]]:
    listed = target.client.get("/").json["endpoints"]
    return [(method, entry["path"]) for entry in listed for method in entry["methods"]]


def _filled(path: str, names: dict[str, str]) -> str:
    for key, name in names.items():
        path = path.replace("{" + key + "}", name)
    return path


def test_preflights_of_every_route_need_no_login(target: Target, names: dict[str, str]) -> None:
    for method, path in _endpoints(target):
        wanted = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization, range"}
        answer = target.client.options(_filled(path, names), headers={**ORIGIN, **wanted})
        assert answer.status_code == 204, path
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert {"authorization", "content-type", "range"} <= allowed
        assert method in answer.headers["Access-Control-Allow-Methods"].replace(" ", "").split(",")


@pytest.mark.parametrize("logged_in", [True, False])
def test_every_answer_may_be_read_by_a_web_page(target: Target, names: dict[str, str], logged_in: bool) -> None:
    """Errors too: else a browser shows "network error" instead of them."""
    for method, path in [*_endpoints(target), ("GET", "/nothing")]:
        if method == "DELETE":
            continue
        headers = target.headers if logged_in else {}
        answer = target.client.open(_filled(path, names), method=method, headers={**headers, **ORIGIN}, buffered=True)
        assert answer.headers["Access-Control-Allow-Origin"] == "*", path
        exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert {"OpenEO-Identifier", "Link", "OpenEO-Costs", "Location"} <= exposed
        if answer.status_code >= 400:
            assert {"id", "code", "message", "links"} == set(answer.get_json(force=True)), path


@pytest.mark.parametrize(("path", "key"), [("/collections", "collections"), ("/processes", "processes")])
def test_lists_come_whole(target: Target, path: str, key: str) -> None:
    whole = target.client.get(path).json
    assert len(whole[key]) >= 1
    for limit in (1, 0, "x"):
        assert target.client.get(f"{path}?limit={limit}").json == whole
    assert [link for link in whole["links"] if link["rel"] == "next"] == []


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("GTiff", "image/tiff; application=geotiff"),
        ("PNG", "image/png"),
        ("JSON", "application/json"),
        ("netCDF", "application/x-netcdf"),
    ],
)
def test_results_are_told_by_their_media_type(target: Target, form: str, media_type: str) -> None:
    answer = _ask(target, "POST", "/result", json=_saved(form))
    assert (answer.status_code, answer.content_type) == (200, media_type), answer.data[:300]
    assert answer.headers["OpenEO-Costs"] == "0"
    assert answer.headers["OpenEO-Identifier"]


def test_a_json_result_of_a_cube_does_not_begin_with_null(target: Target) -> None:
    """The first pixel has no value; the viewer of JSON would break at it."""
    value = _ask(target, "POST", "/result", json=_saved("JSON")).json
    assert isinstance(value, dict)
    assert next(iter(value.values())) is not None


def test_the_monitor_link_leads_to_the_log(target: Target) -> None:
    answer = _ask(target, "POST", "/result", json={"process": ADD})
    (link,) = [part for part in answer.headers["Link"].split(",") if 'rel="monitor"' in part]
    log = _ask(target, "GET", link[link.index("<") + 1 : link.index(">")]).json
    assert log["logs"]
    assert all(isinstance(entry["id"], str) for entry in log["logs"])


def test_logs_go_on_after_the_last_id_seen(target: Target, names: dict[str, str]) -> None:
    path = f"/jobs/{names['job_id']}/logs"
    entries = _ask(target, "GET", path).json["logs"]
    assert all(isinstance(entry["id"], str) for entry in entries)
    rest = _ask(target, "GET", f"{path}?offset={entries[0]['id']}").json["logs"]
    assert rest == entries[1:]


def test_assets_need_no_token_and_come_in_parts(target: Target, names: dict[str, str]) -> None:
    results = _ask(target, "GET", f"/jobs/{names['job_id']}/results")
    assert results.json["type"] == "Collection"
    assert results.headers["OpenEO-Costs"] == "0"
    stranger: FlaskClient = target.app.test_client()
    (asset,) = results.json["assets"].values()
    whole = stranger.get(asset["href"], headers=ORIGIN, buffered=True)
    assert (whole.status_code, whole.data) == (200, b"3")
    part = stranger.get(asset["href"], headers={**ORIGIN, "Range": "bytes=0-0"}, buffered=True)
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (206, b"3", "bytes 0-0/1")
    assert part.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in part.headers["Access-Control-Expose-Headers"]


def test_types_of_services_are_an_object(target: Target) -> None:
    assert all("configuration" in entry for entry in target.client.get("/service_types").json.values())


def test_jobs_bear_what_clients_do_twice(target: Target) -> None:
    job = _ask(target, "POST", "/jobs", json={"process": ADD, "title": "first"})
    path = "/jobs/" + job.headers["OpenEO-Identifier"]
    assert job.headers["Location"].endswith(path)
    assert _ask(target, "PATCH", path, json={}).status_code == 204
    assert _ask(target, "GET", path).json["title"] == "first"
    assert _ask(target, "GET", f"{path}/estimate").status_code == 200
    for _ in range(2):
        assert _ask(target, "DELETE", f"{path}/results").status_code == 204
    assert _ask(target, "DELETE", path).status_code == 204
    assert _ask(target, "DELETE", path).status_code == 404


def test_canceling_a_finished_job(target: Target, names: dict[str, str]) -> None:
    assert _ask(target, "DELETE", f"/jobs/{names['job_id']}/results").status_code == 204
    assert _ask(target, "GET", f"/jobs/{names['job_id']}").json["status"] == "finished"


@pytest.mark.parametrize(("method", "path"), [("POST", "/jobs"), ("POST", "/result"), ("POST", "/validation")])
def test_no_body_is_the_clients_fault(target: Target, method: str, path: str) -> None:
    answer = _ask(target, method, path)
    assert 400 <= answer.status_code < 500
    assert answer.json["code"]


def test_process_ids_have_dashes_and_those_in_bodies_do_not_count(target: Target) -> None:
    assert _ask(target, "PUT", "/process_graphs/my-own-ndvi", json={**ADD, "id": "another"}).status_code == 200
    assert _ask(target, "GET", "/process_graphs/my-own-ndvi").json["id"] == "my-own-ndvi"
    assert _ask(target, "GET", "/process_graphs/another").status_code == 404
    assert _ask(target, "DELETE", "/process_graphs/my-own-ndvi").status_code == 204


def test_nothing_is_null_that_may_not_be(target: Target, names: dict[str, str]) -> None:
    openapi = OpenApi()
    for method, path in _endpoints(target):
        if method != "GET" or path in ("/credentials/basic",):
            continue
        answer = _ask(target, "GET", _filled(path, names))
        if answer.status_code == 200 and answer.mimetype.endswith("json") and path in openapi.paths:
            assert openapi.answer_faults(answer.get_json(force=True), "get", path, 200) == [], path
            assert not _nulls(answer.get_json(force=True), path), path


def _nulls(value: Any, place: str) -> list[str]:
    """Return where null stands outside of JSON schemas, defaults and graphs, which may have any value."""
    if isinstance(value, dict):
        free = {"default", "enum", "schema", "process_graph", "examples", "arguments", "returns", "parameters"}
        return [found for key, one in value.items() if key not in free for found in _nulls(one, f"{place}.{key}")]
    if isinstance(value, list):
        return [found for one in value for found in _nulls(one, place)]
    return [place] if value is None else []


def test_slashes_too_many_are_forgiven(target: Target) -> None:
    answer = target.client.get("/", environ_overrides={"PATH_INFO": "//processes"})
    assert json.loads(answer.data)["processes"]
