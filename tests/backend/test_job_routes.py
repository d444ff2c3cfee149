"""Batch jobs over HTTP: requests as they come, answers as clients need them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from backend.context import Services
from backend.jobs.states import Fail, Produce
from backend.jobs.work import Worker
from tests.backend.conftest import User
from tests.backend.fakes import graph, settings_in

RASTER = graph("save", format="GTiff", times=1)


def _create(user: User, **more: Any) -> str:
    answer = user.post("/jobs", json={**RASTER, **more})
    assert answer.status_code == 201, answer.json
    assert answer.data == b""
    identifier = answer.headers["OpenEO-Identifier"]
    assert answer.headers["Location"] == f"http://localhost/jobs/{identifier}"
    return str(identifier)


@pytest.fixture
def run(services: Services, tmp_path: Path) -> Callable[[], None]:
    """Compute the job whose turn it is."""
    worker = Worker(settings_in(tmp_path), services, threading.Event())

    def run() -> None:
        job = services.jobs.claim("runner", 30)
        assert job is not None
        worker.work(job)

    return run


@pytest.fixture
def finished(anna: User, run: Callable[[], None]) -> str:
    job = _create(anna, title="T")
    assert anna.post(f"/jobs/{job}/results").status_code == 202
    run()
    return job


def test_a_new_job(anna: User) -> None:
    job = _create(anna, title="A title", description="What for", log_level="debug", budget=5, plan=None)
    told = anna.get(f"/jobs/{job}").json
    assert told["process"] == RASTER["process"]
    links = {link.pop("rel"): link["href"] for link in told.pop("links")}
    assert set(links) == {"self", "monitor"}
    assert anna.get(links["monitor"]).json["logs"] == []
    created = told.pop("created")
    assert told == {
        "id": job,
        "title": "A title",
        "description": "What for",
        "process": RASTER["process"],
        "status": "created",
        "progress": 0,
        "updated": created,
        "costs": 0,
        "log_level": "debug",
    }


def test_what_means_nothing_here_is_said_in_the_log(anna: User) -> None:
    job = _create(anna, job_options={"driver-memory": "8g"})
    (entry,) = anna.get(f"/jobs/{job}/logs").json["logs"]
    assert entry["level"] == "warning"
    assert "job_options" in entry["message"]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({}, "ProcessGraphMissing", "process"),
        ({"process": None}, "ProcessGraphMissing", "process"),
        ({"process": {"id": "x"}}, "ProcessGraphMissing", "process_graph"),
        ({"process": {"process_graph": []}}, "ProcessGraphMissing", "process_graph"),
        ({**RASTER, "title": 5}, "ProcessInvalid", "title"),
        ({**RASTER, "title": "a\0b"}, "ProcessInvalid", "title"),
        ({**RASTER, "title": "\ud800"}, "ProcessInvalid", "title"),
        ({**RASTER, "description": "x" * 200_000}, "FileSizeExceeded", "8192"),
        ({**RASTER, "log_level": "loud"}, "ProcessInvalid", "log_level"),
        ({**RASTER, "plan": "gold"}, "BillingPlanInvalid", "gold"),
        ({**RASTER, "budget": -1}, "BudgetInvalid", "-1"),
        ({"process": {**RASTER["process"], "parameters": "x"}}, "ProcessInvalid", "process.parameters"),
    ],
)
def test_bodies_that_cannot_be(anna: User, body: dict[str, Any], code: str, words: str) -> None:
    answer = anna.post("/jobs", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, code)
    assert words in answer.json["message"]
    assert anna.get("/jobs").json["jobs"] == []


def test_changing_a_job(anna: User) -> None:
    job = _create(anna, title="old", description="old")
    before = anna.get(f"/jobs/{job}").json
    assert anna.patch(f"/jobs/{job}", json={}).status_code == 204
    assert anna.get(f"/jobs/{job}").json == before
    other = graph("number")["process"]
    changes = {"title": "new", "description": None, "process": other, "log_level": "error", "budget": 1, "plan": None}
    answer = anna.patch(f"/jobs/{job}", json=changes)
    assert (answer.status_code, answer.data) == (204, b"")
    told = anna.get(f"/jobs/{job}").json
    assert (told["title"], told["process"], told["log_level"]) == ("new", other, "error")
    assert "description" not in told


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"status": "finished"}, "PropertyNotEditable"),
        ({"id": "x"}, "PropertyNotEditable"),
        ({"process": {}}, "ProcessGraphMissing"),
        ({"log_level": "loud"}, "ProcessInvalid"),
        ({"budget": "x"}, "BudgetInvalid"),
        ([], "ProcessInvalid"),
    ],
)
def test_changes_that_cannot_be(anna: User, body: Any, code: str) -> None:
    job = _create(anna)
    answer = anna.patch(f"/jobs/{job}", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, code)


def test_a_job_in_the_queue_is_locked(anna: User) -> None:
    job = _create(anna)
    assert anna.post(f"/jobs/{job}/results").status_code == 202
    assert anna.post(f"/jobs/{job}/results").status_code == 202
    assert anna.get(f"/jobs/{job}").json["status"] == "queued"
    assert anna.patch(f"/jobs/{job}", json={"title": "x"}).json["code"] == "JobLocked"
    assert anna.delete(f"/jobs/{job}/results").status_code == 204
    assert anna.get(f"/jobs/{job}").json["status"] == "created"
    assert anna.patch(f"/jobs/{job}", json={"title": "x"}).status_code == 204


def test_jobs_are_listed_in_pages(anna: User) -> None:
    jobs = {_create(anna) for _ in range(5)}
    whole = anna.get("/jobs").json
    assert {job["id"] for job in whole["jobs"]} == jobs
    assert whole["links"] == []
    assert all("process" not in job for job in whole["jobs"])
    page, seen = anna.get("/jobs?limit=2").json, []
    while True:
        seen += [job["id"] for job in page["jobs"]]
        if not page["links"]:
            break
        assert [link["rel"] for link in page["links"]] == ["next"]
        page = anna.get(page["links"][0]["href"]).json
    assert seen == [job["id"] for job in whole["jobs"]]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1e3", "٣", "9" * 20])
def test_limits_that_cannot_be(anna: User, limit: str) -> None:
    assert anna.get("/jobs", query_string={"limit": limit}).json["code"] == "LimitInvalid"


def test_logs(anna: User, finished: str) -> None:
    whole = anna.get(f"/jobs/{finished}/logs?offset=&level=").json
    assert (whole["level"], whole["links"]) == ("info", [])
    identifiers = [entry["id"] for entry in whole["logs"]]
    assert len(identifiers) >= 3
    assert all(isinstance(identifier, str) for identifier in identifiers)
    rest = anna.get(f"/jobs/{finished}/logs", query_string={"offset": identifiers[0]}).json["logs"]
    assert [entry["id"] for entry in rest] == identifiers[1:]
    page = anna.get(f"/jobs/{finished}/logs?limit=1&level=info").json
    following = anna.get(page["links"][0]["href"]).json["logs"]
    assert [entry["id"] for entry in following] == identifiers[1:2]
    assert anna.get(f"/jobs/{finished}/logs?level=error").json == {"level": "error", "logs": [], "links": []}
    assert anna.get(f"/jobs/{finished}/logs?offset={identifiers[-1]}").json["logs"] == []
    assert anna.get(f"/jobs/{finished}/logs?offset=abc").json["code"] == "OffsetInvalid"
    assert anna.get(f"/jobs/{finished}/logs?level=loud").json["code"] == "LevelInvalid"


def test_results_of_a_job_that_was_never_started(anna: User) -> None:
    job = _create(anna)
    for query in ("", "?partial=true"):
        answer = anna.get(f"/jobs/{job}/results{query}")
        assert (answer.status_code, answer.json["code"]) == (400, "JobNotStarted")


def test_results_while_a_job_runs(anna: User, services: Services) -> None:
    job = _create(anna)
    anna.post(f"/jobs/{job}/results")
    for _ in range(2):
        assert anna.get(f"/jobs/{job}/results").json["code"] == "JobNotFinished"
        assert anna.get(f"/jobs/{job}/results?partial=false").json["code"] == "JobNotFinished"
        partial = anna.get(f"/jobs/{job}/results?partial").json
        assert (partial["openeo:status"], partial["assets"]) == ("running", {})
        services.jobs.claim("runner", 30)
    asset = {"title": "r", "type": "text/plain", "roles": ["data"], "file:size": 1, "file:checksum": "12"}
    results = {"folder": "1-1", "assets": {"r.txt": asset}, "bbox": None, "interval": None}
    services.jobs.report(job, Produce("runner", 1.0), results=results)
    partial = anna.get(f"/jobs/{job}/results?partial=true").json
    assert (partial["openeo:status"], list(partial["assets"])) == ("running", ["r.txt"])
    anna.delete(f"/jobs/{job}/results")
    canceled = anna.get(f"/jobs/{job}/results").json
    assert (canceled["openeo:status"], list(canceled["assets"])) == ("canceled", ["r.txt"])


def test_results_of_a_job_that_failed(anna: User, run: Callable[[], None], services: Services) -> None:
    job = _create(anna, process=graph("save", format="PNG")["process"])
    anna.post(f"/jobs/{job}/results")
    run()
    answer = anna.get(f"/jobs/{job}/results")
    assert answer.status_code == 424
    assert (answer.json["level"], answer.json["code"]) == ("error", "FormatUnsuitable")
    partial = anna.get(f"/jobs/{job}/results?partial=true").json
    assert (partial["openeo:status"], partial["assets"]) == ("error", {})
    anna.post(f"/jobs/{job}/results")
    assert anna.get(f"/jobs/{job}/logs").json["logs"] == []
    services.jobs.claim("runner", 30)
    services.jobs.report(job, Fail("runner", 1.0))
    assert anna.get(f"/jobs/{job}/results").json["level"] == "error"


def test_results_are_a_collection_whose_links_open_for_anyone(anna: User, anyone: User, finished: str) -> None:
    answer = anna.get(f"/jobs/{finished}/results")
    assert (answer.status_code, answer.headers["OpenEO-Costs"]) == (200, "0")
    told = answer.json
    assert (told["type"], told["openeo:status"], told["title"]) == ("Collection", "finished", "T")
    (asset,) = told["assets"].values()
    links = {link["rel"]: link["href"] for link in told["links"]}
    file = anyone.get(asset["href"])
    assert (file.status_code, file.content_type) == (200, "image/tiff; application=geotiff")
    assert len(file.data) == asset["file:size"]
    assert file.headers["Access-Control-Allow-Origin"] == "*"
    assert anyone.get(links["canonical"]).json["assets"].keys() == told["assets"].keys()
    item = anyone.get(links["item"])
    assert (item.json["type"], item.content_type) == ("Feature", "application/geo+json")
    assert anyone.get(item.json["assets"]["result.tif"]["href"]).data == file.data
    assert anna.get(f"/jobs/{finished}/results/assets/result.tif").data == file.data


def test_results_as_geojson(anna: User, finished: str) -> None:
    answer = anna.get(f"/jobs/{finished}/results", headers={"Accept": "application/geo+json"})
    assert answer.content_type == "application/geo+json"
    told = answer.get_json(force=True)
    assert (told["type"], list(told["assets"])) == ("Feature", ["result.tif"])


def test_parts_of_files_are_sent(anna: User, anyone: User, finished: str) -> None:
    href = anna.get(f"/jobs/{finished}/results").json["assets"]["result.tif"]["href"]
    whole = anyone.get(href)
    part = anyone.get(href, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.data) == (206, whole.data[4:10])
    assert part.headers["Content-Range"] == f"bytes 4-9/{len(whole.data)}"
    assert anyone.get(href, headers={"Range": "bytes=999999-"}).status_code == 416
    assert anyone.open("HEAD", href).headers["Accept-Ranges"] == "bytes"
    assert anyone.get(href, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert whole.headers["Access-Control-Expose-Headers"].find("Content-Range") >= 0


def test_links_open_nothing_else(anna: User, anyone: User, finished: str) -> None:
    told = anna.get(f"/jobs/{finished}/results").json
    query = told["assets"]["result.tif"]["href"].split("?")[1]
    other = _create(anna)
    for path in (f"/jobs/{finished}", f"/jobs/{finished}/logs", f"/jobs/{finished}/estimate", "/me"):
        assert anyone.get(f"{path}?{query}").status_code == 401
    for path in (f"/jobs/{other}/results", f"/jobs/{finished}/results", f"/jobs/{finished}/results/assets/x"):
        assert anyone.get(f"{path}?{query}").json["code"] == "TokenInvalid"
    assert anyone.get(f"/jobs/{finished}/results").status_code == 401
    assert anyone.delete(f"/jobs/{finished}/results?{query}").status_code == 401


def test_files_that_are_not_there(anna: User, finished: str) -> None:
    for name in ("x", "..%2f..%2fusers.sqlite", "%2e%2e", "result.tif%00"):
        for kind in ("assets", "items"):
            assert anna.get(f"/jobs/{finished}/results/{kind}/{name}").status_code == 404


def test_a_deleted_job_is_gone_with_its_files(anna: User, anyone: User, finished: str, tmp_path: Path) -> None:
    href = anna.get(f"/jobs/{finished}/results").json["assets"]["result.tif"]["href"]
    assert anna.get("/me").json["storage"]["free"] < anna.get("/me").json["storage"]["quota"]
    assert anna.delete(f"/jobs/{finished}").status_code == 204
    assert anna.get(f"/jobs/{finished}").json["code"] == "JobNotFound"
    assert anyone.get(href).json["code"] == "JobNotFound"
    assert not list((tmp_path / "results").rglob("*.tif"))
    assert anna.get("/me").json["storage"]["free"] == anna.get("/me").json["storage"]["quota"]


def test_starting_again_takes_the_results_away(anna: User, finished: str, run: Callable[[], None]) -> None:
    anna.post(f"/jobs/{finished}/results")
    assert anna.get(f"/jobs/{finished}/results").json["code"] == "JobNotFinished"
    assert anna.get(f"/jobs/{finished}/results/assets/result.tif").status_code == 404
    run()
    assert anna.get(f"/jobs/{finished}/results/assets/result.tif").status_code == 200


def test_canceling_a_finished_job_changes_nothing(anna: User, finished: str) -> None:
    assert anna.delete(f"/jobs/{finished}/results").status_code == 204
    assert anna.get(f"/jobs/{finished}").json["status"] == "finished"


def test_estimates_compute_nothing(anna: User, services: Services) -> None:
    job = _create(anna)
    told = anna.get(f"/jobs/{job}/estimate").json
    measures = {"loaded_bytes": 0, "embeddings": 0, "tasks": told["tasks"], "pixels": 0, "dates": 0}
    time = {"duration": "PT1S", "threads": 1, "measured_runs": 0}
    assert told == {"costs": 0, "size": 512, **measures, **time}
    assert services.cluster.asked == []  # type: ignore[attr-defined]
    wrong = _create(anna, process=graph("save", format="PNG")["process"])
    assert anna.get(f"/jobs/{wrong}/estimate").json["code"] == "FormatUnsuitable"


def test_routes_of_jobs_know_their_owner(app: Flask, anna: User, log_in: Callable[[str], User], finished: str) -> None:
    ben = log_in("ben")
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/jobs/<job_id>"):
            continue
        path = rule.rule.replace("<job_id>", finished).replace("<name>", "result.tif")
        for method in rule.methods - {"HEAD", "OPTIONS"}:  # type: ignore[operator]
            answer = ben.open(method, path, json={})
            assert (answer.status_code, answer.json["code"]) == (404, "JobNotFound"), (method, path)
    assert anna.get(f"/jobs/{finished}/results").status_code == 200
