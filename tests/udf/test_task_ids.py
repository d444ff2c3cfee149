"""Lines that workers log name the job and the node of the task that they come from."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from backend.jobs.model import Draft
from backend.jobs.watch import JobRun
from backend.logs import JsonFormatter, configure_logging, of_task
from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from processes.environment import Ledger
from tests.backend.clusters import one_worker
from tests.backend.fakes import fake_services
from tests.backend.server import until
from udf import embed_lazily
from udf.cluster import about_task, note


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskCluster]:
    with one_worker() as local:
        made = DaskCluster(local.scheduler_address)
        yield made
        made.close()


@contextmanager
def worker_lines(name: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(of_task)
    handler.setFormatter(JsonFormatter("worker"))
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(before)


def talking(name: str) -> da.Array:
    def block(x: np.ndarray) -> np.ndarray:
        note("warning", "smaller tiles")
        return x

    return da.ones(4, chunks=2).map_blocks(block, dtype=float, meta=np.empty(0), name=f"talking-{name}")


def test_lines_of_a_job_have_its_id_and_node(cluster: DaskCluster, tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    job = services.jobs.create("anna", Draft({}))
    services.users.close()
    ledger, value = Ledger(), talking("of-job")
    ledger.trace("talk", value, "talk1")
    with worker_lines("udf.cluster") as lines:
        cluster.compute(JobRun(job), value + 1, Deadline(60), ledger.nodes)
    assert len(lines()) == 2
    assert all((line["job"], line["message"]) == (job.id, "smaller tiles") for line in lines())
    assert "request" not in str(lines())


def test_lines_of_a_request_have_its_id(cluster: DaskCluster) -> None:
    with worker_lines("udf.cluster") as lines:
        cluster.compute(SyncRequest("r1", "anna", {}), talking("of-request"), Deadline(60), {"request": "talk2"})
    assert {(line["request"], line["node"]) for line in lines()} == {("r1", "talk2")}


def test_what_tasks_note_is_told_once_while_they_run(cluster: DaskCluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def block(x: np.ndarray) -> np.ndarray:
        note("warning", "smaller tiles")
        while not gate.exists():
            time.sleep(0.05)
        return x

    value = da.ones(2, chunks=2).map_blocks(block, dtype=float, meta=np.empty(0), name="gated")
    asked = SyncRequest("r3", "anna", {})
    with ThreadPoolExecutor(1) as aside:
        done = aside.submit(cluster.compute, asked, value, Deadline(60))
        told = until(lambda: cluster.notes(asked))
        assert not done.done()
        gate.touch()
        done.result(60)
    assert told == [{"level": "warning", "message": "smaller tiles"}]
    assert cluster.notes(asked) == []


def test_loading_a_model_names_whose_it_is(cluster: DaskCluster, shelf: Any, sensors: Any) -> None:
    from udf.model_shelf import _let_go

    _let_go()
    lazy = embed_lazily(shelf.get(None), sensors(), np.arange(15) == 14, slice(7, 9), slice(7, 9))
    ledger = Ledger()
    ledger.trace("multimodal_embed", lazy, "embed1")
    with worker_lines("udf.model_shelf") as lines:
        cluster.compute(SyncRequest("r2", "anna", {}), lazy, Deadline(120), ledger.nodes)
    (line,) = lines()
    assert "the model seeded was loaded on" in line["message"]
    assert (line["request"], line["node"]) == ("r2", "embed1")


def test_outside_of_tasks_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert about_task() == {}
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging("worker")
        logging.getLogger("udf").warning("plain")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        logging.captureWarnings(False)
    assert capsys.readouterr().err.rstrip().endswith("WARNING plain")
