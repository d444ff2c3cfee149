"""PostgreSQL goes away while a job runs: no job is lost, none has two results, and users are told what is wrong.

What a locked SQLite file does is in the tests of jobs.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import openeo
import psutil
import pytest
import requests

from tests.api.faults import Proxy
from tests.api.test_client import _load, _standing_still
from tests.api.test_jobs_survive import _connect, _data_folder, _finished, _results, _running_job
from tests.backend.databases import postgres_binaries, postgres_server
from tests.backend.server import Server, serving, until

# Longer than the outages.
LONG = "30"
OUTAGE = 4.0


@dataclass
class Postgres:
    """A server on PostgreSQL behind a proxy."""

    server: Server
    proxy: Proxy
    socket: Path

    def restart(self) -> None:
        """Kill PostgreSQL as a crash would, and have it recover."""
        data = self.socket / "data"
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, 20)
        time.sleep(OUTAGE)
        binaries = postgres_binaries()
        assert binaries is not None
        options = f"-k {self.socket} -c listen_addresses='' -c fsync=off"
        line = [str(binaries / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(self.socket / "log"), "-w", "start"]
        user = self.socket.stat().st_uid
        subprocess.run(line, check=True, user=user, cwd=self.socket, stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="module")
def postgres(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """PostgreSQL, a proxy before it, and a server with one runner; skips where there is no PostgreSQL."""
    folder = _data_folder(data, tmp_path_factory.mktemp("lost"))
    with postgres_server() as url:
        place = Path(parse_qs(urlsplit(url).query)["host"][0])
        proxy = Proxy(lambda: _to_socket(place / ".s.PGSQL.5432"))
        address = f"postgresql://openeo@127.0.0.1:{proxy.port}/postgres"
        settings = {"OPENEO_EMBED_RUNNERS": "1", "OPENEO_EMBED_JOB_LEASE": LONG, "OPENEO_EMBED_DATABASE": address}
        with serving(folder, "--demo-user", **settings) as server:
            yield Postgres(server, proxy, place)
        proxy.close()


def _to_socket(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _told(server: Server) -> tuple[int, str]:
    """Return status and code of an answer that needs the database."""
    answer = requests.get(server.url + "jobs", headers={"Authorization": "Bearer x"}, timeout=60)
    return answer.status_code, answer.json()["code"]


def _attempts(job: openeo.BatchJob) -> list[str]:
    return [entry["message"] for entry in job.logs() if "attempt" in entry["message"]]


@pytest.mark.parametrize("fault", ["cut", "crash"])
def test_postgres_comes_back_within_the_lease(postgres: Postgres, fault: str) -> None:
    """The job is computed once: what it has to report waits for the database."""
    server = postgres.server
    with contextlib.ExitStack() as away:
        with _standing_still(server):
            job = _running_job(server)
            if fault == "cut":
                away.enter_context(postgres.proxy.cut())
        if fault == "cut":
            assert _told(server) == (503, "InfrastructureBusy")
            time.sleep(OUTAGE)
        else:
            postgres.restart()
    until(lambda: _finished(job), 60)
    assert len(_attempts(job)) == 1, job.logs()
    assert _results(server, job) == ["1-1"]
    assert job.logs()[-1]["message"].startswith("Finished")
    assert "Traceback" not in server.log.read_text()


def test_postgres_says_nothing_for_a_while(postgres: Postgres) -> None:
    """Connections that hang and then break."""
    server = postgres.server
    with postgres.proxy.frozen(), _standing_still(server):
        time.sleep(OUTAGE)
    job = _load(_connect(server), ["B04"]).create_job(out_format="GTiff")
    with contextlib.ExitStack() as hanging:
        with _standing_still(server):
            job.start()
            until(lambda: any("To be done" in entry["message"] for entry in job.logs()))
            hanging.enter_context(postgres.proxy.frozen())
        time.sleep(OUTAGE)
    until(lambda: _finished(job), 60)
    assert len(_attempts(job)) == 1, job.logs()
    assert _results(server, job) == ["1-1"]
