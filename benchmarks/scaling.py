"""How embeddings scale: `python -m benchmarks.scaling [--parts graph scheduler speed memory]`.

- graph: the graph of the real process for areas of 1, 4 and 16 times 10 x 10 km and for 100 x 100 km, 70 dates, built,
  optimised and ordered as the scheduler does it, but not computed.
- scheduler: the same graphs with tasks that do nothing, on a real scheduler process and workers.
- speed: a small cube embedded by 1, 2 and 4 worker processes.
- memory: the peaks of the worker processes and of the runner while the area grows.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
import rioxarray  # noqa: F401
import xarray as xr
from dask._task_spec import Task, TaskRef
from dask.core import flatten
from dask.order import order

from backend.results import find_format
from backend.settings import Settings
from backend.supervise.child import Child
from backend.supervise.orders import Orders
from backend.supervise.supervisor import OUR_LOGGING, SINGLE_THREADED
from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from backend.sync.spool import Spool
from models.benchmark import machine
from models.folders import PACKAGED
from processes.environment import Environment
from processes.implementations.multimodal_embed import multimodal_embed
from processes.sources._blocks import StorageChunks, dask_array, plan_chunks
from processes.sources._grid import Window
from udf import ModelShelf, SensorCube, embed_lazily
from udf.tiling import TileLayer

PARTS = ("graph", "scheduler", "speed", "memory")
DAY = np.timedelta64(1, "D")
PIXEL = 10
# 70 dates five days apart, with the model's reach of frames before and after, and Sentinel-1 every six days.
DATES, S2_DATES, S1_DATES, BEFORE = 70, 172, 143, 51
S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL"]
STORAGE = StorageChunks((512, 512), (512, 512))
EDGE = 7


class Unread:
    """Stands for an archive that nothing is read from."""

    ndim = 4

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.float32)

    def __getitem__(self, key: object) -> np.ndarray:
        raise NotImplementedError("the graph is not computed")


@dataclass(frozen=True)
class Written:
    """A graph as the scheduler has it: the tasks, the keys that are wanted, and how long each step took."""

    size: int
    tasks: dict[Any, Any]
    keys: list[Any]
    build: float
    sent: int
    optimise: float
    layer: TileLayer

    @property
    def per_date(self) -> float:
        """Tasks for 1000 x 1000 pixels and date."""
        return len(self.tasks) / (self.size / 1000) ** 2 / DATES


def main() -> None:
    """Run the parts and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    import torch

    lines = ["# Scaling", ""]
    lines += [f"`python -m benchmarks.scaling --parts {' '.join(arguments.parts)}` on {machine(torch.device('cpu'))}."]
    lines += ["The machine was shared with other work: times are upper bounds.", ""]
    for part in arguments.parts:
        for line in {"graph": graphs, "scheduler": scheduling, "speed": speed, "memory": memory}[part]():
            print(line, flush=True)
            lines.append(line)
        lines.append("")
    arguments.output.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def graphs() -> Iterator[str]:
    """The graph by area."""
    yield "## The graph"
    yield ""
    yield (
        f"`multimodal_embed` of {DATES} dates; with what a pixel's surroundings need, {S2_DATES} dates of Sentinel-2 "
        f"and {S1_DATES} of Sentinel-1 are loaded. Times are processor seconds: `optimise` and `order` are the "
        "scheduler's work, `sent` is what it is sent, `moved` what tiles take from loaded blocks: the most that can "
        "travel between workers."
    )
    yield ""
    yield "| area | tasks | per 1000 x 1000 px x date | build | sent | optimise | order | per task | moved | result |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for size in (1000, 2000, 4000, 10_000):
        graph = written(size)
        begin = time.process_time()
        order(graph.tasks)
        ordered = time.process_time() - begin
        each = 1000 * (graph.build + graph.optimise + ordered) / len(graph.tasks)
        yield (
            f"| {size * PIXEL // 1000} x {size * PIXEL // 1000} km | {len(graph.tasks):,} | {graph.per_date:.1f} | "
            f"{graph.build:.2f} s | {graph.sent / 1e6:.2f} MB | {graph.optimise:.1f} s | {ordered:.1f} s | "
            f"{each:.2f} ms | {moved(graph.layer) / 1e9:,.0f} GB | {7 * 4 * DATES * size**2 / 1e9:,.1f} GB |"
        )


