"""Files and stored processes over HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backend.conftest import User
from tests.backend.fakes import graph

PROCESS = {**graph("number")["process"], "summary": "A number", "examples": [{}]}


def test_upload_list_download_delete(anna: User) -> None:
    answer = anna.put("/files/folder/münster.txt", data=b"hello")
    assert (answer.status_code, answer.json["path"], answer.json["size"]) == (200, "folder/münster.txt", 5)
    assert anna.get("/files").json == {"files": [answer.json], "links": []}
    file = anna.get("/files/folder/m%C3%BCnster.txt")
    assert (file.status_code, file.data, file.content_type) == (200, b"hello", "application/octet-stream")
    assert file.headers["Content-Disposition"] == "attachment"
    part = anna.get("/files/folder/münster.txt", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.data) == (206, b"el")
    assert anna.get("/files/folder/münster.txt", headers={"Range": "bytes=9-"}).status_code == 416
    assert anna.put("/files/folder/münster.txt", data=b"new").json["size"] == 3
    assert anna.delete("/files/folder/münster.txt").status_code == 204
    assert anna.get("/files").json["files"] == []
    assert anna.get("/files/folder/münster.txt").json["code"] == "FileNotFound"


def test_nobody_sees_the_files_of_others(anna: User, log_in: Callable[[str], User]) -> None:
    anna.put("/files/a.txt", data=b"secret")
    ben = log_in("ben")
    assert ben.get("/files").json["files"] == []
    assert ben.get("/files/a.txt").json["code"] == "FileNotFound"
    assert ben.delete("/files/a.txt").json["code"] == "FileNotFound"
    assert ben.get("/files/../user-anna/a.txt").json["code"] == "FilePathInvalid"
    assert anna.get("/files/a.txt").data == b"secret"


@pytest.mark.parametrize(
    "path", ["../../users.sqlite", "..%2f..%2fusers.sqlite", "a/%2e%2e/b", "a%00b", "%ff", "a%5cb", "a%1bb", "x" * 300]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_paths_that_lead_out(anna: User, tmp_path: Path, method: str, path: str) -> None:
    answer = anna.open(method, f"/files/{path}", data=b"x")
    assert (answer.status_code, answer.json["code"]) == (400, "FilePathInvalid")
    assert not [found for found in (tmp_path / "files").rglob("*") if found.is_file()]


def test_files_may_be_larger_than_other_bodies_up_to_their_own_limit(anna: User) -> None:
    assert anna.put("/files/a", data=b"x" * 10_000).status_code == 200  # other bodies: 8192
    answer = anna.put("/files/b", data=b"x" * 10_001)
    assert (answer.status_code, answer.json["code"]) == (400, "FileSizeExceeded")
    streamed = anna.put("/files/c", input_stream=io.BytesIO(b"x" * 20_000), content_length=20_000)
    assert streamed.json["code"] == "FileSizeExceeded"
    assert [file["path"] for file in anna.get("/files").json["files"]] == ["a"]


def test_the_quota_is_told_and_held(anna: User) -> None:
    for name in ("a", "b"):
        assert anna.put(f"/files/{name}", data=b"x" * 10_000).status_code == 200
    answer = anna.put("/files/c", data=b"x" * 10_000)
    assert (answer.status_code, answer.json["code"]) == (400, "StorageQuotaExceeded")
    storage = anna.get("/me").json["storage"]
    assert storage["quota"] - storage["free"] == 20_000


def test_folders_are_no_files(anna: User) -> None:
    anna.put("/files/folder/a.txt", data=b"x")
    for method in ("GET", "PUT", "DELETE"):
        answer = anna.open(method, "/files/folder")
        assert (answer.status_code, answer.json["code"]) == (400, "FileOperationUnsupported")


def test_storing_a_process(anna: User) -> None:
    answer = anna.put("/process_graphs/my-process_1", json={**PROCESS, "id": "another"})
    assert (answer.status_code, answer.data) == (200, b"")
    assert anna.get("/process_graphs/my-process_1").json == {"id": "my-process_1", **PROCESS}
    (listed,) = anna.get("/process_graphs?limit=1").json["processes"]
    assert listed == {"id": "my-process_1", "summary": "A number"}
    assert anna.put("/process_graphs/my-process_1", json=graph("load")["process"]).status_code == 200
    assert anna.get("/process_graphs/my-process_1").json == {"id": "my-process_1", **graph("load")["process"]}
    assert anna.delete("/process_graphs/my-process_1").status_code == 204
    assert anna.get("/process_graphs").json == {"processes": [], "links": []}


@pytest.mark.parametrize(
    ("identifier", "body", "code"),
    [
        ("load", PROCESS, "PredefinedProcessExists"),
        ("a b", PROCESS, "ProcessInvalid"),
        ("x" * 256, PROCESS, "ProcessInvalid"),
        ("mine", {}, "ProcessGraphMissing"),
        ("mine", {"process_graph": None}, "ProcessGraphMissing"),
        ("mine", graph("no_such_process")["process"], "ProcessUnsupported"),
        ("mine", {**PROCESS, "summary": 5}, "ProcessInvalid"),
    ],
)
def test_processes_that_cannot_be_stored(anna: User, identifier: str, body: Any, code: str) -> None:
    answer = anna.put(f"/process_graphs/{identifier}", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, code)
    assert anna.get("/process_graphs").json["processes"] == []


def test_nobody_sees_the_processes_of_others(anna: User, log_in: Callable[[str], User]) -> None:
    anna.put("/process_graphs/mine", json=PROCESS)
    ben = log_in("ben")
    assert ben.get("/process_graphs").json["processes"] == []
    assert ben.get("/process_graphs/mine").json["code"] == "ProcessGraphNotFound"
    assert ben.delete("/process_graphs/mine").json["code"] == "ProcessGraphNotFound"
    assert anna.get("/process_graphs/mine").status_code == 200
