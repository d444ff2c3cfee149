"""Results are deleted when they have been kept for as long as the operator wants to."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from backend.context import Services
from backend.jobs.model import Draft, Job
from backend.jobs.runner import Runner
from backend.jobs.states import AT_REST, CREATED, ERROR, FINISHED, STATUSES, Expire, Refused, move
from backend.jobs.work import Worker
from tests.backend.conftest import User
from tests.backend.fakes import graph, settings_in
from tests.backend.jobs.test_states import state

DAY = 86_400.0


def _finished(services: Services, folder: Path) -> Job:
    job = services.jobs.create("anna", Draft(graph("number")["process"]))
    services.jobs.start("anna", job.id)
    claimed = services.jobs.claim("runner", 30)
    assert claimed is not None
    Worker(settings_in(folder), services, threading.Event()).work(claimed)
    return services.jobs.get("anna", job.id)


@pytest.mark.parametrize("status", STATUSES)
def test_only_results_of_jobs_at_rest_expire(status: str) -> None:
    with pytest.raises(Refused):
        move(state(status), Expire(1.0), 3)
    if status not in AT_REST:
        with pytest.raises(Refused):
            move(state(status, has_results=True), Expire(1.0), 3)
    elif status != CREATED:
        after = move(state(status, has_results=True, ended=5.0, progress=100.0), Expire(1.0), 3)
        assert after.status == (ERROR if status == ERROR else CREATED)
        assert not after.has_results
        assert after.run == 1  # the next run has files of its own


def test_old_results_are_deleted_and_the_job_can_be_started_again(
    services: Services, tmp_path: Path, anna: User
) -> None:
    job = _finished(services, tmp_path)
    href = anna.get(f"/jobs/{job.id}/results").json["assets"]["result.json"]["href"]
    files = lambda: [path for path in (tmp_path / "results" / job.id).rglob("*") if path.is_file()]  # noqa: E731
    assert files()
    assert services.jobs.expire(time.time() - DAY) == []
    runner = Runner(settings_in(tmp_path, result_days=1e-9), "tcp://127.0.0.1:1", threading.Event())
    runner._sweep()
    assert not files()
    assert anna.get(f"/jobs/{job.id}").json["status"] == "created"
    assert anna.get(f"/jobs/{job.id}/results").json["code"] == "JobNotStarted"
    assert anna.get(href).status_code == 404
    assert services.jobs.result_bytes("anna") == 0
    assert "kept for 1e-09 days" in anna.get(f"/jobs/{job.id}/logs").json["logs"][-1]["message"]
    assert anna.post(f"/jobs/{job.id}/results").status_code == 202


def test_results_are_kept_unless_the_operator_says_otherwise(services: Services, tmp_path: Path) -> None:
    job = _finished(services, tmp_path)
    Runner(settings_in(tmp_path), "tcp://127.0.0.1:1", threading.Event())._sweep()
    assert services.jobs.get("anna", job.id).state.status == FINISHED
