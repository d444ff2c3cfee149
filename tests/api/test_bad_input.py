"""What users get wrong, against the real server: the right code and status, and a message that helps."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openeo
import pytest
import requests
from openeo.rest import OpenEoApiError

from tests.api.openapi import OpenApi
from tests.backend.server import Server

AREA = {"west": 679100, "south": 5151100, "east": 679300, "north": 5151260, "crs": "EPSG:32632"}
ELSEWHERE = {"west": 3, "south": 50, "east": 4, "north": 51}
DATES = ["2022-06-01", "2022-08-01"]
OPTICAL = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
INSIDES = ("Traceback", 'File "', ".py", "<html", "<!doctype", "object at 0x", "DateTime(", "np.", "None")

Graph = dict[str, Any]


def node(process: str, /, **arguments: Any) -> Graph:
    return {"process_id": process, "arguments": arguments}


def only(process: str, /, **arguments: Any) -> Graph:
    """Return a graph of one node."""
    return {"one": {**node(process, **arguments), "result": True}}


def load(**changes: Any) -> Graph:
    """Return the node that loads two bands of two months, with other arguments; None leaves one out."""
    usual = {"id": "SENTINEL2_L2A", "spatial_extent": AREA, "temporal_extent": DATES, "bands": ["B04", "B08"]}
    arguments = {key: value for key, value in {**usual, **changes}.items() if value is not None}
    return node("load_collection", **arguments)


def loading(**changes: Any) -> Graph:
    return {"load": {**load(**changes), "result": True}}


def after_load(process: str, /, **arguments: Any) -> Graph:
    return {"load": load(), "then": {**node(process, data={"from_node": "load"}, **arguments), "result": True}}


def embedding(cube: Graph, /, **arguments: Any) -> Graph:
    """Return the graph that embeds what the node `cube` makes of the Sentinel-2 cube `s2`."""
    sources = {"s2": load(bands=OPTICAL), "s1": load(id="SENTINEL1_RTC", bands=["VV", "VH"]), "data": cube}
    cubes = {"data": {"from_node": "data"}, "others": [{"from_node": "s1"}], "model": "seeded"}
    return {**sources, "embed": {**node("multimodal_embed", **{**cubes, **arguments}), "result": True}}


def each(process: str, /, **arguments: Any) -> Graph:
    """Return the node that applies a process to all values of `s2`."""
    callback = {"process_graph": only(process, x={"from_parameter": "x"}, **arguments)}
    return node("apply", data={"from_node": "s2"}, process=callback)


FEW_DATES = node("filter_temporal", data={"from_node": "scaled"}, extent=["2022-06-10", "2022-06-25"])
SUM = node("add", x=1, y=2)
RESULT = {"result": True}

# Graph, error code, and what the message has to name: the value and the remedy.
GRAPHS: dict[str, tuple[Graph, str, list[str]]] = {
    "unknown collection": (loading(id="NOPE"), "CollectionNotFound", ["'NOPE'", "SENTINEL2_L2A", "LAND_COVER"]),
    "unknown process": (only("nope"), "ProcessUnsupported", ["'nope'", "/processes", "'one'"]),
    "unknown process in a callback": (
        after_load("apply", process={"process_graph": only("nope", x={"from_parameter": "x"})}),
        "ProcessUnsupported",
        ["'nope'", "/processes"],
    ),
    "unknown namespace": ({"n": {**SUM, **RESULT, "namespace": "mars"}}, "ProcessUnsupported", ["'add'", "'mars'"]),
    "unknown band": (loading(bands=["B99"]), "ProcessParameterInvalid", ["'bands'", "'B99'", "B8A"]),
    "unknown band later": (after_load("filter_bands", bands=["B99"]), "LabelNotAvailable", ["'B99'", "B04", "B08"]),
    "unknown model": (
        embedding(each("multiply", y=1), model="nope"),
        "ModelNotFound",
        ["'nope'", "seeded", "`model`"],
    ),
    "unknown property": (
        loading(properties={"nope": {"process_graph": only("lte", x={"from_parameter": "value"}, y=10)}}),
        "ProcessParameterInvalid",
        ["'properties'", "'nope'", "eo:cloud_cover"],
    ),
    "unknown CRS": (
        loading(spatial_extent={**AREA, "crs": "EPSG:999999"}),
        "ProcessParameterInvalid",
        ["'spatial_extent'", "EPSG:999999", "EPSG code"],
    ),
    "CRS that is an object": (
        loading(spatial_extent={**AREA, "crs": {"code": 4326}}),
        "ProcessParameterInvalid",
        ["'spatial_extent'", "4326", "EPSG code"],
    ),
    "west beyond east": (
        loading(spatial_extent={**AREA, "west": 679400}),
        "ProcessParameterInvalid",
        ["'spatial_extent'", "679400", "679300", "swap"],
    ),
    "west is east": (
        loading(spatial_extent={**AREA, "west": 679300}),
        "ProcessParameterInvalid",
        ["'spatial_extent'", "679300", "widen"],
    ),
    "edge without number": (
        loading(spatial_extent={**AREA, "north": "up"}),
        "ProcessParameterInvalid",
        ["'spatial_extent'", "north", "'up'", "numbers"],
    ),
    "outside of the collection": (
        loading(spatial_extent=ELSEWHERE),
        "NoDataAvailable",
        ["[3, 50, 4, 51]", "'spatial_extent'", "covers"],
    ),
    "outside of the cube": (
        after_load("filter_bbox", extent=ELSEWHERE),
        "NoDataAvailable",
        ["[3, 50, 4, 51]", "'extent'", "11.33", "Choose"],
    ),
    "interval that ends before it starts": (
        loading(temporal_extent=["2022-07-01", "2022-06-01"]),
        "TemporalExtentEmpty",
        ["[2022-07-01, 2022-06-01]", "'temporal_extent'", "later"],
    ),
    "interval of no length": (
        loading(temporal_extent=["2022-07-01", "2022-07-01"]),
        "TemporalExtentEmpty",
        ["[2022-07-01, 2022-07-01]", "'temporal_extent'", "later"],
    ),
    "interval without dates": (
        loading(temporal_extent=["yesterday", "2022-07-01"]),
        "ProcessParameterInvalid",
        ["'temporal_extent'", "yesterday", "2024-06-30"],
    ),
    "interval without ends": (
        loading(temporal_extent=[None, None]),
        "ProcessParameterInvalid",
        ["'temporal_extent'", "[null, null]", "2024-06-30"],
    ),
    "interval without data": (
        loading(temporal_extent=["2031-06-01", "2031-07-01"]),
        "NoDataAvailable",
        ["2031-06-01", "'temporal_extent'", "2022-06-01"],
    ),
    "filter without data": (
        after_load("filter_temporal", extent=["2031-06-01", "2031-07-01"]),
        "NoDataAvailable",
        ["[2031-06-01, 2031-07-01]", "2022-06-01"],
    ),
    "no nodes": ({}, "ProcessGraphMissing", ["process_graph"]),
    "node that is none": ({"n": [1]}, "ProcessGraphInvalid", ["'n'", "process_id"]),
    "no result node": ({"n": SUM}, "ProcessGraphInvalid", ["`result`", "one of them"]),
    "two result nodes": (
        {"a": {**SUM, **RESULT}, "b": {**SUM, **RESULT}},
        "ProcessGraphInvalid",
        ["'a', 'b'", "only one"],
    ),
    "circle": (
        {"a": node("add", x=1, y={"from_node": "b"}), "b": {**node("add", x=1, y={"from_node": "a"}), **RESULT}},
        "ProcessGraphInvalid",
        ["'a'", "'b'", "circle", "break"],
    ),
    "node from nowhere": (only("add", x=1, y={"from_node": "gone"}), "ProcessGraphInvalid", ["'gone'", "from_node"]),
    "parameter from nowhere": (
        only("add", x=1, y={"from_parameter": "gone"}),
        "ProcessGraphInvalid",
        ["'gone'", "from_parameter"],
    ),
    "missing argument": (only("add", x=1), "ProcessParameterRequired", ["'add'", "'y'", "add it"]),
    "unknown argument": (only("add", x=1, y=2, z=3), "ProcessParameterUnsupported", ["'add'", "'z'", "x, y"]),
    "argument of another type": (only("add", x="a", y=2), "ProcessParameterInvalid", ["'x'", "'a'", "a number"]),
    "unknown dimension": (
        after_load("drop_dimension", name="depth"),
        "DimensionNotAvailable",
        ["'depth'", "t, bands, y, x"],
    ),
    "unknown format": (after_load("save_result", format="BMP"), "FileTypeInvalid", ["BMP", "GTiff", "netCDF"]),
    "unknown option": (
        after_load("save_result", format="netCDF", options={"nope": 1}),
        "ProcessParameterInvalid",
        ["'options'", "nope", "variables"],
    ),
    "picture of many dates": (after_load("save_result", format="PNG"), "FormatUnsuitable", ["25", "reduce_dimension"]),
    "digital numbers": (
        embedding(each("multiply", y=10000)),
        "ProcessParameterInvalid",
        ["'data'", "'multimodal_embed'", "digital numbers", "Divide them by 10000"],
    ),
    "one sensor": (embedding(each("multiply", y=1), others=[]), "LabelNotAvailable", ["VV, VH", "`others`", "B8A"]),
    "few dates": (
        {**embedding(FEW_DATES), "scaled": node("resample_spatial", data={"from_node": "s2"}, resolution=10)},
        "NoDataAvailable",
        ["`data`", "11", "Widen"],
    ),
    # 25 dates and 2 bands of 2000 x 1600 pixels.
    "too large": (
        after_load("resample_spatial", resolution=0.1),
        "ProcessGraphComplexity",
        ["610.4 MiB", "256 MiB", "smaller spatial extent"],
    ),
    "too large to plan": (
        after_load("resample_spatial", resolution=0.002),
        "ProcessGraphComplexity",
        ["100000 x 80000 pixels", "larger pixels"],
    ),
    "too fine for a grid": (
        after_load("resample_spatial", resolution=1e-9),
        "ProcessGraphComplexity",
        ["pixels", "larger pixels"],
    ),
    "endless array": (
        only("array_create", data=[1, 2], repeat=10**9),
        "ProcessParameterInvalid",
        ["'repeat'", "1000000000 times 2", "less often"],
    ),
}


@pytest.fixture(scope="module")
def statuses(openapi: OpenApi) -> dict[str, int]:
    """The HTTP status of each error code: the API's own list; codes of processes are the client's fault."""
    return openapi.statuses


@pytest.fixture(scope="module")
def openapi() -> OpenApi:
    return OpenApi()


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    answer = requests.get(server.url + "credentials/basic", auth=("demo", "demo"), timeout=10)
    return str(answer.json()["access_token"])


@pytest.fixture(autouse=True)
def leaves_nothing(server: Server, data: Path) -> Iterator[None]:
    """No refused request leaves a file behind, or is a defect in the log."""
    kept, logged = _files(data), len(server.log.read_text())
    yield
    assert _files(data) == kept
    assert "Traceback" not in server.log.read_text()[logged:]


def _files(data: Path) -> set[Path]:
    """Return what lies in the folder of temporary files.

    Dask's own spill folder is there as long as the server; logs of refused requests stay for a day.
    """
    files = {path.relative_to(data) for path in (data / "run").rglob("*")}
    return {path for path in files if path.parts[1] not in ("dask", "logs")}


class Checker:
    """Holds an answer against the API's error form and its list of statuses."""

    def __init__(self, openapi: OpenApi, statuses: dict[str, int], secrets: list[str]) -> None:
        self._openapi, self._statuses, self._secrets = openapi, statuses, secrets

    def __call__(self, answer: requests.Response, code: str, words: list[str]) -> None:
        body = answer.json()
        assert (body["code"], answer.status_code) == (code, self._statuses.get(code, 400)), body
        assert set(body) == {"id", "code", "message", "links"}
        assert self._openapi.error_faults(body) == []
        assert [word for word in words if word not in body["message"]] == [], body["message"]
        assert [part for part in (*INSIDES, *self._secrets) if part in answer.text] == []
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.fixture(scope="module")
def check(openapi: OpenApi, statuses: dict[str, int], data: Path) -> Checker:
    return Checker(openapi, statuses, [str(data), str(Path(__file__).parents[2])])


