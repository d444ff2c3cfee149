"""The Dask cluster as web processes use it, on a real scheduler and worker within this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import LocalCluster
from distributed.scheduler import KilledWorker

from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.failures import of_task
from backend.sync.plugin import RequestsPlugin
from backend.sync.request import SyncRequest
from processes.errors import OpenEOError
from tests.backend.clusters import QUIET
from udf import InputError
from udf.cluster import CALLS

SOON = 15.0


def asked(identifier: str, user: str = "anna") -> SyncRequest:
    return SyncRequest(identifier, user, {})


def until(condition: Callable[[], Any]) -> Any:
    """Return the first true value of `condition`."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    return pytest.fail("what was waited for did not come")


def counting(path: Path, blocks: int, seconds: float = 0.0) -> xr.DataArray:
    """Return a lazy cube that adds a line to `path` for every block computed."""

    def block(x: np.ndarray, block_id: Any = None) -> np.ndarray:
        time.sleep(seconds)
        with path.open("a") as file:
            file.write(f"{block_id}\n")
        return x

    data = da.ones((blocks, 4), chunks=(1, 4)).map_blocks(
        block, dtype=float, meta=np.empty((0, 0)), name=f"counting-{path}"
    )
    return xr.DataArray(data, dims=("t", "x"))


def run_aside(function: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run a function in a thread; its value or its failure comes into the list."""
    outcome: list[Any] = []

    def target() -> None:
        try:
            outcome.append(function())
        except OpenEOError as error:
            outcome.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    return thread, outcome


def test_shared_parts_are_computed_once(cluster: DaskCluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    data = counting(log, 5)
    value = {"mean": data.mean("t"), "count": [data.count("t"), 7]}
    computed = cluster.compute(asked("once"), value, Deadline(60))
    assert computed["mean"].values.tolist() == [1, 1, 1, 1]
    assert computed["count"][0].values.tolist() == [5, 5, 5, 5]
    assert computed["count"][1] == 7
    assert len(log.read_text().splitlines()) == 5


def test_values_in_memory_need_no_cluster() -> None:
    assert DaskCluster("tcp://127.0.0.1:1").compute(asked("x"), [1, "a"], Deadline(1)) == [1, "a"]


def test_progress_counts_the_tasks_of_ones_own(cluster: DaskCluster, tmp_path: Path) -> None:
    data = counting(tmp_path / "log", 8, 0.2)
    thread, _ = run_aside(lambda: cluster.compute(asked("mine"), data, Deadline(60)))

    def own() -> Any:
        return next((item for item in cluster.progress("anna") if item.id == "mine"), None)

    first = until(lambda: (item := own()) and item.total == 8 and item)
    assert cluster.progress("ben") == []
    other_process = DaskCluster(cluster._address)
    half = until(lambda: next((i for i in other_process.progress("anna") if 4 <= i.done < i.total), None))
    other_process.close()
    assert half.total == first.total
    assert 0 < half.to_dict()["percent"] < 100
    thread.join()
    assert own() is None


def test_jobs_and_requests_are_told_apart(cluster: DaskCluster, tmp_path: Path) -> None:
    job = SyncRequest("job", "anna", {}, kind="job")
    data = counting(tmp_path / "log", 8, 0.2)
    thread, _ = run_aside(lambda: cluster.compute(job, data, Deadline(60)))
    until(lambda: [item for item in cluster.progress("anna", "job") if item.total])
    assert cluster.progress("anna") == []
    assert cluster.memory() > 2**20
    thread.join()
    assert DaskCluster("tcp://127.0.0.1:1").memory() == 0


class Halted(Exception):
    """What a stopper raises that has its own reasons."""


def test_whatever_a_stopper_raises_ends_the_computation(
    cluster: DaskCluster, local: LocalCluster, tmp_path: Path
) -> None:
    class Stopper:
        def check(self) -> None:
            raise Halted

    with pytest.raises(Halted):
        cluster.compute(asked("halted"), counting(tmp_path / "log", 50, 0.1), Stopper())
    until(lambda: not local.scheduler.tasks)


def test_a_timeout_drops_the_tasks(cluster: DaskCluster, local: LocalCluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    data = counting(log, 100, 0.1)
    with pytest.raises(OpenEOError) as stopped:
        cluster.compute(asked("late"), data, Deadline(0.5))
    assert stopped.value.code == "RequestTimeout"
    until(lambda: not local.scheduler.tasks)
    time.sleep(0.3)
    done = len(log.read_text().splitlines())
    time.sleep(0.5)
    assert len(log.read_text().splitlines()) == done < 30


def test_dropping_one_request_leaves_an_equal_one_alone(cluster: DaskCluster, tmp_path: Path) -> None:
    data = counting(tmp_path / "log", 10, 0.1)
    thread, outcome = run_aside(lambda: cluster.compute(asked("stays"), data, Deadline(60)))
    with pytest.raises(OpenEOError):
        cluster.compute(asked("goes"), data, Deadline(0.3))
    thread.join()
    np.testing.assert_array_equal(outcome[0].values, np.ones((10, 4)))


def _fail(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OpenEOError("NoDataAvailable", "3 dates only"), "NoDataAvailable", "3 dates only"),
        (InputError("divide them by 10000"), "ProcessParameterInvalid", "divide them by 10000"),
        (MemoryError(), "ProcessGraphComplexity", "memory"),
    ],
)
def test_failures_of_tasks_keep_their_code(cluster: DaskCluster, error: Exception, code: str, words: str) -> None:
    with pytest.raises(OpenEOError, match=words) as raised:
        cluster.compute(asked(f"fails-{words}"), dask.delayed(_fail)(error), Deadline(60))
    assert raised.value.code == code


def test_workers_that_are_killed_stand_for_too_little_memory() -> None:
    state = SimpleNamespace(address="tcp://127.0.0.1:1")
    error = of_task(KilledWorker("task", state, 3), [2**30, 2**31])
    assert isinstance(error, OpenEOError)
    assert (error.code, error.status) == ("ProcessGraphComplexity", 400)
    assert "(2048 MiB, OPENEO_EMBED_WORKER_MEMORY)" in error.message


def test_defects_of_tasks_are_no_openeo_errors(cluster: DaskCluster) -> None:
    with pytest.raises(FileNotFoundError, match="inside"):
        cluster.compute(asked("defect"), dask.delayed(_fail)(FileNotFoundError("inside")), Deadline(60))


def test_an_absent_cluster_is_busy_and_does_not_hold_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.sync.cluster.CONNECT_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        absent = DaskCluster(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        assert absent.workers() is None
        start = time.monotonic()
        with pytest.raises(OpenEOError) as busy:
            absent.compute(asked("x"), da.ones(3), Deadline(10))
        assert (busy.value.code, busy.value.status) == ("InfrastructureBusy", 503)
        assert time.monotonic() - start < 0.2


def test_workers_are_counted(cluster: DaskCluster) -> None:
    assert cluster.workers() == 1


def test_topics_of_calls_are_forgotten(cluster: DaskCluster, local: LocalCluster) -> None:
    """What Dask would keep as long as the scheduler runs, what comes too late included."""
    heard: list[dict[str, str]] = []
    topic = f"{CALLS}one"
    (worker,) = local.workers.values()
    assert cluster.progress("anna") == []  # brings our part of the scheduler there
    with cluster.listening(topic, heard.append):
        until(lambda: local.scheduler._broker._topics[topic].subscribers)
        worker.log_event(topic, {"say": "in time"})
        until(lambda: [said["say"] for said in heard] == ["in time"])
        assert local.scheduler.get_events(topic) == ()
    until(lambda: topic not in local.scheduler._broker._topics)
    worker.log_event(topic, {"say": "too late"})
    worker.log_event("another", "afterwards")
    until(lambda: local.scheduler.get_events("another") != ())
    assert topic not in local.scheduler._broker._topics
    assert len(heard) == 1


def test_a_cluster_that_scales_itself_needs_nothing_else() -> None:
    """It has no worker before the request, gets one for it, and lets go of it afterwards."""
    quiet = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0", "protocol": "tcp"}
    with dask.config.set(QUIET), LocalCluster(**quiet) as local:
        local.adapt(minimum=0, maximum=1, interval="100ms", wait_count=2)
        cluster = DaskCluster(local.scheduler_address)
        assert cluster.workers() == 0
        assert cluster.compute(asked("scaled"), da.ones(4, chunks=2).sum(), Deadline(60)) == 4
        until(lambda: cluster.workers() == 0)
        cluster.close()


def test_a_web_process_that_dies_leaves_no_requests() -> None:
    plugin = RequestsPlugin()
    plugin.begin("r1", "anna", 0.0, "request", "client-a")
    plugin.begin("r2", "anna", 0.0, "request", "client-b")
    plugin.remove_client(None, "client-a")
    assert [entry["id"] for entry in plugin.progress("anna", "request")] == ["r2"]
