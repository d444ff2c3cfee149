"""A scheduler and workers as the server runs them, and the memory of all processes."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dask.array as da
import numpy as np
import psutil
import rioxarray  # noqa: F401

from backend.results import find_format
from backend.settings import Settings
from backend.supervise.child import Child
from backend.supervise.orders import Orders
from backend.supervise.supervisor import OUR_LOGGING, SINGLE_THREADED
from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from backend.sync.spool import Spool
from benchmarks.scaling.archive import on_a_grid
from models.folders import PACKAGED
from udf import ModelShelf


@dataclass(frozen=True)
class Running:
    """A scheduler and workers as the server runs them."""

    scheduler: Child
    cluster: DaskCluster

    def compute(self, lazy: da.Array) -> np.ndarray:
        """Compute as the server does."""
        asked = SyncRequest(f"bench-{time.monotonic_ns()}", "bench", {})
        out: np.ndarray = self.cluster.compute(asked, lazy, Deadline(600))
        return out

    def stream(self, lazy: da.Array, write: bool = True) -> dict[str, int]:
        """Compute and write as the runner of a job does; returns the highest memory in bytes, step by step."""
        peaks = {}
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(dir=folder) as file:
            with Peak() as peak:
                out = self.cluster.compute(Run(), lazy, Deadline(600), spool=Spool(file))
            peaks["fetched"] = peak.bytes
            for name in ("GTiff", "netCDF") if write else ():
                with Peak() as peak:
                    find_format(name).write(on_a_grid(out), {}, Path(folder) / name)
                peaks[name] = peak.bytes
        peaks["worker"] = max(self.cluster._connected().run(peak_of_this_process).values())
        return peaks

    def warm(self, count: int) -> None:
        """Have all workers load the model."""
        client = self.cluster._connected()
        client.run(load, str(PACKAGED))
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == count


@contextlib.contextmanager
def workers(count: int) -> Iterator[Running]:
    """Run a scheduler and workers for the length of the block."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        settings = replace(Settings(), data=Path(folder), workers=count, log_level="error")
        settings.run_folder.mkdir(parents=True)
        environ = {**os.environ, **SINGLE_THREADED, **OUR_LOGGING}
        children = [Child(role, Orders(settings, address), environ) for role in ("scheduler", "workers")]
        cluster = DaskCluster(address)
        try:
            for child in children:
                child.start()
            _wait(lambda: cluster.workers() == count)
            yield Running(children[0], cluster)
        finally:
            cluster.close()
            for child in reversed(children):
                child.stop(5)


@dataclass(frozen=True)
class Run:
    """A run of a batch job."""

    id: str = field(default_factory=lambda: f"bench-{time.monotonic_ns()}")
    user: str = "bench"
    started: float = 0.0
    kind: str = "job"

    @property
    def about(self) -> dict[str, str]:
        """What logs name it by."""
        return {"job": self.id}


class Peak:
    """The highest resident memory of this process while the block runs, in bytes."""

    def __enter__(self) -> Peak:
        self.bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._over.wait(0.02):
            self.bytes = max(self.bytes, process.memory_info().rss)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the workers did not come up")
        time.sleep(0.2)


def load(folder: str) -> None:
    """Load the model in a worker."""
    from udf.model_shelf import embedder_on_this_worker

    embedder_on_this_worker(ModelShelf((Path(folder),), "demo").get(None))


def peak_of_this_process() -> int:
    """Return the highest resident memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
