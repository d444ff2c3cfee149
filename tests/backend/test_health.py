"""`/health` says that the process lives, `/ready` that it can compute, or what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from backend.app import create_app
from backend.context import Services
from tests.backend.fakes import FakeCluster, settings_in


def _ask(folder: Path, services: Services, path: str, **flags: Any) -> tuple[int, dict[str, Any]]:
    answer = create_app(settings_in(folder, **flags), services).test_client().get(path)
    return answer.status_code, answer.json


def test_all_is_well(tmp_path: Path, services: Services) -> None:
    assert _ask(tmp_path, services, "/health") == (200, {"status": "ok"})
    assert _ask(tmp_path, services, "/ready", disk_bytes=0) == (200, {"status": "ready", "workers": 1})


@pytest.mark.parametrize(("alive", "words"), [(0, "no Dask worker"), (None, "scheduler")])
def test_without_workers_it_lives_and_is_not_ready(
    tmp_path: Path, services: Services, alive: int | None, words: str
) -> None:
    services = replace(services, cluster=FakeCluster(alive=alive))
    assert _ask(tmp_path, services, "/health")[0] == 200
    status, told = _ask(tmp_path, services, "/ready", disk_bytes=0)
    assert (status, told["status"]) == (503, "unavailable")
    (missing,) = told["missing"]
    assert words in missing


def test_everything_that_is_missing_is_listed(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> bool:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(services.jobs, "any_waiting", broken)
    services = replace(services, cluster=FakeCluster(alive=0))
    status, told = _ask(tmp_path, services, "/ready", disk_bytes=1 << 60)
    assert status == 503
    assert [next(word for word in ("worker", "database", "disk") if word in text) for text in told["missing"]] == [
        "worker",
        "database",
        "disk",
    ]
    assert "gone" not in str(told)