def _post(server: Server, token: str, graph: Graph) -> requests.Response:
    body, headers = {"process": {"process_graph": graph}}, {"Authorization": f"Bearer basic//{token}"}
    return requests.post(server.url + "result", json=body, headers=headers, timeout=60)


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(server: Server, token: str, check: Checker, name: str) -> None:
    graph, code, words = GRAPHS[name]
    check(_post(server, token, graph), code, words)


def test_what_is_too_large_is_refused_before_any_work(server: Server, token: str, check: Checker) -> None:
    workers = server.child("workers").children(recursive=True)
    for worker in workers:
        worker.suspend()
    try:
        graph, code, words = GRAPHS["too large"]
        check(_post(server, token, graph), code, words)
    finally:
        for worker in workers:
            worker.resume()


@pytest.mark.parametrize(
    ("body", "kind", "code", "words"),
    [
        (b'{"process": {"process_graph": {,}}}', "application/json", "ProcessInvalid", ["line 1, column 32"]),
        (b"", "application/json", "ProcessInvalid", ["line 1"]),
        (b"[]", "application/json", "ProcessInvalid", ["JSON object", "an array"]),
        (b"{}", "application/json", "ProcessGraphMissing", ["`process`", "`process_graph`"]),
        (b'{"process": 1}', "application/json", "ProcessGraphMissing", ["`process_graph`"]),
        (b"{}", "text/plain", "ContentTypeInvalid", ["text/plain", "application/json"]),
        (b"a=1", "application/x-www-form-urlencoded", "ContentTypeInvalid", ["urlencoded", "application/json"]),
        (b" " * (4 * 2**20 + 1), "application/json", "FileSizeExceeded", ["4194304", "send less"]),
    ],
)
def test_bodies(
    server: Server, token: str, check: Checker, body: bytes, kind: str, code: str, words: list[str]
) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    check(requests.post(server.url + "result", data=body, headers=headers, timeout=30), code, words)


