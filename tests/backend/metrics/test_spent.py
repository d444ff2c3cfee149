"""How long each part of a computation took: measured on a real scheduler, told in the job's log with its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import LocalCluster

from backend.context import Services
from backend.jobs.model import Draft, Job
from backend.jobs.watch import JobRun, Watch
from backend.jobs.work import Worker
from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.plugin import part_of
from backend.sync.request import SyncRequest
from backend.sync.seam import Progress
from processes.environment import Environment
from tests.backend.clusters import QUIET
from tests.backend.fakes import FakeCluster, graph, settings_in


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskCluster]:
    more = {"processes": False, "dashboard_address": "127.0.0.1:0", "protocol": "tcp"}
    with dask.config.set(QUIET), LocalCluster(n_workers=1, threads_per_worker=2, **more) as local:
        made = DaskCluster(local.scheduler_address)
        yield made
        made.close()


def _sleeping(seconds: float, blocks: int) -> xr.DataArray:
    def sleep(block: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return block

    data = da.ones((blocks, 2), chunks=(1, 2)).map_blocks(sleep, dtype=float, meta=np.empty((0, 0)))
    return xr.DataArray(data, dims=("t", "x"))


def test_parts_are_known_by_the_token_of_their_name() -> None:
    assert part_of(("sum-aggregate-0a1b", 0, 1)) == "0a1b"
    assert part_of("embed_block-0a1b") == "0a1b"
    assert part_of(("add-mul-double-0a1b", 3)) == "0a1b"
    assert part_of("plain") == "plain"


def test_the_seconds_of_each_part_are_added_up(cluster: DaskCluster) -> None:
    asked = SyncRequest("a" * 32, "anna", {})
    value = _sleeping(0.1, 4)
    cluster.compute(asked, value.sum("t"), Deadline(30))
    spent = cluster.spent(asked)
    assert sum(spent.values()) >= 0.4  # of threads: two of them sleep at once
    assert cluster.spent(asked) == {}  # told once
    assert cluster.threads() == 2


def test_a_job_tells_how_long_its_processes_took(services: Services, tmp_path: Path, cluster: DaskCluster) -> None:
    def nap(env: Environment) -> Any:
        value = _sleeping(0.1, 4)
        env.ledger.trace("nap", value)
        return {"values": value}

    services.graphs.values["nap"] = nap  # type: ignore[attr-defined]
    services = replace(services, cluster=cluster)
    job = _claimed(services, "nap")
    Worker(settings_in(tmp_path), services, threading.Event()).work(job)
    done = services.jobs.get("anna", job.id)
    assert done.state.status == "finished"
    (told,) = [entry for entry in services.jobs.entries(job.id) if "by process" in entry.message]
    assert told.more["data"]["nap"] >= 0.3
    assert done.usage is not None
    assert done.usage["computing"]["value"] >= 0.4


def test_a_log_tells_of_progress_now_and_then(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    run = JobRun(_claimed(services, "number"))
    done = iter((5, 20, 25, 60, 100))
    monkeypatch.setattr(FakeCluster, "progress", lambda self, user, kind: [Progress(run.id, 0.0, next(done), 100)])
    monkeypatch.setattr("backend.jobs.watch.TOLD_SECONDS", 0.0)
    told: list[str] = []
    watch = Watch(run, services.cluster, told.append)
    for _ in range(5):
        watch.look()
    assert told == [
        f"{percent} % done: {tasks} of 100 Dask tasks." for percent, tasks in ((20, 20), (59, 60), (98, 100))
    ]
    assert run.progress == 98.0


def _claimed(services: Services, name: str) -> Job:
    job = services.jobs.create("anna", Draft(graph(name)["process"]))
    services.jobs.start("anna", job.id)
    claimed = services.jobs.claim("runner", 30)
    assert claimed is not None
    return claimed