def scheduling() -> Iterator[str]:
    """The scheduler's time for each task."""
    yield "## The scheduler"
    yield ""
    yield "The same graphs with tasks that do nothing, on two workers; processor time of the scheduler's process."
    yield ""
    yield "| area | tasks | wall clock | scheduler | scheduler per task | peak of the scheduler |"
    yield "|---|---:|---:|---:|---:|---:|"
    for size in (1000, 2000):
        graph = written(size)
        idle = {key: Task(key, nothing, *map(TaskRef, task.dependencies)) for key, task in graph.tasks.items()}
        with workers(2) as parts:
            client, process = parts.cluster._connected(), psutil.Process(parts.scheduler.pid)
            client.submit(nothing).result()
            before, begin = sum(process.cpu_times()[:2]), time.perf_counter()
            client.get(idle, graph.keys)
            wall, spent = time.perf_counter() - begin, sum(process.cpu_times()[:2]) - before
            yield (
                f"| {size // 100} x {size // 100} km | {len(idle):,} | {wall:.1f} s | {spent:.1f} s | "
                f"{1000 * spent / len(idle):.2f} ms | {process.memory_info().rss / 1e6:.0f} MB |"
            )


def speed() -> Iterator[str]:
    """Embeddings in a second by the number of workers."""
    yield "## Worker processes"
    yield ""
    yield f"One cube in tiles of 8 x 8 pixels, one thread for each process; {os.cpu_count()} cores."
    yield ""
    yield "| processes | tiles | seconds | embeddings/s | largest difference |"
    yield "|---:|---:|---:|---:|---:|"
    lazy, first = small((16, 32)), None
    for count in (1, 2, 4):
        with workers(count) as parts:
            parts.warm(count)
            begin = time.perf_counter()
            out = parts.compute(lazy)
            seconds = time.perf_counter() - begin
        first = out if first is None else first
        off = float(np.nanmax(np.abs(out - first)))
        found = int(np.isfinite(out[0]).sum())
        yield f"| {count} | {lazy.npartitions} | {seconds:.1f} | {found / seconds:.0f} | {off:.1e} |"


def memory() -> Iterator[str]:
    """The peaks of workers and of the runner by area."""
    yield "## Memory"
    yield ""
    yield (
        "Highest resident memory of two worker processes, one run after the other in the same processes, and of the "
        "process that fetches what they make, as the runner of a batch job does, and writes it: embeddings (tiles of "
        "8 x 8 pixels), and a result of plain blocks of 8 MB that are made faster than they are fetched."
    )
    yield ""
    yield "| | 1x | 4x | 16x |"
    yield "|---|---:|---:|---:|"
    with workers(2) as parts:
        parts.warm(2)
        found = [parts.stream(plain(count)) for count in (8, 32, 128)]
    yield row("a large result, in all", [f"{8 * 2**20 * count / 1e6:,.0f} MB" for count in (8, 32, 128)])
    yield row("a worker", [f"{peaks['worker'] / 1e6:.0f} MB" for peaks in found])
    for step in ("fetched", "GTiff", "netCDF"):
        told = "the runner, fetching" if step == "fetched" else f"the runner, writing {step}"
        yield row(told, [f"{peaks[step] / 1e6:.0f} MB" for peaks in found])
    with workers(2) as parts:
        parts.warm(2)
        found = [parts.stream(small((n, n)), write=False) for n in (8, 16, 32)]
    yield row("a worker that embeds", [f"{peaks['worker'] / 1e6:.0f} MB" for peaks in found])


def row(name: str, cells: list[str]) -> str:
    """Return the row of a table."""
    return f"| {name} | " + " | ".join(cells) + " |"


