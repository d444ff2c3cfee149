"""Jobs whose database, cluster or runner was away: computed once, or tried again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from backend.context import Services
from backend.jobs.states import Fail, Produce
from processes.environment import Environment
from tests.backend.jobs.bench import LEASE, Away, Bench, process_of


class Outage:
    """Makes methods of a store fail as they do without a database, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Any, times: int, *names: str) -> None:
        self.left = times
        for name in names:
            monkeypatch.setattr(store, name, self._failing(getattr(store, name)))

    def _failing(self, method: Any) -> Any:
        def attempt(*args: Any, **kwargs: Any) -> Any:
            if self.left > 0:
                self.left -= 1
                raise OperationalError("UPDATE jobs", {}, Exception("the server closed the connection"))
            return method(*args, **kwargs)

        return attempt


def test_a_job_outlives_outages_of_the_database(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log and its end are written as soon as they can be; it is computed once."""
    job = bench.claim(process_of("number"))
    outage = Outage(monkeypatch, bench.services.jobs, 6, "report", "log", "result_bytes")
    bench.worker.work(job)
    assert outage.left == 0
    done = bench.services.jobs.get("anna", job.id)
    assert (done.state.status, done.state.attempts) == ("finished", 1)
    told = bench.log(done)
    assert "attempt 1" in told[0]
    assert told[-1].startswith("Finished")


def test_an_outage_while_a_job_is_prepared_is_no_failure_of_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(env: Environment) -> Any:
        raise OperationalError("SELECT", {}, Exception("gone"))

    bench.services.graphs.values["lost"] = lost  # type: ignore[attr-defined]
    job = bench.work(process_of("lost"))
    assert (job.state.status, job.state.attempts) == ("queued", 1)
    (entry,) = bench.services.jobs.entries(job.id, "warning")
    assert (entry.code, "database" in entry.message) == ("InfrastructureBusy", True)


def test_jobs_are_tried_again_when_the_cluster_went_away(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, cluster=Away()), tmp_path)
    job = bench.work(process_of("load"))
    for attempt in (2, 3):
        assert job.state.status == "queued"
        again = services.jobs.claim("runner", LEASE)
        assert again is not None
        assert again.state.attempts == attempt
        bench.worker.work(again)
        job = services.jobs.get("anna", job.id)
    assert job.state.status == "error"
    assert [entry.level for entry in services.jobs.entries(job.id, "warning")] == ["warning", "warning", "error"]


def test_a_job_whose_runner_died_after_publishing_is_only_ended(bench: Bench) -> None:
    job = bench.claim(process_of("number"))
    results = {"folder": "1-1", "assets": {}, "bbox": None, "interval": None}
    bench.services.jobs.report(job.id, Produce("runner", 1.0), results=results)
    bench.services.jobs.report(job.id, Fail("runner", 2.0, retry=True))
    again = bench.services.jobs.claim("other", LEASE)
    assert again is not None
    bench.worker.work(again)
    assert bench.services.jobs.get("anna", job.id).state.status == "finished"
    assert bench.services.cluster.asked == []  # type: ignore[attr-defined]
