"""What anyone may read: capabilities, collections, processes, file formats, health."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from backend.context import Services
from backend.results import FORMATS
from processes.implementations.input_formats import INPUT_FORMATS
from tests.backend.fakes import settings_in


def _routes(app: Flask) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(\w+:)?(\w+)>", r"{\2}", rule.rule)
        found.setdefault(path, set()).update(rule.methods - {"HEAD", "OPTIONS"})
    return found


def test_capabilities_list_exactly_the_routes(app: Flask, client: FlaskClient) -> None:
    body = client.get("/").json
    listed = {entry["path"]: set(entry["methods"]) for entry in body["endpoints"]}
    assert len(listed) == len(body["endpoints"])
    routes = _routes(app)
    del routes["/"]
    assert listed == routes
    assert listed["/collections/{collection_id}"] == {"GET"}
    assert listed["/result"] == {"POST"}


def test_capabilities_say_what_is_served(client: FlaskClient) -> None:
    body = client.get("/").json
    assert body["api_version"] == "1.2.0"
    assert body["production"] is False
    assert body["conformsTo"] == client.get("/conformance").json["conformsTo"]
    assert {link["rel"] for link in body["links"]} >= {"version-history", "conformance", "data"}
    assert all(link["href"].startswith("http://localhost/") for link in body["links"])


def test_public_url_is_used_in_links(tmp_path: Path, services: Services) -> None:
    settings = settings_in(tmp_path, public_url="https://openeo.example/api/")
    client = create_app(settings, services).test_client()
    versions = client.get("/.well-known/openeo").json["versions"]
    assert versions == [{"url": "https://openeo.example/api/", "api_version": "1.2.0", "production": False}]
    links = client.get("/collections/FAKE").json["links"]
    assert links[0]["href"] == "https://openeo.example/api/collections/FAKE"


def test_links_follow_the_asking_url_without_public_url(client: FlaskClient) -> None:
    url = client.get("/.well-known/openeo", base_url="http://there:99").json["versions"][0]["url"]
    assert url == "http://there:99/"


@pytest.mark.parametrize("path", ["/collections", "//collections", "///collections//", "/collections/"])
def test_slashes_are_collapsed(client: FlaskClient, path: str) -> None:
    answer = client.get("/", environ_overrides={"PATH_INFO": path})
    assert answer.json["collections"][0]["id"] == "FAKE"


def test_collections_ignore_limit_and_leave_out_what_is_long(client: FlaskClient) -> None:
    (entry,) = client.get("/collections?limit=0").json["collections"]
    assert "cube:dimensions" not in entry
    assert entry["license"] == "CC-BY-4.0"
    assert {link["rel"] for link in entry["links"]} == {"self", "root", "parent", "license"}


def test_collection_is_complete(client: FlaskClient) -> None:
    body = client.get("/collections/FAKE").json
    assert "cube:dimensions" in body
    assert client.get(body["links"][0]["href"]).json == body


def test_queryables_describe_what_can_be_filtered(client: FlaskClient) -> None:
    answer = client.get("/collections/FAKE/queryables")
    assert answer.content_type == "application/schema+json"
    schema = answer.get_json(force=True)
    expected = {"title": "eo:cloud_cover", "type": "number", "minimum": 0, "maximum": 90}
    assert schema["properties"]["eo:cloud_cover"] == expected


@pytest.mark.parametrize("path", ["/collections/NONE", "/collections/NONE/queryables", "/collections/a/b"])
def test_unknown_collection_names_the_known_ones(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json["code"] == "CollectionNotFound"
    assert "FAKE" in answer.json["message"]


def test_processes_udf_runtimes_and_service_types(client: FlaskClient) -> None:
    assert [spec["id"] for spec in client.get("/processes").json["processes"]] == ["load"]
    assert client.get("/udf_runtimes").json == {}
    assert client.get("/service_types").json == {}


def test_file_formats_are_the_tables_that_read_and_write(client: FlaskClient) -> None:
    body = client.get("/file_formats").json
    assert set(body["input"]) == {form.name for form in INPUT_FORMATS} >= {"GeoJSON", "GTiff"}
    assert list(body["output"]) == [form.name for form in FORMATS]
    for entry in body["output"].values():
        assert entry["gis_data_types"]
        assert entry["parameters"] == {}
    for form in FORMATS:
        for option in form.options:
            assert f"Option `{option}`: " in body["output"][form.name]["description"]
