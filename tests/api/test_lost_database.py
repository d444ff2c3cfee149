"""PostgreSQL goes away while a job runs: no job is lost, none has two results, and users are told what is wrong.

What a locked SQLite file does is in the tests of jobs.
"""

from __future__ import annotations

import contextlib
import time

import openeo
import pytest
import requests

from tests.api.proxied import OUTAGE, Proxied
from tests.api.test_client import _load, _standing_still
from tests.api.test_jobs_survive import _connect, _finished, _results, _running_job
from tests.backend.server import Server, until


def _told(server: Server) -> tuple[int, str]:
    """Return status and code of an answer that needs the database."""
    answer = requests.get(server.url + "jobs", headers={"Authorization": "Bearer x"}, timeout=60)
    return answer.status_code, answer.json()["code"]


def _attempts(job: openeo.BatchJob) -> list[str]:
    return [entry["message"] for entry in job.logs() if "attempt" in entry["message"]]


@pytest.mark.parametrize("fault", ["cut", "crash"])
def test_postgres_comes_back_within_the_lease(proxied: Proxied, fault: str) -> None:
    """The job is computed once: what it has to report waits for the database."""
    server = proxied.server
    with contextlib.ExitStack() as away:
        with _standing_still(server):
            job = _running_job(server)
            if fault == "cut":
                away.enter_context(proxied.proxy.cut())
        if fault == "cut":
            assert _told(server) == (503, "InfrastructureBusy")
            time.sleep(OUTAGE)
        else:
            proxied.restart()
    until(lambda: _finished(job), 60)
    assert len(_attempts(job)) == 1, job.logs()
    assert _results(server, job) == ["1-1"]
    assert job.logs()[-1]["message"].startswith("Finished")
    assert "Traceback" not in server.log.read_text()


def test_postgres_says_nothing_for_a_while(proxied: Proxied) -> None:
    """Connections that hang and then break."""
    server = proxied.server
    with proxied.proxy.frozen(), _standing_still(server):
        time.sleep(OUTAGE)
    job = _load(_connect(server), ["B04"]).create_job(out_format="GTiff")
    with contextlib.ExitStack() as hanging:
        with _standing_still(server):
            job.start()
            until(lambda: any("To be done" in entry["message"] for entry in job.logs()))
            hanging.enter_context(proxied.proxy.frozen())
        time.sleep(OUTAGE)
    until(lambda: _finished(job), 60)
    assert len(_attempts(job)) == 1, job.logs()
    assert _results(server, job) == ["1-1"]
