"""One job computed by a worker: what it leaves when all goes well, and when something does not."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import pytest
import rasterio
import xarray as xr
from sqlalchemy.exc import OperationalError

from backend.context import Services
from backend.files import Workspaces
from backend.jobs.lease import Lease
from backend.jobs.model import Draft, Job
from backend.jobs.states import Fail, JobState, LeaseLost, Produce
from backend.jobs.states import Lease as Held
from backend.jobs.work import Worker
from processes.environment import Environment
from processes.errors import OpenEOError
from tests.backend.fakes import FakeCluster, graph, settings_in
from tests.backend.server import until

LEASE = 6.0


class Bench:
    """A worker on fake services, and the jobs that it is given."""

    def __init__(self, services: Services, folder: Path, **flags: Any) -> None:
        self.services = services
        self.stopping = threading.Event()
        flags = {"job_lease": LEASE, **flags}
        self.worker = Worker(settings_in(folder, **flags), services, self.stopping)

    def claim(self, process: dict[str, Any], log_level: str = "info") -> Job:
        jobs = self.services.jobs
        jobs.start("anna", jobs.create("anna", Draft(process, log_level=log_level)).id)
        job = jobs.claim("runner", LEASE)
        assert job is not None
        return job

    def work(self, process: dict[str, Any], log_level: str = "info") -> Job:
        job = self.claim(process, log_level)
        self.worker.work(job)
        return self.services.jobs.get("anna", job.id)

    def log(self, job: Job, level: str = "debug") -> list[str]:
        return [entry.message for entry in self.services.jobs.entries(job.id, level)]

    def file(self, job: Job) -> Path | None:
        assert job.results is not None
        (name,) = job.results["assets"]
        return self.services.results.locate(job.id, job.results["folder"], name)

    def files(self) -> list[Path]:
        folder = self.worker._settings.results_folder
        return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def bench(services: Services, tmp_path: Path) -> Bench:
    return Bench(services, tmp_path)


def _process(name: str, **arguments: Any) -> dict[str, Any]:
    return dict(graph(name, **arguments)["process"])


def test_a_job_leaves_its_result_log_and_usage(bench: Bench) -> None:
    job = bench.work(_process("save", format="GTiff", times=1))
    assert (job.state.status, job.state.progress, job.state.attempts) == ("finished", 100.0, 1)
    with rasterio.open(bench.file(job)) as file:
        assert file.descriptions == ("B04", "B08")
    assert job.usage is not None
    assert job.usage["tasks"]["value"] > 0
    assert job.usage["max_worker_memory"] == {"value": 123, "unit": "mb"}
    assert job.usage["max_runner_memory"]["value"] > 0
    assert bench.services.jobs.result_bytes("anna") == bench.file(job).stat().st_size  # type: ignore[union-attr]
    told = bench.log(job)
    assert "attempt 1" in told[0]
    assert told[-1].startswith("Finished: ")
    assert bench.services.jobs.entries(job.id)[-1].more["usage"] == job.usage


def test_a_job_computes_what_a_request_computes(bench: Bench) -> None:
    job = bench.work(_process("number"))
    path = bench.file(job)
    assert path is not None
    assert path.read_text() == "4.5"


def test_what_processes_say_is_in_the_log_even_of_a_job_that_fails(bench: Bench) -> None:
    def talk(env: Environment, fail: bool) -> Any:
        for level in ("debug", "info", "error"):
            odd = {"level": level, "code": "User", "message": level, "data": {"nan": float("nan")}}
            env.ledger.messages.append(odd)
        return 1 / (not fail)

    bench.services.graphs.values["talk"] = talk  # type: ignore[attr-defined]
    for fail in (False, True):
        job = bench.work(_process("talk", fail=fail))
        assert job.state.status == ("error" if fail else "finished")
        said = [entry for entry in bench.services.jobs.entries(job.id) if entry.code == "User"]
        assert [entry.level for entry in said] == ["info", "error"]
        assert said[0].more == {"data": {"nan": None}}


def test_what_is_said_is_in_the_log_while_the_job_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both what the runner hears and what only the scheduler knows; nothing is lost or told twice."""
    monkeypatch.setattr("backend.jobs.watch.SECONDS", 0.02)
    notes = [[{"level": "warning", "message": "tiles"}]]
    monkeypatch.setattr(FakeCluster, "notes", lambda self, asked: notes.pop() if notes else [])

    def talk(env: Environment) -> Any:
        env.ledger.say({"level": "info", "message": "begun", "code": "Mine"})
        until(lambda: {"begun", "tiles"} <= {*bench.log(job)})
        env.ledger.say({"level": "info", "message": "seen", "code": "Mine"})
        return 1

    bench.services.graphs.values["talk"] = talk  # type: ignore[attr-defined]
    job = bench.claim(_process("talk"))
    bench.worker.work(job)
    said = bench.log(job)
    assert [text for text in said if text in ("begun", "tiles", "seen")] in (
        ["begun", "tiles", "seen"],
        ["tiles", "begun", "seen"],
    )


