"""Computations whose workers or scheduler die, stand still or come and go: they end right, or say why they do not."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from backend.sync.spool import Spool
from processes.errors import OpenEOError
from tests.backend.parts import Parts, computing
from tests.backend.runs import JobRun, small_parts
from tests.backend.server import until
from tests.golden.seeded import seeded_cube
from tests.udf.conftest import save_seeded_model
from udf import ModelShelf, SensorCube, embed_lazily

TOLERANCE = 5e-6
SECONDS = 240.0


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with computing(tmp_path_factory.mktemp("parts"), 2, worker_silence=6.0) as parts:
        yield parts


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> ModelShelf:
    return save_seeded_model(tmp_path_factory.mktemp("models"))


def lazy(shelf: ModelShelf, tile: int = 4, slow: Callable[[np.ndarray], np.ndarray] | None = None) -> da.Array:
    """Return the embeddings of a small cube, of which each loaded block may take its time."""
    cube = seeded_cube(dates=13, s1_dates=26, size=(20, 20))
    s2 = da.from_array(cube["s2"], chunks=(10, 13, 10, 10))
    if slow is not None:
        s2 = s2.map_blocks(slow, dtype=np.float32, meta=np.empty((0,) * 4, np.float32))
    sensors = {
        "s1": SensorCube(da.from_array(cube["s1"] * np.float32(0.2), chunks=(2, 13, 20, 20)), cube["s1_time"]),
        "s2": SensorCube(s2, cube["time"]),
    }
    return embed_lazily(shelf.get(None), sensors, np.ones(13, bool), slice(0, 20), slice(0, 20), tile)


@pytest.fixture(scope="module")
def undisturbed(shelf: ModelShelf) -> np.ndarray:
    out = lazy(shelf, 20).compute(scheduler="sync")
    assert np.isfinite(out[0]).sum() > 20
    return out


def halo(seconds: float = 0.0) -> da.Array:
    """Return what takes a while: blocks with a halo, so that what is held between parts can be lost."""

    def slowly(block: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return block + 1

    made = da.arange(1600.0, chunks=1600).reshape(40, 40).rechunk(5).map_blocks(slowly, meta=np.empty((0, 0)))
    return da.overlap.overlap(made, 1, "none").map_blocks(slowly, meta=np.empty((0, 0)))


def halting(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a step that waits until there is a file `go` in the folder, and tells by another that it was begun."""

    def step(block: np.ndarray) -> np.ndarray:
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
        return block

    return step


def aside(parts: Parts, value: Any, seconds: float = SECONDS) -> tuple[threading.Thread, list[Any]]:
    """Compute in a thread; the value or the failure comes into the list."""
    request = SyncRequest(f"fault-{time.monotonic_ns()}", "anna", {})
    return _outcome_of(lambda: parts.cluster.compute(request, value, Deadline(seconds)))


def job_aside(parts: Parts, folder: Path, seconds: float) -> tuple[threading.Thread, list[Any]]:
    """Compute `halo` as a batch job does, in parts that go to a file, and return when it is in the middle of it."""

    def stream() -> Any:
        with tempfile.TemporaryFile(dir=folder) as file:
            out = parts.cluster.compute(JobRun(), halo(seconds), Deadline(SECONDS), spool=Spool(file))
            return out.compute(scheduler="sync")

    thread, outcome = _outcome_of(stream)
    until(lambda: any(item.done > 10 for item in parts.cluster.progress("anna", "job")), 60)
    return thread, outcome