def plain(count: int) -> da.Array:
    """Blocks of 1024 x 1024 pixels and 8 MB (t, bands, y, x) that are made at once."""

    def made(block_id: tuple[int, ...]) -> np.ndarray:
        return np.full((2, 1, 1024, 1024), sum(block_id), np.float32)

    chunks = ((2,), (1,), (1024,) * (count // 4), (1024,) * 4)
    return da.map_blocks(made, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 4, np.float32))


def written(size: int) -> Written:
    """Plan the embeddings of an area and do what the scheduler does with the graph."""
    full, start = size + 2 * EDGE, np.datetime64("2021-01-01", "ns")
    begin = time.process_time()
    around = archive("s2", S2, start + np.arange(S2_DATES) * 5 * DAY, full)
    s1 = archive("s1", ["VV", "VH"], start + np.arange(S1_DATES) * 6 * DAY, full)
    data = around.isel(t=slice(BEFORE, BEFORE + DATES), y=slice(EDGE, -EDGE), x=slice(EDGE, -EDGE))
    env = Environment(catalog=None, models=ModelShelf((PACKAGED,), "demo"))  # type: ignore[arg-type]
    out = multimodal_embed(data, [s1], env=env, wide={"data": around, "others": [s1]}).data
    build = time.process_time() - begin
    graph = out.__dask_graph__()
    sent = len(pickle.dumps(graph, protocol=5))
    layer = next(layer for layer in graph.layers.values() if isinstance(layer, TileLayer))
    begin = time.process_time()
    tasks = dict(out.__dask_optimize__(graph, out.__dask_keys__()))
    return Written(size, tasks, list(flatten(out.__dask_keys__())), build, sent, time.process_time() - begin, layer)


def archive(name: str, bands: list[str], times: np.ndarray, size: int) -> xr.DataArray:
    """A cube in blocks as the catalogue's collections have them."""
    shape = (len(times), len(bands), size, size)
    chunks = plan_chunks(shape, Window((0, size), (0, size)), STORAGE, 4)
    place = np.arange(size) * float(PIXEL)
    return xr.DataArray(
        dask_array(Unread(shape), chunks, f"load-{name}-{size}"),
        dims=("t", "bands", "y", "x"),
        coords={"t": times, "bands": bands, "y": -place, "x": place},
    ).rio.write_crs("EPSG:32632")


def moved(layer: TileLayer) -> int:
    """Bytes that the tiles take from the blocks of their sources."""
    return sum(
        4 * int(np.prod([part.stop - part.start for part in wanted]))
        for index in layer.indices
        for wanted in layer.tile(index).wanted
    )


def small(size: tuple[int, int]) -> da.Array:
    """Real embeddings of two dates of a small cube, in tiles of 8 x 8 pixels, made block by block."""
    random = da.random.default_rng(0)
    rows, columns = size[0] + 2 * EDGE, size[1] + 2 * EDGE
    s2 = random.random((10, 12, rows, columns), chunks=(10, 12, 32, 32), dtype=np.float32) * np.float32(0.5)
    s1 = random.random((2, 14, rows, columns), chunks=(2, 14, 64, 64), dtype=np.float32) * np.float32(0.2)
    start = np.datetime64("2022-03-01", "ns")
    sensors = {
        "s1": SensorCube(s1, start - 5 * DAY + np.arange(14) * 5 * DAY),
        "s2": SensorCube(s2, start + np.arange(12) * 5 * DAY),
    }
    model = ModelShelf((PACKAGED,), "demo").get(None)
    inside = slice(EDGE, rows - EDGE), slice(EDGE, columns - EDGE)
    return embed_lazily(model, sensors, np.ones(12, bool), *inside, 8)


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


def on_a_grid(values: Any) -> xr.DataArray:
    """Return values (t, bands, y, x) as a cube."""
    times, bands, rows, columns = values.shape
    coords = {"t": np.datetime64("2022-01-01", "ns") + np.arange(times) * DAY, "bands": [f"B{n}" for n in range(bands)]}
    place = {"y": -np.arange(rows) * float(PIXEL), "x": np.arange(columns) * float(PIXEL)}
    cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords={**coords, **place})
    return cube.rio.write_crs("EPSG:32632")


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the workers did not come up")
        time.sleep(0.2)


def nothing(*dependencies: object) -> None:
    """Do nothing."""


def load(folder: str) -> None:
    """Load the model in a worker."""
    from udf.model_shelf import embedder_on_this_worker

    embedder_on_this_worker(ModelShelf((Path(folder),), "demo").get(None))


def peak_of_this_process() -> int:
    """Return the highest resident memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    # Named as workers know it: `__main__` is another module there.
    from benchmarks.scaling import main as run

    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"})
    run()