def test_what_no_database_takes_is_replaced_in_the_log(bench: Bench) -> None:
    odd = "a\0b\ud800"

    def talk(env: Environment) -> Any:
        env.ledger.say({"level": "info", "message": odd, "code": odd, "data": {odd: odd}})
        return 1

    bench.services.graphs.values["talk"] = talk  # type: ignore[attr-defined]
    job = bench.work(_process("talk"))
    assert job.state.status == "finished"
    (entry,) = [entry for entry in bench.services.jobs.entries(job.id) if entry.more.get("data")]
    assert entry.message == entry.code == "a�b?"


def test_the_log_level_of_a_job_is_kept(bench: Bench) -> None:
    job = bench.work(_process("save", format="GTiff"), "error")
    assert (job.state.status, bench.log(job)) == ("finished", [])


def test_errors_of_the_user_are_told(bench: Bench) -> None:
    job = bench.work(_process("save", format="PNG"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "FormatUnsuitable")
    assert job.results is None
    assert bench.files() == []


def test_defects_show_only_their_id(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    job = bench.work(_process("boom"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "Internal")
    assert "secret" not in entry.message
    identifier = entry.message.rstrip(".").split()[-1]
    assert f"(id {identifier})" in caplog.text
    assert "a secret of the server" in caplog.text


def test_a_full_disk_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bench.services.results, "publish", full)
    job = bench.work(_process("number"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "StorageFailure")
    assert bench.files() == []


def test_too_large_a_result_is_refused_before_it_is_computed(services: Services, tmp_path: Path) -> None:
    """Of formats that are put together in memory; others write what is read from a file."""
    bench = Bench(services, tmp_path, job_result_bytes=100)
    job = bench.work(_process("save", format="JSON"))
    assert job.state.status == "error"
    assert "as JSON" in bench.log(job, "error")[0]
    assert "a batch job may have 100 bytes (OPENEO_EMBED_JOB_RESULT_BYTES)" in bench.log(job, "error")[0]
    assert services.cluster.asked == []  # type: ignore[attr-defined]
    assert bench.work(_process("save", format="GTiff")).state.status == "finished"


def test_results_count_for_the_quota(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, files=Workspaces(tmp_path / "files", 10_000, quota=10)), tmp_path)
    job = bench.work(_process("save", format="GTiff"))
    assert (job.state.status, bench.files()) == ("error", [])
    assert bench.services.jobs.entries(job.id, "error")[0].code == "StorageQuotaExceeded"


class Slow(FakeCluster):
    """A cluster that computes until it is told to stop."""

    def compute(self, asked: Any, value: Any, deadline: Any, nodes: Any = None) -> Any:
        self.asked.append(asked)
        while True:
            deadline.check()
            threading.Event().wait(0.02)


class Away(FakeCluster):
    """A cluster that is gone when it is needed."""

    def compute(self, asked: Any, value: Any, deadline: Any, nodes: Any = None) -> Any:
        raise OpenEOError("InfrastructureBusy", "away")


@pytest.fixture
def slow(services: Services, tmp_path: Path) -> Iterator[tuple[Bench, Job, threading.Thread]]:
    """A job that is being computed and does not end."""
    bench = Bench(replace(services, cluster=Slow()), tmp_path)
    job = bench.claim(_process("load"))
    thread = threading.Thread(target=bench.worker.work, args=(job,))
    thread.start()
    until(lambda: bench.services.cluster.asked)  # type: ignore[attr-defined]
    yield bench, job, thread
    bench.stopping.set()
    thread.join()


@pytest.mark.parametrize("deed", ["cancel", "delete"])
def test_canceling_and_deleting_stop_the_computation(slow: tuple[Bench, Job, threading.Thread], deed: str) -> None:
    bench, job, thread = slow
    getattr(bench.services.jobs, deed)("anna", job.id)
    thread.join(20)
    assert not thread.is_alive()
    found = bench.services.jobs.find(job.id)
    assert (found and found.state.status) == ("created" if deed == "cancel" else None)


def test_a_runner_that_is_stopped_gives_its_job_back(slow: tuple[Bench, Job, threading.Thread]) -> None:
    bench, job, thread = slow
    bench.stopping.set()
    thread.join(20)
    waiting = bench.services.jobs.get("anna", job.id)
    assert (waiting.state.status, waiting.state.attempts) == ("queued", 0)
    assert bench.services.jobs.claim("next", LEASE) is not None


def test_a_lease_is_kept_up_while_the_job_runs(slow: tuple[Bench, Job, threading.Thread]) -> None:
    bench, job, _ = slow
    before = job.state.lease
    assert before is not None

    def extended() -> bool:
        lease = bench.services.jobs.get("anna", job.id).state.lease
        return lease is not None and lease.until > before.until + 1

    until(extended)
    assert bench.services.jobs.take_back() == []


def test_a_job_that_takes_too_long_fails(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, cluster=Slow()), tmp_path, job_seconds=1)
    job = bench.work(_process("load"))
    assert job.state.status == "error"
    assert bench.services.jobs.entries(job.id, "error")[0].code == "RequestTimeout"


def test_a_job_whose_runner_outgrows_its_memory_fails(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, cluster=Slow()), tmp_path)
    bench.worker._settings = replace(bench.worker._settings, job_memory_bytes=2**20)
    job = bench.work(_process("load"))
    (entry,) = bench.services.jobs.entries(job.id, "error")
    assert (job.state.status, entry.code) == ("error", "ProcessGraphComplexity")
    assert "may have 1 MiB (OPENEO_EMBED_JOB_MEMORY_BYTES)" in entry.message


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
    job = bench.claim(_process("number"))
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
    job = bench.work(_process("lost"))
    assert (job.state.status, job.state.attempts) == ("queued", 1)
    (entry,) = bench.services.jobs.entries(job.id, "warning")
    assert (entry.code, "database" in entry.message) == ("InfrastructureBusy", True)