@pytest.mark.parametrize(
    ("header", "code", "words"),
    [
        (None, "AuthenticationRequired", ["Authorization", "Bearer"]),
        ("Bearer", "TokenInvalid", ["authenticate again"]),
        ("Bearer basic//garbage", "TokenInvalid", ["authenticate again"]),
        ("Bearer basic//' OR 1=1 --", "TokenInvalid", ["authenticate again"]),
        ("Bearer oidc/provider/token", "AuthenticationSchemeInvalid", ["basic//TOKEN"]),
        ("Basic " + base64.b64encode(b"demo:demo").decode(), "AuthenticationSchemeInvalid", ["GET /credentials/basic"]),
    ],
)
def test_tokens(server: Server, check: Checker, header: str | None, code: str, words: list[str]) -> None:
    headers = {} if header is None else {"Authorization": header}
    check(requests.post(server.url + "result", json={}, headers=headers, timeout=10), code, words)


def test_expired_tokens(server: Server, data: Path, check: Checker) -> None:
    answer = requests.get(server.url + "credentials/basic", auth=("demo", "demo"), timeout=10)
    token = answer.json()["access_token"]
    digest = hashlib.sha256(token.encode()).hexdigest()
    with sqlite3.connect(data / "users.sqlite") as users:
        assert users.execute("UPDATE tokens SET expires = 1 WHERE digest = ?", (digest,)).rowcount == 1
    users.close()
    check(_post(server, token, only("add", x=1, y=2)), "TokenInvalid", ["expired", "authenticate again"])


@pytest.mark.parametrize(("name", "password"), [("anna", "guess"), ("nobody", "guess"), ("demo", "")])
def test_wrong_passwords_tell_nothing_of_the_name(server: Server, check: Checker, name: str, password: str) -> None:
    answer = requests.get(server.url + "credentials/basic", auth=(name, password), timeout=10)
    check(answer, "CredentialsInvalid", ["The user name or the password is wrong."])


def test_the_client_shows_the_message(connection: openeo.Connection) -> None:
    s2, s1 = (connection.load_collection(id, AREA, DATES) for id in ("SENTINEL2_L2A", "SENTINEL1_RTC"))
    cube = connection.datacube_from_process("multimodal_embed", data=s2, others=[s1], model="nope")
    with pytest.raises(OpenEoApiError, match=r"\[400\] ModelNotFound: There is no model 'nope'\. Models: demo, seeded"):
        cube.execute()
