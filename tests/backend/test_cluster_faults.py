"""Computations whose workers or scheduler die, stand still or come and go: they end right, or say why they do not."""

from __future__ import annotations

import os
import signal
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
from processes.errors import OpenEOError
from tests.backend.parts import Parts, computing
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
    outcome: list[Any] = []
    name = f"fault-{time.monotonic_ns()}"

    def target() -> None:
        try:
            outcome.append(parts.cluster.compute(SyncRequest(name, "anna", {}), value, Deadline(seconds)))
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
    parts: Parts, shelf: ModelShelf, undisturbed: np.ndarray, tmp_path: Path
) -> None:
    thread, outcome = aside(parts, lazy(shelf, 5, halting(tmp_path)))
    until((tmp_path / "begun").exists)
    (tmp_path / "go").touch()
    until(lambda: any(item.done > item.total * 0.3 for item in parts.cluster.progress("anna")), 60)
    parts.processes()[0].kill()
    thread.join(SECONDS)
    np.testing.assert_allclose(outcome[0], undisturbed, rtol=0, atol=TOLERANCE)
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
    parts: Parts, shelf: ModelShelf, undisturbed: np.ndarray, tmp_path: Path
) -> None:
    thread, outcome = aside(parts, lazy(shelf, 5, halting(tmp_path)))
    until((tmp_path / "begun").exists)
    assert parts.scheduler.pid is not None
    os.kill(parts.scheduler.pid, signal.SIGKILL)
    thread.join(SECONDS)
    assert isinstance(outcome[0], OpenEOError)
    assert outcome[0].code == "InfrastructureBusy"
    (tmp_path / "go").touch()
    # As the supervisor does.
    for child in (parts.scheduler, parts.workers):
        until(lambda child=child: child.ended() is not None, 60)
        child.start()
    until(lambda: parts.cluster.workers() == 2, 60)
    thread, outcome = aside(parts, lazy(shelf, 10))
    thread.join(SECONDS)
    np.testing.assert_allclose(outcome[0], undisturbed, rtol=0, atol=TOLERANCE)


def _hoard(block: np.ndarray) -> np.ndarray:
    held = []
    while True:
        held.append(np.ones(8 << 20))
        time.sleep(0.02)


def test_a_worker_that_outgrows_its_memory_is_the_reason_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the workers that a task may kill; each of them starts anew.
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
    with computing(tmp_path, 1, worker_memory="500MiB") as parts:
        hoarding = da.ones((4, 4), chunks=4).map_blocks(_hoard, dtype=float, meta=np.empty((0, 0)))
        thread, outcome = aside(parts, hoarding)
        thread.join(SECONDS)
        assert isinstance(outcome[0], OpenEOError), outcome
        assert outcome[0].code == "ProcessGraphComplexity"
        assert "memory" in outcome[0].message
        assert "500 MiB" in outcome[0].message


def test_workers_come_while_tasks_queue_up_and_go_when_there_is_little_to_do(
    shelf: ModelShelf, undisturbed: np.ndarray, tmp_path: Path
) -> None:
    def slowly(block: np.ndarray) -> np.ndarray:
        time.sleep(0.5)
        return block

    with computing(tmp_path, 1, workers_most=2) as parts:
        busy = da.ones((60, 2), chunks=(1, 2)).map_blocks(slowly, dtype=float, meta=np.empty((0, 0)))
        thread, outcome = aside(parts, busy)
        until(lambda: parts.cluster.workers() == 2, 60)
        embedding, embedded = aside(parts, lazy(shelf, 5))
        thread.join(SECONDS)
        embedding.join(SECONDS)
        np.testing.assert_array_equal(outcome[0], np.ones((60, 2)))
        np.testing.assert_allclose(embedded[0], undisturbed, rtol=0, atol=TOLERANCE)
        until(lambda: parts.cluster.workers() == 1, 90)