def test_a_lease_that_cannot_be_kept_up_is_lost_at_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the thread that keeps it up hangs: another runner may have the job by then."""
    job = bench.claim(_process("load"))
    monkeypatch.setattr(bench.services.jobs, "report", lambda *_: threading.Event().wait(5))
    lease = Lease(bench.services.jobs, job, 0.4, 100.0, lambda: 0.0, lambda: None, threading.Event(), lambda: None)
    with lease:
        lease.check()
        time.sleep(0.6)
        with pytest.raises(LeaseLost):
            lease.check()


def test_jobs_are_tried_again_when_the_cluster_went_away(services: Services, tmp_path: Path) -> None:
    bench = Bench(replace(services, cluster=Away()), tmp_path)
    job = bench.work(_process("load"))
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
    job = bench.claim(_process("number"))
    results = {"folder": "1-1", "assets": {}, "bbox": None, "interval": None}
    bench.services.jobs.report(job.id, Produce("runner", 1.0), results=results)
    bench.services.jobs.report(job.id, Fail("runner", 2.0, retry=True))
    again = bench.services.jobs.claim("other", LEASE)
    assert again is not None
    bench.worker.work(again)
    assert bench.services.jobs.get("anna", job.id).state.status == "finished"
    assert bench.services.cluster.asked == []  # type: ignore[attr-defined]


def test_a_runner_that_lost_its_job_while_it_wrote_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.claim(_process("save", format="GTiff"))
    publish = bench.services.results.publish

    def late(*place: Any) -> None:
        publish(*place)
        bench.services.jobs.cancel("anna", job.id)

    monkeypatch.setattr(bench.services.results, "publish", late)
    bench.worker.work(job)
    assert bench.services.jobs.get("anna", job.id).state.status == "created"
    assert bench.files() == []


def test_each_run_begins_with_no_files(bench: Bench) -> None:
    job = bench.work(_process("save", format="GTiff"))
    bench.services.jobs.start("anna", job.id)
    again = bench.services.jobs.claim("runner", LEASE)
    assert again is not None
    bench.worker.work(again)
    (file,) = bench.files()
    assert file.parent.name == "2-1"


def test_work_that_does_not_stop_is_ended_with_its_process(services: Services) -> None:
    """`abort` is what a runner does to itself then; its supervisor starts the next one."""
    aborted = threading.Event()
    state = JobState("running", 1, 1, lease=Held("runner", 1.0))
    gone = Job("f" * 32, "anna", Draft({}), 0.0, 0.0, state)
    lease = Lease(services.jobs, gone, 0.2, 100.0, lambda: 0.0, lambda: None, threading.Event(), aborted.set, grace=0.2)
    with lease:
        assert aborted.wait(20)
        with pytest.raises(LeaseLost):
            lease.check()


def test_stuck_work_whose_time_is_up_is_not_tried_again(bench: Bench) -> None:
    aborted = threading.Event()
    job = bench.claim(_process("load"))
    lease = Lease(
        bench.services.jobs, job, 1.0, 0.1, lambda: 0.0, lambda: None, threading.Event(), aborted.set, grace=0.2
    )
    with lease:
        assert aborted.wait(20)
    assert bench.services.jobs.get("anna", job.id).state.status == "error"
    assert bench.services.jobs.entries(job.id, "error")[0].code == "RequestTimeout"


def test_the_cluster_learns_whose_job_it_computes(bench: Bench) -> None:
    bench.work(_process("load"))
    (asked,) = bench.services.cluster.asked  # type: ignore[attr-defined]
    assert (asked.user, asked.kind) == ("anna", "job")


def test_cubes_are_not_computed_twice(bench: Bench) -> None:
    counted = []

    def count(block: Any) -> Any:
        counted.append(block.shape)
        return block

    def counting(env: Environment) -> Any:
        data = da.ones((2, 4), chunks=(2, 2)).map_blocks(count, meta=da.ones((1, 1), chunks=1)._meta)
        coords = {"y": [10.0, 0.0], "x": [0.0, 10.0, 20.0, 30.0]}
        return xr.DataArray(data, dims=("y", "x"), coords=coords).rio.write_crs(32631)

    bench.services.graphs.values["counting"] = counting  # type: ignore[attr-defined]
    job = bench.work(_process("counting"))
    assert job.state.status == "finished"
    assert counted == [(2, 2), (2, 2)]
