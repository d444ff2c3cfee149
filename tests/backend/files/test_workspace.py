"""Users' files: nothing leads out of a user's folder, and no user has more than the quota."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.files import Workspaces
from backend.files.paths import PARTIAL, parse_path
from backend.files.workspace import ABANDONED
from processes.errors import OpenEOError

FILE, QUOTA = 100, 250


@pytest.fixture
def files(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "files", FILE, QUOTA)


def _write(files: Workspaces, path: str, content: bytes = b"abc", user: str = "anna", others: int = 0) -> None:
    files.write(user, path, io.BytesIO(content), others)


def _read(files: Workspaces, path: str, user: str = "anna") -> bytes:
    file, about = files.open(user, path)
    with file:
        content = file.read()
    assert about.size == len(content)
    return content


def _code(deed: object, *arguments: object) -> str:
    with pytest.raises(OpenEOError) as refused:
        deed(*arguments)  # type: ignore[operator]
    return refused.value.code


def _left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "files").rglob("*"))


def test_writing_reading_listing_deleting(files: Workspaces, tmp_path: Path) -> None:
    before = time.time() - 1
    _write(files, "borders/österreich/a.geojson", b"{}")
    _write(files, "b.txt")
    listed = files.of("anna")
    assert [(file.path, file.size) for file in listed] == [("b.txt", 3), ("borders/österreich/a.geojson", 2)]
    assert all(before < file.modified < time.time() + 1 for file in listed)
    assert (_read(files, "b.txt"), _read(files, "borders/österreich/a.geojson")) == (b"abc", b"{}")
    assert files.used("anna") == 5
    files.delete("anna", "borders/österreich/a.geojson")
    assert _left(tmp_path) == ["b.txt", "user-anna"]
    files.delete_all("anna")
    assert files.of("anna") == []


def test_nobody_sees_the_files_of_others(files: Workspaces) -> None:
    _write(files, "a.txt")
    assert (files.of("ben"), files.used("ben")) == ([], 0)
    assert _code(files.open, "ben", "a.txt") == "FileNotFound"
    assert _code(files.delete, "ben", "a.txt") == "FileNotFound"
    _write(files, "a.txt", b"ben's", "ben")
    assert _read(files, "a.txt") == b"abc"


@pytest.mark.parametrize("user", ["..", ".", "~", "anna.."])
def test_names_of_users_lead_nowhere(files: Workspaces, tmp_path: Path, user: str) -> None:
    _write(files, "a.txt", user=user)
    assert _read(files, "a.txt", user) == b"abc"
    assert [path.parent.parent for path in tmp_path.rglob("a.txt")] == [tmp_path / "files"]


BAD_PATHS = [
    "",
    "/etc/passwd",
    "../a",
    "a/../../b",
    "a/./b",
    "a//b",
    "a/",
    "..",
    "a\0b",
    "a\nb",
    "a\\b",
    "a:b",
    "a'b",
    'a"b',
    "x" * 256,
    "/".join("a" * 17),
    "a/" * 600 + "b",
    PARTIAL + "x",
    "\ud800",
    "�",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_cannot_be(files: Workspaces, path: str) -> None:
    assert _code(_write, files, path) == "FilePathInvalid"
    assert _code(files.open, "anna", path) == "FilePathInvalid"
    assert _code(files.delete, "anna", path) == "FilePathInvalid"


@given(st.text())
def test_any_text_is_a_harmless_path_or_none(text: str) -> None:
    names: tuple[str, ...] = ("fine",)
    with contextlib.suppress(OpenEOError):
        names = parse_path(text)
    assert not {"", ".", ".."} & set(names)
    assert not any("/" in name or "\0" in name for name in names)


def test_links_lead_nowhere(files: Workspaces, tmp_path: Path) -> None:
    _write(files, "real/a.txt")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("s")
    folder = tmp_path / "files" / "user-anna"
    (folder / "folder").symlink_to(tmp_path / "outside")
    (folder / "file").symlink_to(tmp_path / "outside" / "secret")
    for path in ("folder/secret", "file"):
        assert _code(files.open, "anna", path) == "FileOperationUnsupported"
    for deed in (lambda: files.delete("anna", "folder/secret"), lambda: _write(files, "folder/new")):
        assert _code(deed) == "FileOperationUnsupported"
    assert [file.path for file in files.of("anna")] == ["real/a.txt"]
    _write(files, "file", b"mine")  # takes the place of the link itself
    assert (tmp_path / "outside" / "secret").read_text() == "s"
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]


def test_a_users_folder_that_is_a_link_is_refused(files: Workspaces, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "user-anna").symlink_to(tmp_path / "outside")
    assert _code(_write, files, "a.txt") == "FileOperationUnsupported"
    assert list((tmp_path / "outside").iterdir()) == []


def test_folders_and_odd_things_are_no_files(files: Workspaces, tmp_path: Path) -> None:
    _write(files, "folder/a.txt")
    os.mkfifo(tmp_path / "files" / "user-anna" / "pipe")
    for path in ("folder", "pipe"):
        assert _code(files.open, "anna", path) == "FileOperationUnsupported"
    assert _code(files.delete, "anna", "folder") == "FileOperationUnsupported"
    assert _code(_write, files, "folder") == "FileOperationUnsupported"
    assert _code(_write, files, "folder/a.txt/b.txt") == "FileOperationUnsupported"
    assert [file.path for file in files.of("anna")] == ["folder/a.txt"]


def test_too_long_files_leave_nothing(files: Workspaces, tmp_path: Path) -> None:
    _write(files, "a.txt", b"x" * FILE)
    assert _code(_write, files, "new/b.txt", b"x" * (FILE + 1)) == "FileSizeExceeded"
    assert _code(_write, files, "a.txt", b"x" * (FILE + 1)) == "FileSizeExceeded"
    assert _left(tmp_path) == ["a.txt", "user-anna"]
    assert files.used("anna") == FILE


def test_the_quota_counts_all_files_and_other_things(files: Workspaces) -> None:
    _write(files, "a", b"x" * 100)
    _write(files, "b", b"x" * 100)
    assert _code(_write, files, "c", b"x" * 51) == "StorageQuotaExceeded"
    _write(files, "c", b"x" * 50)
    assert _code(_write, files, "d", b"x") == "StorageQuotaExceeded"
    files.delete("anna", "a")
    assert _code(_write, files, "d", b"x" * 60, "anna", 50) == "StorageQuotaExceeded"
    _write(files, "d", b"x" * 60, others=40)
    _write(files, "d", b"x" * 100, "ben")


def test_the_quota_holds_for_uploads_at_once(files: Workspaces) -> None:
    gate = threading.Barrier(4)

    class Waiting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            block = super().read(size)
            if not block:  # all have passed the first look at the quota, and sent everything
                gate.wait(20)
            return block

    def upload(name: str) -> None:
        try:
            files.write("anna", name, Waiting(b"x" * 100))
        except OpenEOError as error:
            codes.append(error.code)

    codes: list[str] = []
    threads = [threading.Thread(target=upload, args=(f"f{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["StorageQuotaExceeded"] * 2
    assert files.used("anna") == 200


def test_a_broken_upload_changes_nothing(files: Workspaces, tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    _write(files, "a.txt", b"old")
    with pytest.raises(ConnectionResetError):
        files.write("anna", "a.txt", Broken())
    assert _read(files, "a.txt") == b"old"
    assert _left(tmp_path) == ["a.txt", "user-anna"]


def test_what_killed_uploads_left_is_forgotten_after_a_day(files: Workspaces, tmp_path: Path) -> None:
    _write(files, "a.txt")
    left = [tmp_path / "files" / "user-anna" / f"{PARTIAL}{name}" for name in ("old", "young")]
    for path in left:
        path.write_text("x")
    os.utime(left[0], (time.time() - ABANDONED - 10,) * 2)
    _write(files, "b.txt")
    assert [path.exists() for path in left] == [False, True]
    assert [file.path for file in files.of("anna")] == ["a.txt", "b.txt"]
