"""The contract of `ResultStorage`; each kind of storage gets a row in `STORAGES`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.jobs.storage import ABANDONED, LocalStorage, ResultStorage
from tests.backend.conftest import Clock

STORAGES: dict[str, Callable[[Path, Clock], ResultStorage]] = {"local": LocalStorage}


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> ResultStorage:
    return STORAGES[request.param](tmp_path / "results", clock)


def _publish(storage: ResultStorage, job: str, folder: str, **files: str) -> None:
    with storage.draft(job) as draft:
        for name, content in files.items():
            (draft / f"{name}.txt").write_text(content)
        storage.publish(draft, job, folder)


def _read(storage: ResultStorage, job: str, folder: str, name: str) -> str | None:
    path = storage.locate(job, folder, name)
    return path.read_text() if path else None


def test_nothing_is_there_before_all_is(storage: ResultStorage) -> None:
    with storage.draft("job") as draft:
        (draft / "a.txt").write_text("a")
        assert storage.locate("job", "1-1", "a.txt") is None
        storage.publish(draft, "job", "1-1")
        assert _read(storage, "job", "1-1", "a.txt") == "a"
    assert _read(storage, "job", "1-1", "a.txt") == "a"
    assert storage.locate("job", "1-1", "b.txt") is None
    assert storage.locate("job", "1-2", "a.txt") is None
    assert storage.locate("other", "1-1", "a.txt") is None


def test_what_is_not_published_is_gone(storage: ResultStorage, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), storage.draft("job") as draft:
        (draft / "a.txt").write_text(str(1 // 0))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_publishing_again_replaces_all_files(storage: ResultStorage) -> None:
    _publish(storage, "job", "1-1", a="old", b="old")
    _publish(storage, "job", "1-1", a="new")
    assert _read(storage, "job", "1-1", "a.txt") == "new"
    assert storage.locate("job", "1-1", "b.txt") is None


def test_removing(storage: ResultStorage) -> None:
    for job, folder in (("job", "1-1"), ("job", "2-1"), ("other", "1-1")):
        _publish(storage, job, folder, a="a")
    storage.remove("job", keep="2-1")
    assert storage.locate("job", "1-1", "a.txt") is None
    assert _read(storage, "job", "2-1", "a.txt") == "a"
    storage.remove("job")
    storage.remove("never")
    assert storage.locate("job", "2-1", "a.txt") is None
    assert _read(storage, "other", "1-1", "a.txt") == "a"


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "", ".hidden", "a\0b"])
def test_names_that_lead_elsewhere(storage: ResultStorage, name: str) -> None:
    for place in ((name, "1-1", "a"), ("job", name, "a"), ("job", "1-1", name)):
        with pytest.raises(ValueError, match="no name"):
            storage.locate(*place)


def test_links_are_not_followed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "results")
    _publish(storage, "job", "1-1", a="a")
    (tmp_path / "secret").write_text("s")
    (tmp_path / "results" / "job" / "1-1" / "link.txt").symlink_to(tmp_path / "secret")
    assert storage.locate("job", "1-1", "link.txt") is None


def test_sweeping_removes_abandoned_drafts_alone(storage: ResultStorage, clock: Clock) -> None:
    storage.sweep()
    _publish(storage, "kept", "1-1", a="a")
    with storage.draft("kept") as old, storage.draft("kept") as young:
        os.utime(old, (clock.now - ABANDONED - 1,) * 2)
        os.utime(young, (clock.now,) * 2)
        storage.sweep()
        assert not old.exists()
        assert young.exists()
    assert _read(storage, "kept", "1-1", "a.txt") == "a"
