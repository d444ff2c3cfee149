"""Workers that offer the resource `GPU`, and a GPU whose memory does not do; on a machine without one."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from distributed import LocalCluster, Nanny, Scheduler, SpecCluster
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.utils import key_split

from backend.settings import read_settings
from backend.supervise import devices
from backend.supervise.plan import cpu_worker, gpu_workers, most_workers, worker_count
from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from models import embed
from models.embed import Embedder
from models.engine import tiles
from processes.errors import OpenEOError
from tests.backend.clusters import QUIET, one_worker
from tests.golden.seeded import seeded_cube
from tests.udf.conftest import save_seeded_model
from udf import ModelShelf, SensorCube, embed_lazily, model_shelf
from udf.cluster import EMBEDDING

TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> ModelShelf:
    return save_seeded_model(tmp_path_factory.mktemp("models"))


def lazy(shelf: ModelShelf, tile: int = 7, size: int = 20) -> da.Array:
    cube = seeded_cube(dates=13, s1_dates=26, size=(size, size))
    sensors = {
        "s1": SensorCube(da.from_array(cube["s1"] * np.float32(0.2), chunks=(2, 13, size, size)), cube["s1_time"]),
        "s2": SensorCube(da.from_array(cube["s2"], chunks=(10, 13, 10, 10)), cube["time"]),
    }
    return embed_lazily(shelf.get(None), sensors, np.ones(13, bool), slice(0, size), slice(0, size), tile)


@pytest.fixture(scope="module")
def whole(shelf: ModelShelf) -> np.ndarray:
    out: np.ndarray = lazy(shelf, 20).compute(scheduler="sync")
    return out


class Seen(SchedulerPlugin):
    """Where the tasks of each kind were computed."""

    name = "seen"

    def __init__(self) -> None:
        self.kinds: dict[str, set[str]] = defaultdict(set)

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        if (start, finish) == ("processing", "memory"):
            self.kinds[key_split(key)].add(kwargs["worker"])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpecCluster]:
    """Two workers on CPUs and one for a GPU, as the server plans them."""
    settings = read_settings({})
    plans = [*gpu_workers(settings, ["0"]), *(cpu_worker(settings, index, hide=True) for index in range(2))]
    folder = str(tmp_path_factory.mktemp("dask"))
    workers = {
        plan.name: {
            "cls": Nanny,
            "options": {
                "nthreads": plan.threads,
                "resources": dict(plan.resources),
                "env": dict(plan.environ),
                "host": "127.0.0.1",
                "dashboard": False,
                "local_directory": folder,
            },
        }
        for plan in plans
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    with dask.config.set(QUIET), SpecCluster(scheduler=scheduler, workers=workers, name="mixed") as cluster:
        yield cluster


def compute(address: str, value: Any, name: str) -> tuple[Any, list[str]]:
    """Compute as the server does; returns the value, or the failure, and what the tasks had to say."""
    cluster, asked = DaskCluster(address), SyncRequest(name, "anna", {})
    try:
        value = cluster.compute(asked, value, Deadline(120))
    except OpenEOError as error:
        value = error
    finally:
        notes = cluster.notes(asked)
        cluster.close()
    return value, [note["message"] for note in notes]


def test_embedding_runs_on_gpu_workers_and_nothing_else_does(
    mixed: SpecCluster, shelf: ModelShelf, whole: np.ndarray
) -> None:
    seen = Seen()
    mixed.scheduler.add_plugin(seen)
    out, _ = compute(mixed.scheduler_address, lazy(shelf) + np.float32(1), "placed")
    np.testing.assert_allclose(out - 1, whole, rtol=0, atol=TOLERANCE)
    names = {worker.address: worker.name for worker in mixed.scheduler.workers.values()}
    placed = {kind: {names[address] for address in addresses} for kind, addresses in seen.kinds.items()}
    assert placed.pop(EMBEDDING) == {"gpu-0"}
    assert any(kind.startswith("cut") or "cut" in kind for kind in placed)
    assert set().union(*placed.values()) <= {"worker-0", "worker-1"}


def test_workers_see_their_own_gpu_alone(mixed: SpecCluster) -> None:
    with mixed.get_client() as client:
        shown = client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
    names = {worker.address: worker.name for worker in mixed.scheduler.workers.values()}
    assert {names[address]: value for address, value in shown.items()} == {
        "gpu-0": "0",
        "worker-0": "",
        "worker-1": "",
    }


@pytest.fixture
def local() -> Iterator[LocalCluster]:
    """One worker in this process, where its GPU can be imitated."""
    with one_worker() as local:
        yield local


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """Imitate a GPU with room for tiles of so many pixels on a side, halo not counted; tells the sides tried."""
    run, sides = Embedder._run, []
    model_shelf._loaded.clear()

    def limit(most: int) -> list[int]:
        def within(self: Embedder, cubes: Any, windows: Any, step: Any) -> Any:
            side = max(next(iter(cubes.values())).shape[2:]) - 14
            sides.append(side)
            if side > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore words")
            return run(self, cubes, windows, step)

        monkeypatch.setattr(Embedder, "_run", within)
        return sides

    yield limit
    model_shelf._loaded.clear()


def test_tiles_are_halved_until_a_gpu_has_room_and_the_log_says_so(
    local: LocalCluster, shelf: ModelShelf, gpu: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "SMALLEST", 4)  # so that a small cube can be halved
    monkeypatch.setattr(embed, "tile_side", lambda *_: 64)  # whatever memory this machine has left
    enough = lazy(shelf, 22, 22).compute(scheduler="sync")
    model_shelf._loaded.clear()
    sides = gpu(4)
    out, notes = compute(local.scheduler_address, lazy(shelf, 22, 22), "halved")
    np.testing.assert_allclose(out, enough, rtol=0, atol=TOLERANCE)
    assert np.isfinite(out).any()
    assert sides == [8, 4, 4, 4, 4]
    assert notes == ["The GPU's memory did not do for a tile; tiles of 4 x 4 pixels are tried from now on."]
    sides.clear()
    compute(local.scheduler_address, lazy(shelf, 21, 22), "again")  # what was learnt is kept
    assert max(sides) <= 4


def test_a_gpu_without_room_for_the_smallest_tile_is_told(
    local: LocalCluster, shelf: ModelShelf, gpu: Callable[[int], list[int]]
) -> None:
    gpu(0)
    out, _ = compute(local.scheduler_address, lazy(shelf, 20), "no-room")
    assert isinstance(out, OpenEOError)
    assert out.code == "ProcessGraphComplexity"
    assert "GPU" in out.message
    assert "20.00 GiB" in out.message
    assert "more words" not in out.message


def test_workers_are_planned_by_cores_and_gpus() -> None:
    settings = read_settings({}, threads=2)
    assert [worker_count(settings, cores) for cores in (1, 2, 8, 64)] == [1, 1, 4, 8]
    assert worker_count(read_settings({}, workers=3), 64) == 3
    assert most_workers(read_settings({}, workers=1, workers_most=5), 2) == 5
    assert cpu_worker(settings, 4, hide=False).environ == {}
    assert cpu_worker(settings, 4, hide=True).resources == {"CPU": 2}
    two = gpu_workers(settings, ["0", "GPU-1234"])
    assert [(one.resources, one.environ["CUDA_VISIBLE_DEVICES"]) for one in two] == [
        ({"GPU": 1}, "0"),
        ({"GPU": 1}, "GPU-1234"),
    ]
    assert gpu_workers(read_settings({}, gpus=0), ["0"]) == []
    assert len(gpu_workers(read_settings({}, gpus=1), ["0", "1"])) == 1


def test_more_gpus_than_there_are_is_refused() -> None:
    with pytest.raises(OpenEOError, match=r"OPENEO_EMBED_GPUS is 2, but torch finds 1"):
        gpu_workers(read_settings({}, gpus=2), ["0"])


def test_gpus_are_those_that_torch_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    assert devices.find_gpus({}) == []
    monkeypatch.setattr(devices, "_COUNT", "print(2)")
    assert devices.find_gpus({}) == []  # no driver
    assert devices.find_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert devices.find_gpus({"CUDA_VISIBLE_DEVICES": "3, 5,7"}) == ["3", "5"]
    monkeypatch.setattr(devices.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert devices.find_gpus({}) == ["0", "1"]
    monkeypatch.setattr(devices, "_COUNT", "raise SystemExit(1)")
    assert devices.find_gpus({}) == []