def _outcome_of(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def target() -> None:
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    return thread, outcome


def test_many_workers_and_tiles_give_the_same(parts: Parts, shelf: ModelShelf, undisturbed: np.ndarray) -> None:
    thread, outcome = aside(parts, lazy(shelf, 7))
    thread.join()
    np.testing.assert_allclose(outcome[0], undisturbed, rtol=0, atol=TOLERANCE)


def test_a_worker_killed_in_the_middle(
    parts: Parts, shelf: ModelShelf, undisturbed: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job and of a request, which goes first where both want the workers."""
    small_parts(monkeypatch)
    job, streamed = job_aside(parts, tmp_path, 0.1)
    request, embedded = aside(parts, lazy(shelf, 5, halting(tmp_path)))
    until((tmp_path / "begun").exists)
    (tmp_path / "go").touch()
    until(lambda: any(item.done > item.total * 0.3 for item in parts.cluster.progress("anna")), 60)
    parts.processes()[0].kill()
    request.join(SECONDS)
    job.join(SECONDS)
    np.testing.assert_allclose(embedded[0], undisturbed, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(streamed[0], halo().compute(scheduler="sync"))
    until(lambda: parts.cluster.workers() == 2, 60)


def test_a_worker_that_stands_still_is_given_up(
    parts: Parts, shelf: ModelShelf, undisturbed: np.ndarray, tmp_path: Path
) -> None:
    thread, outcome = aside(parts, lazy(shelf, 5, halting(tmp_path)))
    until((tmp_path / "begun").exists)
    still = parts.processes()[0]
    still.send_signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    thread.join(SECONDS)
    np.testing.assert_allclose(outcome[0], undisturbed, rtol=0, atol=TOLERANCE)
    until(lambda: not still.is_running(), 60)  # it never went on: it was replaced
    until(lambda: parts.cluster.workers() == 2, 60)


def test_a_scheduler_that_is_lost_makes_the_cluster_busy_and_not_for_long(
    parts: Parts, shelf: ModelShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a request and of a job, which may be tried again."""
    small_parts(monkeypatch)
    asked = [job_aside(parts, tmp_path, 0.1), aside(parts, lazy(shelf, 5, halting(tmp_path)))]
    until((tmp_path / "begun").exists)
    assert parts.scheduler.pid is not None
    os.kill(parts.scheduler.pid, signal.SIGKILL)
    for thread, outcome in asked:
        thread.join(SECONDS)
        assert isinstance(outcome[0], OpenEOError)
        assert outcome[0].code == "InfrastructureBusy"
    (tmp_path / "go").touch()
    # As the supervisor does.
    for child in (parts.scheduler, parts.workers):
        until(lambda child=child: child.ended() is not None, 60)
        child.start()
    until(lambda: parts.cluster.workers() == 2, 60)
    thread, outcome = aside(parts, halo())
    thread.join(SECONDS)
    np.testing.assert_array_equal(outcome[0], halo().compute(scheduler="sync"))


def _hoard(block: np.ndarray) -> np.ndarray:
    held = []
    while True:
        held.append(np.ones(8 << 20))
        time.sleep(0.02)


@pytest.fixture(scope="module")
def elastic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """One worker, and a second one while tasks queue up; a task that kills one gets no other to kill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
        with computing(tmp_path_factory.mktemp("elastic"), 1, workers_most=2, worker_memory="1GiB") as parts:
            yield parts


def test_workers_come_while_tasks_queue_up_and_go_when_there_is_little_to_do(
    elastic: Parts, shelf: ModelShelf, undisturbed: np.ndarray
) -> None:
    def slowly(block: np.ndarray) -> np.ndarray:
        time.sleep(0.5)
        return block

    busy = da.ones((40, 2), chunks=(1, 2)).map_blocks(slowly, dtype=float, meta=np.empty((0, 0)))
    thread, outcome = aside(elastic, busy)
    until(lambda: elastic.cluster.workers() == 2, 60)
    embedding, embedded = aside(elastic, lazy(shelf, 5))
    thread.join(SECONDS)
    embedding.join(SECONDS)
    np.testing.assert_array_equal(outcome[0], np.ones((40, 2)))
    np.testing.assert_allclose(embedded[0], undisturbed, rtol=0, atol=TOLERANCE)
    until(lambda: elastic.cluster.workers() == 1, 90)


def test_a_worker_that_outgrows_its_memory_is_the_reason_that_is_told(elastic: Parts) -> None:
    hoarding = da.ones((4, 4), chunks=4).map_blocks(_hoard, dtype=float, meta=np.empty((0, 0)))
    thread, outcome = aside(elastic, hoarding)
    thread.join(SECONDS)
    assert isinstance(outcome[0], OpenEOError), outcome
    assert outcome[0].code == "ProcessGraphComplexity"
    assert "memory" in outcome[0].message
    assert "1024 MiB" in outcome[0].message
