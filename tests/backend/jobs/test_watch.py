"""The watch beside a job: whatever one of its looks fails at, all go on."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from backend.jobs.model import Job
from backend.jobs.watch import JobRun, Watch
from backend.sync.seam import Cluster, Progress
from processes.errors import OpenEOError
from tests.backend.server import until


class _Job:
    id, user = "a-job", "anna"


class _Cluster:
    """Its workers are not there at first."""

    def __init__(self) -> None:
        self.asked = 0

    def memory(self) -> int:
        self.asked += 1
        if self.asked < 3:
            raise ConnectionError("no workers")
        return 7

    def progress(self, user: str, kind: str) -> list[Progress]:
        return []


def test_a_look_that_fails_ends_none(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("backend.jobs.watch.SECONDS", 0.01)
    monkeypatch.setattr("backend.jobs.watch.resident", lambda: 2**30)
    run = JobRun(cast(Job, _Job()), memory_limit=2**29)
    heard: list[int] = []

    def hear() -> None:
        heard.append(run.runner_memory)
        if len(heard) < 4:
            raise KeyError("level")

    with caplog.at_level(logging.ERROR, "backend.jobs"), Watch(run, cast(Cluster, _Cluster()), look_too=hear):
        until(lambda: len(heard) > 5)
    assert heard[0] == 2**30  # measured first
    assert run.worker_memory == 7
    with pytest.raises(OpenEOError, match="1024 MiB of memory in its runner"):
        run.check()
    said = sorted(record.getMessage() for record in caplog.records)
    assert said == [f"job a-job: a look at {name} failed; it goes on" for name in ("the cluster", "what was said")]
    assert "KeyError: 'level'" in caplog.text
